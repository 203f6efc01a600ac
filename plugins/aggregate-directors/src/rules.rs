//! Directors by the votes that their films got, of directors with enough films to be compared. A film
//! of several directors counts for each of them.
//!
//! The state keeps every director: the top can change with any row, so no director may be dropped
//! before the end. Not here: telling apart two people of one name, which Silver cannot.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Aggregate, Groups, Input, List, Output};

/// What can be set under the aggregate's `config`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Leave out directors of fewer films.
    pub min_films: u32,
    /// How many directors to keep.
    pub top: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { min_films: 3, top: 25 }
    }
}

/// What is read of a row of Silver.
#[derive(Debug, Input)]
pub struct Film<'a> {
    directors: List<'a, &'a str>,
    year: Option<i64>,
    imdb_rating: Option<f64>,
    imdb_votes: Option<i64>,
    worldwide_gross_usd: Option<i64>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Output)]
pub struct Row {
    /// 1 has the most votes; equals are in alphabetical order.
    pub rank: i64,
    /// As the clean layer spells it.
    pub director: String,
    /// How many films there are.
    pub films: i64,
    /// Of all films together.
    pub votes: i64,
    /// Of the films that have a rating, to two decimals.
    pub mean_rating: Option<f64>,
    /// Of the earliest film.
    pub first_year: Option<i64>,
    /// Of the latest film.
    pub last_year: Option<i64>,
    /// Of the films whose takings are known.
    pub worldwide_gross_usd: i64,
}

/// The figures so far.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Directors(Groups<String, Figures>);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Figures {
    films: i64,
    votes: i64,
    rated_films: i64,
    /// Whole tenths: a sum of floats would depend on the order of the rows.
    rating_tenths: i64,
    gross_usd: i64,
    years: Option<(i64, i64)>,
}

impl Figures {
    fn add_years(&mut self, first: i64, last: i64) {
        self.years = match self.years {
            Some((earliest, latest)) => Some((earliest.min(first), latest.max(last))),
            None => Some((first, last)),
        };
    }

    fn mean_rating(&self) -> Option<f64> {
        let films = self.rated_films;
        (films > 0).then(|| ((20 * self.rating_tenths + films) / (2 * films)) as f64 / 100.0)
    }
}

impl Aggregate for Directors {
    type Config = Config;
    type Row<'a> = Film<'a>;
    type Output = Row;

    fn add(&mut self, _: &Config, film: Film<'_>) {
        for director in film.directors {
            let figures = self.0.of(director);
            figures.films += 1;
            figures.votes += film.imdb_votes.unwrap_or(0);
            figures.gross_usd += film.worldwide_gross_usd.unwrap_or(0);
            if let Some(rating) = film.imdb_rating {
                figures.rated_films += 1;
                figures.rating_tenths += (rating * 10.0).round() as i64;
            }
            if let Some(year) = film.year {
                figures.add_years(year, year);
            }
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0, |mine, theirs| {
            mine.films += theirs.films;
            mine.votes += theirs.votes;
            mine.rated_films += theirs.rated_films;
            mine.rating_tenths += theirs.rating_tenths;
            mine.gross_usd += theirs.gross_usd;
            if let Some((first, last)) = theirs.years {
                mine.add_years(first, last);
            }
        });
    }

    fn finish(&self, config: &Config) -> Vec<Row> {
        let mut directors = self.0.sorted();
        directors.retain(|(_, figures)| figures.films >= i64::from(config.min_films));
        // Stable: equals stay in the order of their names.
        directors.sort_by_key(|(_, figures)| std::cmp::Reverse(figures.votes));
        directors.truncate(config.top as usize);
        let row = |(rank, (director, figures)): (i64, (&String, &Figures))| Row {
            rank,
            director: director.clone(),
            films: figures.films,
            votes: figures.votes,
            mean_rating: figures.mean_rating(),
            first_year: figures.years.map(|(first, _)| first),
            last_year: figures.years.map(|(_, last)| last),
            worldwide_gross_usd: figures.gross_usd,
        };
        (1..).zip(directors).map(row).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(director: &'static [&'static str], year: i64, rating: Option<f64>, votes: i64) -> Film<'static> {
        Film {
            directors: List::of(director),
            year: Some(year),
            imdb_rating: rating,
            imdb_votes: Some(votes),
            worldwide_gross_usd: Some(10),
        }
    }

    fn films() -> Vec<Film<'static>> {
        vec![
            film(&["Joel Coen", "Ethan Coen"], 1996, Some(8.1), 700),
            film(&["Ethan Coen", "Joel Coen"], 2007, Some(8.2), 1000),
            film(&["Joel Coen"], 1984, None, 100),
            film(&["Sofia Coppola"], 2003, Some(7.7), 480),
        ]
    }

    fn fold<'a>(films: impl IntoIterator<Item = Film<'a>>) -> Directors {
        let mut directors = Directors::default();
        for film in films {
            directors.add(&Config::default(), film);
        }
        directors
    }

    fn names(config: &Config) -> Vec<(i64, String)> {
        fold(films()).finish(config).into_iter().map(|row| (row.rank, row.director)).collect()
    }

    #[test]
    fn only_those_of_enough_films_are_ranked() {
        let expected = Row {
            rank: 1,
            director: "Joel Coen".to_owned(),
            films: 3,
            votes: 1800,
            mean_rating: Some(8.15),
            first_year: Some(1984),
            last_year: Some(2007),
            worldwide_gross_usd: 30,
        };
        assert_eq!(fold(films()).finish(&Config::default()), [expected]);
        let all = names(&Config { min_films: 1, top: 25 });
        assert_eq!(all, [(1, "Joel Coen".to_owned()), (2, "Ethan Coen".to_owned()), (3, "Sofia Coppola".to_owned())]);
        assert_eq!(names(&Config { min_films: 1, top: 1 }).len(), 1);
    }

    #[test]
    fn equal_votes_rank_by_name() {
        let directors = fold([film(&["B"], 2000, None, 5), film(&["A"], 2001, None, 5)]);
        let rows = directors.finish(&Config { min_films: 0, top: 9 });
        assert_eq!(rows.iter().map(|row| row.director.as_str()).collect::<Vec<_>>(), ["A", "B"]);
    }

    #[test]
    fn spread_and_order_do_not_matter() {
        let whole = fold(films());
        for split in 0..=films().len() {
            let mut all = films();
            let mut late = fold(all.split_off(split).into_iter().rev());
            late.merge(Directors::default());
            late.merge(fold(all));
            assert_eq!(late, whole);
        }
    }
}
