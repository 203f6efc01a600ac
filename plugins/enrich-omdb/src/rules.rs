//! One request by title and year, and what each kind of answer means for the record.
//!
//! OMDb says "not found" and "no more today" with a body and not with a status, so the body decides.
//! Not here: statuses of a service in trouble (429, 5xx), which the host retries before a plugin
//! sees them, and the key, which no plugin ever holds.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Answer, Input, Json, Refusal, Request, Step};

/// What can be set under `[enrich.config]`.
#[derive(Debug, Clone, PartialEq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Config {
    /// The endpoint of `pipeline.toml` that leads to OMDb.
    pub endpoint: String,
    /// Which plot to ask for.
    pub plot: Plot,
    /// How long to leave OMDb alone when it says that the day's requests are used up.
    pub quota_pause_seconds: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self { endpoint: "omdb".to_owned(), plot: Plot::Short, quota_pause_seconds: 3600 }
    }
}

/// OMDb's two lengths of a plot.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Plot {
    /// A sentence or two.
    Short,
    /// All of it.
    Full,
}

/// The columns of the source that are read. A CSV file makes text of everything, a JSON source may
/// hold numbers, so both are taken.
#[derive(Debug, Default, Deserialize, Input)]
pub struct Entry {
    /// The film's title.
    pub title: Option<Json>,
    /// The year of its release.
    pub year: Option<Json>,
}

/// Asks, then judges the answer.
pub fn enrich(config: &Config, entry: &Entry, answers: &[Answer]) -> Result<Step, Refusal> {
    match answers.first() {
        None => request(config, entry).map(Step::from),
        Some(answer) => judge(config, answer),
    }
}

fn request(config: &Config, entry: &Entry) -> Result<Request, Refusal> {
    let title = cell("title", entry.title.as_ref())?.ok_or("`title`: expected a title to ask OMDb for, got nothing")?;
    let request = Request::to(&config.endpoint).query("t", title);
    let request = match cell("year", entry.year.as_ref())? {
        Some(year) => request.query("y", year),
        None => request,
    };
    let plot = match config.plot {
        Plot::Short => "short",
        Plot::Full => "full",
    };
    Ok(request.query("plot", plot).query("r", "json"))
}

/// The text of a cell, whether it is a string or a number. Blank is nothing.
fn cell(name: &str, value: Option<&Json>) -> Result<Option<String>, Refusal> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Cell {
        Text(String),
        Whole(i64),
        Fraction(f64),
    }
    let Some(value) = value else { return Ok(None) };
    let text = match value.parse() {
        Ok(Cell::Text(text)) => text.trim().to_owned(),
        Ok(Cell::Whole(number)) => number.to_string(),
        // `1994.0`, which some writers of JSON make of a whole number.
        Ok(Cell::Fraction(number)) => number.to_string(),
        Err(_) => return Err(Refusal::reject(format!("`{name}`: expected text or a number, got `{value}`"))),
    };
    Ok(Some(text).filter(|text| !text.is_empty()))
}

/// The members of an answer by which OMDb says how it went.
#[derive(Deserialize)]
struct Outcome {
    #[serde(rename = "Response")]
    response: String,
    #[serde(rename = "Error")]
    error: Option<String>,
}

fn judge(config: &Config, answer: &Answer) -> Result<Step, Refusal> {
    let status = answer.status;
    let quoted = || match answer.excerpt(120) {
        body if body.is_empty() => "an empty body".to_owned(),
        body => format!("`{body}`"),
    };
    let Ok(outcome) = answer.json::<Outcome>() else {
        return Err(Refusal::reject(format!("expected OMDb's JSON, got status {status} and {}", quoted())));
    };
    if status == 200 && outcome.response == "True" {
        return String::from_utf8(answer.body.clone())
            .map(Step::Done)
            .map_err(|_| Refusal::reject("expected OMDb's JSON in UTF-8, got other bytes"));
    }
    let said = outcome.error.unwrap_or_default();
    match (status, said.as_str()) {
        (_, "Request limit reached!") => Ok(Step::back_off(config.quota_pause_seconds, format!("OMDb: {said}"))),
        (_, "Invalid API key!" | "No API key provided.") => Err(Refusal::reject(format!(
            "OMDb refuses the API key: `{said}`\n\
             nothing is lost: put a valid key into the secret of endpoint `{}` and run `sluicebox quarantine replay --fetch`",
            config.endpoint
        ))),
        (200, "Movie not found!" | "Series not found!" | "Series or episode not found!") => {
            Err(Refusal::skip(format!("OMDb: {said}")))
        }
        (200, "") => Err(Refusal::reject(format!("expected `Response` to be `True`, got {}", quoted()))),
        (200, _) => Err(Refusal::reject(format!("OMDb: {said}"))),
        _ => Err(Refusal::reject(format!("expected status 200 from OMDb, got {status} and {}", quoted()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(text: &str) -> Entry {
        Json::from_text(text).parse().unwrap()
    }

    fn first(entry_text: &str) -> Step {
        enrich(&Config::default(), &entry(entry_text), &[]).into()
    }

    fn after(status: u16, body: &str) -> Step {
        enrich(&Config::default(), &entry(r#"{"title": "Alien"}"#), &[Answer::new(status, body)]).into()
    }

    fn reason(step: Step) -> String {
        match step {
            Step::Reject(reason) => reason,
            other => panic!("expected a rejection, got {other:?}"),
        }
    }

    #[test]
    fn asks_by_title_and_year_whatever_their_type() {
        let asked = |year: &str| {
            Request::to("omdb").query("t", "Alien").query("y", year).query("plot", "short").query("r", "json")
        };
        for text in [
            r#"{"title": "Alien", "year": "1979", "imdb_votes": "941000"}"#,
            r#"{"title": " Alien ", "year": 1979}"#,
            r#"{"title": "Alien", "year": 1979.0}"#,
        ] {
            assert_eq!(first(text), Step::Fetch(vec![asked("1979")]), "{text}");
        }
        let number = Request::to("omdb").query("t", "1776").query("plot", "short").query("r", "json");
        assert_eq!(first(r#"{"title": 1776, "year": null}"#), Step::Fetch(vec![number]));
    }

    #[test]
    fn endpoint_and_plot_are_settings() {
        let config = Config { endpoint: "films".to_owned(), plot: Plot::Full, ..Config::default() };
        let step: Step = enrich(&config, &entry(r#"{"title": "Alien"}"#), &[]).into();
        let expected = Request::to("films").query("t", "Alien").query("plot", "full").query("r", "json");
        assert_eq!(step, Step::Fetch(vec![expected]));
    }

    #[test]
    fn a_record_without_title_is_rejected() {
        for text in ["{}", r#"{"title": null}"#, r#"{"title": "  "}"#] {
            assert_eq!(reason(first(text)), "`title`: expected a title to ask OMDb for, got nothing");
        }
        assert_eq!(reason(first(r#"{"title": ["a"]}"#)), "`title`: expected text or a number, got `[\"a\"]`");
    }

    #[test]
    fn a_found_film_is_kept_as_it_came() {
        let body = r#"{ "Title":"Alien",  "Response":"True" }"#;
        assert_eq!(after(200, body), Step::Done(body.to_owned()));
    }

    #[test]
    fn an_unknown_film_is_skipped() {
        let step = after(200, r#"{"Response":"False","Error":"Movie not found!"}"#);
        assert_eq!(step, Step::Skip("OMDb: Movie not found!".to_owned()));
    }

    #[test]
    fn a_used_up_quota_is_a_pause_whatever_its_status() {
        for status in [200, 401] {
            let step = after(status, r#"{"Response":"False","Error":"Request limit reached!"}"#);
            assert_eq!(step, Step::back_off(3600, "OMDb: Request limit reached!"));
        }
    }

    #[test]
    fn a_bad_key_is_named_with_the_way_out() {
        let said = reason(after(401, r#"{"Response":"False","Error":"Invalid API key!"}"#));
        assert!(said.starts_with("OMDb refuses the API key: `Invalid API key!`"));
        assert!(said.contains("endpoint `omdb`") && said.contains("sluicebox quarantine replay"));
    }

    #[test]
    fn what_is_not_omdbs_is_quoted() {
        assert_eq!(
            reason(after(200, "<html>\n<body>Bad  gateway</body>")),
            "expected OMDb's JSON, got status 200 and `<html> <body>Bad gateway</body>`"
        );
        assert_eq!(reason(after(403, "")), "expected OMDb's JSON, got status 403 and an empty body");
        assert_eq!(reason(after(200, r#"{"Response":"#)), "expected OMDb's JSON, got status 200 and `{\"Response\":`");
        assert_eq!(
            reason(after(404, r#"{"Response":"True"}"#)),
            "expected status 200 from OMDb, got 404 and `{\"Response\":\"True\"}`"
        );
        assert_eq!(
            reason(after(200, r#"{"Response":"False","Error":"Incorrect IMDb ID."}"#)),
            "OMDb: Incorrect IMDb ID."
        );
        assert!(reason(after(200, &"x".repeat(5000))).len() < 200);
    }
}
