//! Films, ratings and money of each decade.
//!
//! Money is summed over the films with known budget and takings, and over no others: a
//! sum of all budgets beside a sum of all takings would compare different films. Deliberately not
//! here: inflation. Films without a year count nowhere.

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Aggregate, Groups, Input, NoConfig, Output};

/// What is read of a row of Silver.
#[derive(Debug, Clone, Copy, Input)]
pub struct Film {
    year: Option<i64>,
    imdb_rating: Option<f64>,
    imdb_votes: Option<i64>,
    budget_usd: Option<i64>,
    worldwide_gross_usd: Option<i64>,
}

/// A row of the table.
#[derive(Debug, Clone, PartialEq, Output)]
pub struct Row {
    /// Its first year: 1990 for 1990 to 1999.
    pub decade: i64,
    /// How many films there are.
    pub films: i64,
    /// Of the films that have a rating, to two decimals.
    pub mean_rating: Option<f64>,
    /// Of all films together.
    pub votes: i64,
    /// The number of films with known budget and takings.
    pub films_with_return: i64,
    /// Of those films together.
    pub budget_usd: i64,
    /// Of those films together.
    pub worldwide_gross_usd: i64,
    /// Dollars taken for each dollar of budget, to two decimals.
    pub return_on_budget: Option<f64>,
}

/// The figures so far.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Decades(Groups<i64, Figures>);

#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Figures {
    films: i64,
    votes: i64,
    rated_films: i64,
    /// Whole tenths: a sum of floats would depend on the order of the rows.
    rating_tenths: i64,
    films_with_return: i64,
    budget_usd: i64,
    gross_usd: i64,
}

impl Aggregate for Decades {
    type Config = NoConfig;
    type Row<'a> = Film;
    type Output = Row;

    fn add(&mut self, _: &NoConfig, film: Film) {
        let Some(year) = film.year else { return };
        let figures = self.0.of(&(year - year.rem_euclid(10)));
        figures.films += 1;
        figures.votes += film.imdb_votes.unwrap_or(0);
        if let Some(rating) = film.imdb_rating {
            figures.rated_films += 1;
            figures.rating_tenths += (rating * 10.0).round() as i64;
        }
        if let (Some(budget), Some(gross)) = (film.budget_usd, film.worldwide_gross_usd) {
            figures.films_with_return += 1;
            figures.budget_usd += budget;
            figures.gross_usd += gross;
        }
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0, |mine, theirs| {
            mine.films += theirs.films;
            mine.votes += theirs.votes;
            mine.rated_films += theirs.rated_films;
            mine.rating_tenths += theirs.rating_tenths;
            mine.films_with_return += theirs.films_with_return;
            mine.budget_usd += theirs.budget_usd;
            mine.gross_usd += theirs.gross_usd;
        });
    }

    fn finish(&self, _: &NoConfig) -> Vec<Row> {
        let row = |(decade, figures): (&i64, &Figures)| Row {
            decade: *decade,
            films: figures.films,
            mean_rating: hundredths(10 * figures.rating_tenths, figures.rated_films),
            votes: figures.votes,
            films_with_return: figures.films_with_return,
            budget_usd: figures.budget_usd,
            worldwide_gross_usd: figures.gross_usd,
            return_on_budget: hundredths(100 * i128::from(figures.gross_usd), figures.budget_usd),
        };
        self.0.sorted().into_iter().map(row).collect()
    }
}

/// `numerator / denominator` hundredths, rounded half up; nothing where there is nothing to divide by.
fn hundredths(numerator: impl Into<i128>, denominator: i64) -> Option<f64> {
    let (numerator, denominator) = (numerator.into(), i128::from(denominator));
    (denominator > 0).then(|| ((2 * numerator + denominator) / (2 * denominator)) as f64 / 100.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn film(year: Option<i64>, rating: Option<f64>, budget: Option<i64>, gross: Option<i64>) -> Film {
        Film { year, imdb_rating: rating, imdb_votes: Some(3), budget_usd: budget, worldwide_gross_usd: gross }
    }

    fn films() -> Vec<Film> {
        vec![
            film(Some(1994), Some(9.3), Some(25), Some(28)),
            film(Some(1990), Some(8.6), Some(30), None),
            film(Some(1999), None, None, Some(463)),
            film(Some(2000), Some(7.1), Some(7), Some(28)),
            film(None, Some(1.0), Some(1), Some(1)),
        ]
    }

    fn fold(films: impl IntoIterator<Item = Film>) -> Decades {
        let mut decades = Decades::default();
        for film in films {
            decades.add(&NoConfig {}, film);
        }
        decades
    }

    #[test]
    fn money_is_of_films_with_both_figures() {
        let rows = fold(films()).finish(&NoConfig {});
        let nineties = Row {
            decade: 1990,
            films: 3,
            mean_rating: Some(8.95),
            votes: 9,
            films_with_return: 1,
            budget_usd: 25,
            worldwide_gross_usd: 28,
            return_on_budget: Some(1.12),
        };
        assert_eq!(rows.first(), Some(&nineties));
        assert_eq!(rows.iter().map(|row| row.decade).collect::<Vec<_>>(), [1990, 2000]);
    }

    #[test]
    fn a_decade_without_budgets_has_no_return() {
        let rows = fold([film(Some(1930), None, None, Some(5)), film(Some(1931), None, Some(0), Some(5))]);
        let row = rows.finish(&NoConfig {}).pop();
        assert_eq!(row.map(|row| (row.return_on_budget, row.mean_rating)), Some((None, None)));
    }

    #[test]
    fn spread_and_order_do_not_matter() {
        let whole = fold(films());
        for split in 0..=films().len() {
            let mut late = fold(films().into_iter().skip(split).rev());
            late.merge(Decades::default());
            late.merge(fold(films().into_iter().take(split)));
            assert_eq!(late, whole);
        }
    }
}
