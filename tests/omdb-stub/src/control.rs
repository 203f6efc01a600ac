//! Answers for what a test tells the stand-in over HTTP, below `/_stub/`.
//!
//! Does not ask for a key: it listens on loopback, for the length of a test.

use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::{get, post};
use axum::{Json, Router};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use crate::faults::Rule;
use crate::stats::Snapshot;
use crate::world::Shared;

type Told = Result<StatusCode, (StatusCode, Json<Value>)>;

pub(crate) fn routes() -> Router<Shared> {
    Router::new()
        .route("/stats", get(stats).delete(zero_stats))
        .route("/faults", get(faults).post(add_fault).delete(clear_faults))
        .route("/quota", post(set_quota))
        .route("/quota/reset", post(reset_quota))
        .route("/latency", post(set_latency))
        .route("/films", post(set_film).delete(remove_film))
        .route("/films/restore", post(restore_films))
        .route("/reset", post(reset))
}

async fn stats(State(shared): State<Shared>) -> Json<Snapshot> {
    Json(shared.lock().stats.clone())
}

async fn zero_stats(State(shared): State<Shared>) -> StatusCode {
    shared.lock().stats.zero();
    StatusCode::NO_CONTENT
}

async fn faults(State(shared): State<Shared>) -> Json<Vec<Rule>> {
    Json(shared.lock().faults.list())
}

async fn add_fault(State(shared): State<Shared>, Json(rule): Json<Rule>) -> Told {
    match rule.problem() {
        Some(problem) => told(Err(problem)),
        None => {
            shared.lock().faults.add(rule);
            told(Ok(()))
        }
    }
}

async fn clear_faults(State(shared): State<Shared>) -> StatusCode {
    shared.lock().faults.clear();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewQuota {
    limit: Option<u64>,
}

async fn set_quota(State(shared): State<Shared>, Json(quota): Json<NewQuota>) -> StatusCode {
    shared.lock().quota.set(quota.limit);
    StatusCode::NO_CONTENT
}

async fn reset_quota(State(shared): State<Shared>) -> StatusCode {
    shared.lock().quota.reset();
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewLatency {
    ms: u64,
}

async fn set_latency(State(shared): State<Shared>, Json(latency): Json<NewLatency>) -> StatusCode {
    shared.lock().latency = Duration::from_millis(latency.ms);
    StatusCode::NO_CONTENT
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilmChange {
    title: String,
    year: String,
    set: Map<String, Value>,
}

async fn set_film(State(shared): State<Shared>, Json(change): Json<FilmChange>) -> Told {
    let FilmChange { title, year, set } = change;
    told(shared.lock().films.set(&title, &year, &set))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FilmName {
    title: String,
    year: String,
}

async fn remove_film(State(shared): State<Shared>, Json(film): Json<FilmName>) -> Told {
    told(shared.lock().films.remove(&film.title, &film.year))
}

async fn restore_films(State(shared): State<Shared>) -> StatusCode {
    shared.lock().films.restore();
    StatusCode::NO_CONTENT
}

async fn reset(State(shared): State<Shared>) -> StatusCode {
    shared.lock().reset();
    StatusCode::NO_CONTENT
}

fn told(outcome: Result<(), String>) -> Told {
    match outcome {
        Ok(()) => Ok(StatusCode::NO_CONTENT),
        Err(problem) => Err((StatusCode::UNPROCESSABLE_ENTITY, Json(json!({ "error": problem })))),
    }
}
