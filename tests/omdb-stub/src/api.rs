//! Answers for the API itself: which film is asked for, whether the key and the quota allow it, and what OMDb would say.
//!
//! Does not format films (`answer`) and does not spoil answers (`misbehave`).

use std::collections::HashMap;
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Query, State};
use axum::http::StatusCode;
use axum::response::Response;
use axum::routing::get;
use serde_json::Value;

use crate::answer;
use crate::faults::Fault;
use crate::misbehave;
use crate::wire::Line;
use crate::world::{Shared, World};

type Parameters = HashMap<String, String>;

pub(crate) fn routes() -> Router<Shared> {
    Router::new().route("/", get(call))
}

async fn call(
    State(shared): State<Shared>,
    ConnectInfo(line): ConnectInfo<Line>,
    Query(parameters): Query<Parameters>,
) -> Response {
    let mut call = Call::begin(&shared, &parameters);
    tokio::time::sleep(call.wait).await;
    let fault = call.fault.take();
    let (status, body) = match &fault {
        // What never reaches the API costs no quota.
        Some(Fault::Status { .. } | Fault::Html | Fault::Redirect { .. } | Fault::Reset) => {
            (StatusCode::OK, Value::Null)
        }
        _ => verdict(&mut shared.lock(), &parameters),
    };
    let response = match &fault {
        Some(Fault::Echo { encoding, place }) => {
            misbehave::echo(&encoding.of(given(&parameters, "apikey").unwrap_or_default()), *place, status, &body)
        }
        Some(fault) => misbehave::spoilt(fault, status, &body, &line),
        None => misbehave::plain(status, &body),
    };
    call.outcome = match &fault {
        Some(Fault::Reset) => "reset".to_owned(),
        _ => response.status().as_u16().to_string(),
    };
    response
}

/// One call being counted; it is also counted to its end when the other side hangs up.
struct Call {
    shared: Shared,
    fault: Option<Fault>,
    wait: Duration,
    outcome: String,
}

impl Call {
    fn begin(shared: &Shared, parameters: &Parameters) -> Self {
        let mut world = shared.lock();
        let asked = given(parameters, "t").or_else(|| given(parameters, "i"));
        let year = given(parameters, "y").unwrap_or_default();
        let key = given(parameters, "apikey");
        world.stats.begin(asked.unwrap_or_default(), year, key);
        let fault = world.faults.strike(asked);
        world.stats.faults += u64::from(fault.is_some());
        let late = match &fault {
            Some(Fault::Delay { ms }) => Duration::from_millis(*ms),
            _ => Duration::ZERO,
        };
        Self { shared: shared.clone(), wait: world.latency + late, fault, outcome: "abandoned".to_owned() }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        self.shared.lock().stats.end(&self.outcome);
    }
}

fn verdict(world: &mut World, parameters: &Parameters) -> (StatusCode, Value) {
    let refused = |status, error| (status, answer::refusal(error));
    match given(parameters, "apikey") {
        None => return refused(StatusCode::UNAUTHORIZED, "No API key provided."),
        Some(key) if key != world.key => {
            return refused(StatusCode::UNAUTHORIZED, "Invalid API key!");
        }
        Some(_) => {}
    }
    if !world.quota.take() {
        return refused(StatusCode::UNAUTHORIZED, "Request limit reached!");
    }
    let films = &world.films;
    let found = match (given(parameters, "i"), given(parameters, "t")) {
        (Some(id), _) if is_imdb_id(id) => films.by_id(id).ok_or("Error getting data."),
        (None, Some(title)) if is_film(parameters) => {
            films.by_title(title, given(parameters, "y")).ok_or("Movie not found!")
        }
        (None, Some(_)) => Err("Movie not found!"),
        _ => Err("Incorrect IMDb ID."),
    };
    match found {
        Ok(film) => (StatusCode::OK, answer::found(film)),
        Err(error) => refused(StatusCode::OK, error),
    }
}

/// A parameter that is there and not blank.
fn given<'a>(parameters: &'a Parameters, name: &str) -> Option<&'a str> {
    let value = parameters.get(name)?.trim();
    (!value.is_empty()).then_some(value)
}

fn is_imdb_id(id: &str) -> bool {
    let digits = id.strip_prefix("tt").unwrap_or_default();
    digits.len() >= 7 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// The file has nothing but films, so a call for a series finds nothing.
fn is_film(parameters: &Parameters) -> bool {
    given(parameters, "type").is_none_or(|kind| kind.eq_ignore_ascii_case("movie"))
}
