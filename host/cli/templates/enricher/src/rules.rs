//! A reading and where its station is: one pure function, tested by `cargo test`.
//!
//! Does not call a service: it names the endpoint `stations` of `pipeline.toml`, and the host makes the request.

use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Answer, Input, NoConfig, Request, Step};

/// The fields that the rule reads from the source's record.
#[derive(Deserialize, Serialize, Input)]
pub struct Reading {
    station: String,
    observed_at: String,
    temperature: Option<String>,
    humidity: Option<String>,
    rain_mm: Option<String>,
    conditions: Option<String>,
}

/// The document that is kept in Bronze.
#[derive(Serialize)]
struct Document<'r> {
    #[serde(flatten)]
    reading: &'r Reading,
    place: serde_json::Value,
}

/// The rule: called first without answers, and again with those that it asked for. An answer that says
/// "later" (429, 5xx) does not come here: the host asks again.
pub fn enrich(_: &NoConfig, reading: &Reading, answers: &[Answer]) -> Result<Step, String> {
    let Some(answer) = answers.first() else {
        return Ok(Request::to("stations").query("id", reading.station.trim()).into());
    };
    match answer.status {
        200 => {
            let place = answer.json().map_err(|error| format!("expected a station as JSON: {error}"))?;
            let document = serde_json::to_string(&Document { reading, place });
            document.map(Step::Done).map_err(|error| error.to_string())
        }
        404 => Ok(Step::Skip(format!("nobody knows the station `{}`", reading.station))),
        402 => Ok(Step::back_off(3600, "the requests that are paid for are used up")),
        status => Err(format!("expected status 200, got {status}: {}", answer.excerpt(80))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(answers: &[Answer]) -> Result<Step, String> {
        let reading = Reading {
            station: "HKL-01".to_owned(),
            observed_at: "2026-03-01T06:00:00Z".to_owned(),
            temperature: Some("4.2 C".to_owned()),
            humidity: None,
            rain_mm: None,
            conditions: None,
        };
        enrich(&NoConfig {}, &reading, answers)
    }

    #[test]
    fn the_first_step_asks_for_the_station() {
        assert_eq!(step(&[]), Ok(Request::to("stations").query("id", "HKL-01").into()));
    }

    #[test]
    fn the_answer_becomes_a_part_of_the_document() {
        let Ok(Step::Done(document)) = step(&[Answer::new(200, r#"{"height_m": 12}"#)]) else {
            panic!("expected a document");
        };
        assert!(document.contains(r#""place":{"height_m":12}"#), "{document}");
    }

    #[test]
    fn other_answers_are_told_apart() {
        assert!(matches!(step(&[Answer::new(404, "")]), Ok(Step::Skip(_))));
        assert!(matches!(step(&[Answer::new(402, "")]), Ok(Step::BackOff(pause)) if pause.seconds == 3600));
        assert!(step(&[Answer::new(400, "no such parameter")]).is_err_and(|error| error.contains("no such parameter")));
    }
}
