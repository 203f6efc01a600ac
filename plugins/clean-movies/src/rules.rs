//! From one OMDb document to one row of Silver.
//!
//! What is missing (`N/A`, empty, not there) becomes null; what is there and cannot be read is
//! rejected with the field's name, so that nothing is lost quietly and a better plugin can replay it.
//! Deliberately not here: guesses. A film "released in 2046" is most likely of 1946, but nothing in
//! the document proves it, so it is passed on or, with `max_year`, rejected, and never "corrected".

mod notation;
mod ratings;

use notation::{Scores, listed, present};
use schemars::JsonSchema;
use serde::Deserialize;
use sluicebox_sdk::{Date, Input, JsonRef, Output, Refusal};

/// What can be set under `[clean.config]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// Reject films whose year, or year of release, is later than this. There is no default: a plugin
    /// has no clock, and a year written into it would be wrong some day. Set it to the last year that
    /// the source can know of: two-digit years read in the wrong century lie beyond it.
    pub max_year: Option<i64>,
    /// The values of `Type` to keep; other documents are skipped.
    pub types: Vec<String>,
}

impl Default for Config {
    fn default() -> Self {
        Self { max_year: None, types: vec!["movie".to_owned()] }
    }
}

/// The fields of an OMDb document that are read.
#[derive(Debug, Clone, Copy, Default, Input)]
#[input(rename_all = "PascalCase")]
#[allow(missing_docs, reason = "OMDb's own fields under their own names")]
pub struct Film<'a> {
    pub title: Option<&'a str>,
    pub year: Option<&'a str>,
    pub rated: Option<&'a str>,
    pub released: Option<&'a str>,
    pub runtime: Option<&'a str>,
    pub genre: Option<&'a str>,
    pub director: Option<&'a str>,
    pub writer: Option<&'a str>,
    pub actors: Option<&'a str>,
    pub language: Option<&'a str>,
    pub country: Option<&'a str>,
    pub ratings: Option<JsonRef<'a>>,
    pub metascore: Option<&'a str>,
    #[field(rename = "imdbRating")]
    pub imdb_rating: Option<&'a str>,
    #[field(rename = "imdbVotes")]
    pub imdb_votes: Option<&'a str>,
    #[field(rename = "imdbID")]
    pub imdb_id: Option<&'a str>,
    pub r#type: Option<&'a str>,
    pub box_office: Option<&'a str>,
    pub budget: Option<&'a str>,
    pub worldwide_gross: Option<&'a str>,
    pub response: Option<&'a str>,
}

/// A row of Silver.
#[derive(Debug, Clone, PartialEq, Output)]
pub struct Row<'a> {
    /// `tt0111161`.
    pub imdb_id: Option<&'a str>,
    /// As OMDb spells it.
    pub title: &'a str,
    /// The first year of a series, else the film's.
    pub year: Option<i64>,
    /// The last year of a series that has ended.
    pub year_end: Option<i64>,
    /// `Unrated` is `Not Rated`; `Open`, a rating not yet given, is null.
    pub rated: Option<&'a str>,
    /// The day of release.
    pub released: Option<Date>,
    /// Minutes.
    pub runtime_min: Option<i64>,
    /// In OMDb's order, each once; so are all lists.
    pub genres: Vec<&'a str>,
    /// Names.
    pub directors: Vec<&'a str>,
    /// Names, without what they did in brackets.
    pub writers: Vec<&'a str>,
    /// Names.
    pub actors: Vec<&'a str>,
    /// Names in English.
    pub languages: Vec<&'a str>,
    /// Names in English.
    pub countries: Vec<&'a str>,
    /// 0 to 10.
    pub imdb_rating: Option<f64>,
    /// How many gave it.
    pub imdb_votes: Option<i64>,
    /// 0 to 100.
    pub metascore: Option<i64>,
    /// Percent.
    pub rotten_tomatoes: Option<i64>,
    /// Mean of the three above, each brought to 0 to 100, to one decimal.
    pub score: Option<f64>,
    /// Takings in the United States and Canada.
    pub box_office_usd: Option<i64>,
    /// Costs.
    pub budget_usd: Option<i64>,
    /// Takings everywhere.
    pub worldwide_gross_usd: Option<i64>,
}

/// Cleans one document.
pub fn clean<'a>(config: &Config, film: Film<'a>) -> Result<Row<'a>, Refusal> {
    if let Some(response) = film.response.filter(|response| *response != "True") {
        return Err(Refusal::reject(format!("`Response`: expected `True`, got `{response}`: this is no film")));
    }
    if let Some(kind) = present(film.r#type)
        && !config.types.iter().any(|wanted| wanted == kind)
    {
        return Err(Refusal::skip(format!("`Type` is `{kind}`, kept are `{}`", config.types.join("`, `"))));
    }
    // A film may well be called `N/A`: of titles only the blank one is none.
    let title = film.title.map(str::trim_ascii).filter(|title| !title.is_empty());
    let title = title.ok_or("`Title`: expected a title, got nothing")?;

    let (year, year_end) = match field("Year", film.year, "a year such as `1994` or `1994–1996`", notation::years)? {
        Some((first, last)) => (Some(first), last),
        None => (None, None),
    };
    let released = field("Released", film.released, "a day such as `14 Oct 1994`", notation::day)?;
    not_after(config.max_year, "Year", year)?;
    not_after(config.max_year, "Released", released.map(|day| i64::from(day.year())))?;

    let scores = film.ratings.map(Scores::read).transpose()?.unwrap_or_default();
    let imdb = field("imdbRating", film.imdb_rating, "a number from 0 to 10", notation::rating)?.or(scores.imdb);
    let metascore = field("Metascore", film.metascore, "a number from 0 to 100", notation::percent)?
        .or(scores.metacritic.map(percent_of));

    Ok(Row {
        imdb_id: present(film.imdb_id),
        title,
        year,
        year_end,
        rated: notation::rated(film.rated),
        released,
        runtime_min: field("Runtime", film.runtime, "minutes such as `142 min`", notation::minutes)?,
        genres: listed(film.genre),
        directors: listed(film.director),
        writers: listed(film.writer),
        actors: listed(film.actors),
        languages: listed(film.language),
        countries: listed(film.country),
        imdb_rating: imdb.map(|thousandths| thousandths as f64 / 100.0),
        imdb_votes: field("imdbVotes", film.imdb_votes, "a number such as `2,900,000`", notation::count)?,
        metascore,
        rotten_tomatoes: scores.rotten_tomatoes.map(percent_of),
        score: notation::mean(&[imdb, metascore.map(|percent| percent * 10), scores.rotten_tomatoes]),
        box_office_usd: field("BoxOffice", film.box_office, DOLLARS, notation::dollars)?,
        budget_usd: field("Budget", film.budget, DOLLARS, notation::dollars)?,
        worldwide_gross_usd: field("WorldwideGross", film.worldwide_gross, DOLLARS, notation::dollars)?,
    })
}

const DOLLARS: &str = "whole dollars such as `$28,767,189`";

/// Sources that count in percent give whole ones.
fn percent_of(thousandths: i64) -> i64 {
    (thousandths + 5) / 10
}

/// Reads one field, or says which it is that cannot be read.
fn field<'a, T>(
    name: &str,
    text: Option<&'a str>,
    expected: &str,
    read: impl FnOnce(&'a str) -> Option<T>,
) -> Result<Option<T>, Refusal> {
    let Some(text) = present(text) else { return Ok(None) };
    match read(text) {
        Some(value) => Ok(Some(value)),
        None => Err(Refusal::reject(format!("`{name}`: expected {expected}, got `{text}`"))),
    }
}

fn not_after(max_year: Option<i64>, name: &str, year: Option<i64>) -> Result<(), Refusal> {
    match (max_year, year) {
        (Some(max), Some(year)) if year > max => Err(Refusal::reject(format!(
            "`{name}`: expected no year after {max} (`max_year`), got {year}\n\
             a two-digit year read in the wrong century looks like this: correct the source, or raise `max_year` and replay"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
