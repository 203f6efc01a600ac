//! Films, ratings, votes and takings of each genre. A film of several genres counts in each of them,
//! so the columns do not add up to the number of films; one without a genre counts nowhere.
//!
//! Ratings are counted by tenths, which is how IMDb gives them: from the counts come an exact mean and
//! an exact median, whatever the order and the spread of the rows. Not here: what a genre is called,
//! which the clean layer decides.

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Aggregate, Groups, Input, List, NoConfig, Output};

/// What is read of a row of Silver.
#[derive(Debug, Input)]
pub struct Film<'a> {
    genres: List<'a, &'a str>,
    imdb_rating: Option<f64>,
    imdb_votes: Option<i64>,
    worldwide_gross_usd: Option<i64>,
}

/// A row of the table.
#[derive(Debug, PartialEq, Output)]
pub struct Row {
    /// As the clean layer spells it.
    pub genre: String,
    /// How many films there are.
    pub films: i64,
    /// Of the films that have a rating, to two decimals.
    pub mean_rating: Option<f64>,
    /// Half of those films are rated no lower, half no higher.
    pub median_rating: Option<f64>,
    /// Of all films together.
    pub votes: i64,
    /// For how many films the takings are known.
    pub films_with_gross: i64,
    /// Of those films together.
    pub worldwide_gross_usd: i64,
}

/// The figures so far.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Genres(Groups<String, Figures>);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Figures {
    films: i64,
    votes: i64,
    films_with_gross: i64,
    gross_usd: i64,
    ratings: Ratings,
}

impl Aggregate for Genres {
    type Config = NoConfig;
    type Row<'a> = Film<'a>;
    type Output = Row;

    fn add(&mut self, _: &NoConfig, film: Film<'_>) {
        for genre in film.genres {
            let figures = self.0.of(genre);
            figures.films += 1;
            figures.votes += film.imdb_votes.unwrap_or(0);
            if let Some(gross) = film.worldwide_gross_usd {
                figures.films_with_gross += 1;
                figures.gross_usd += gross;
            }
            if let Some(rating) = film.imdb_rating {
                figures.ratings.add(rating);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0, |mine, theirs| {
            mine.films += theirs.films;
            mine.votes += theirs.votes;
            mine.films_with_gross += theirs.films_with_gross;
            mine.gross_usd += theirs.gross_usd;
            mine.ratings.merge(&theirs.ratings);
        });
    }

    fn finish(&self, _: &NoConfig) -> Vec<Row> {
        let row = |(genre, figures): (&String, &Figures)| Row {
            genre: genre.clone(),
            films: figures.films,
            mean_rating: figures.ratings.mean(),
            median_rating: figures.ratings.median(),
            votes: figures.votes,
            films_with_gross: figures.films_with_gross,
            worldwide_gross_usd: figures.gross_usd,
        };
        self.0.sorted().into_iter().map(row).collect()
    }
}

/// How many films have each rating, by tenths from 0.0 to 10.0; as long as the highest needs.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Ratings(Vec<i64>);

impl Ratings {
    fn add(&mut self, rating: f64) {
        // Rounded by hand: ratings are not negative, and `round` is a call where the processor has no instruction for it.
        let tenths = (rating * 10.0 + 0.5) as usize;
        *self.at(tenths.min(100)) += 1;
    }

    fn merge(&mut self, other: &Self) {
        for (tenths, films) in other.0.iter().enumerate() {
            *self.at(tenths) += films;
        }
    }

    #[allow(clippy::indexing_slicing, reason = "the vector has just been made long enough")]
    fn at(&mut self, tenths: usize) -> &mut i64 {
        if self.0.len() <= tenths {
            self.0.resize(tenths + 1, 0);
        }
        &mut self.0[tenths]
    }

    fn films(&self) -> i64 {
        self.0.iter().sum()
    }

    fn mean(&self) -> Option<f64> {
        let films = self.films();
        let tenths: i64 = self.0.iter().zip(0..).map(|(films, tenths)| films * tenths).sum();
        (films > 0).then(|| ((20 * tenths + films) / (2 * films)) as f64 / 100.0)
    }

    /// The mean of the two in the middle, which are one and the same when the number is odd.
    fn median(&self) -> Option<f64> {
        let films = self.films();
        let lower = self.nth((films - 1) / 2)?;
        let upper = self.nth(films / 2)?;
        Some((lower + upper) as f64 / 20.0)
    }

    /// The tenths of the film at that place when all stand in order of rating.
    fn nth(&self, place: i64) -> Option<i64> {
        let mut before = 0;
        self.0.iter().zip(0..).find_map(|(films, tenths)| {
            before += films;
            (before > place).then_some(tenths)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film<'a>(genres: &'a [&'a str], rating: Option<f64>, votes: Option<i64>, gross: Option<i64>) -> Film<'a> {
        Film { genres: List::of(genres), imdb_rating: rating, imdb_votes: votes, worldwide_gross_usd: gross }
    }

    fn fold<'a>(films: impl IntoIterator<Item = Film<'a>>) -> Genres {
        let mut genres = Genres::default();
        for film in films {
            genres.add(&NoConfig {}, film);
        }
        genres
    }

    fn films() -> Vec<Film<'static>> {
        vec![
            film(&["Drama", "Crime"], Some(9.3), Some(2_900_000), Some(28)),
            film(&["Drama"], Some(7.0), None, None),
            film(&["Drama"], Some(6.1), Some(1071), Some(2)),
            film(&["Comedy"], None, Some(5), None),
            film(&[], Some(1.0), Some(1), Some(1)),
        ]
    }

    #[test]
    fn a_film_counts_in_each_of_its_genres() {
        let rows = fold(films()).finish(&NoConfig {});
        let names: Vec<_> = rows.iter().map(|row| (row.genre.as_str(), row.films)).collect();
        assert_eq!(names, [("Comedy", 1), ("Crime", 1), ("Drama", 3)]);
        let drama = Row {
            genre: "Drama".to_owned(),
            films: 3,
            mean_rating: Some(7.47),
            median_rating: Some(7.0),
            votes: 2_901_071,
            films_with_gross: 2,
            worldwide_gross_usd: 30,
        };
        assert_eq!(rows.last(), Some(&drama));
        assert_eq!(rows.first().unwrap().mean_rating, None);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let mut ratings = Ratings::default();
        assert_eq!((ratings.median(), ratings.mean()), (None, None));
        for rating in [9.3, 1.0, 6.5, 6.0] {
            ratings.add(rating);
        }
        assert_eq!((ratings.median(), ratings.mean()), (Some(6.25), Some(5.7)));
    }

    #[test]
    fn spread_and_order_do_not_matter() {
        let whole = fold(films());
        for split in 0..=films().len() {
            let mut all = films();
            let mut late = fold(all.split_off(split).into_iter().rev());
            late.merge(Genres::default());
            late.merge(fold(all));
            assert_eq!(late, whole);
            assert_eq!(late.finish(&NoConfig {}), whole.finish(&NoConfig {}));
        }
    }
}
