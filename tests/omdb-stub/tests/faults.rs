//! Answers for each fault: what arrives at a client is exactly the fault that was asked for.
//!
//! Does not test which call a rule strikes; `src/faults.rs` does.

// How long an answer takes is what some faults are about.
#![allow(clippy::disallowed_methods)]

mod client;

use std::time::{Duration, Instant};

use client::{control, get, json, started};
use omdb_stub::{Fault, Rule};
use reqwest::Method;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, LOCATION, RETRY_AFTER};
use serde_json::{Value, json};

const QUERY: &str = "t=Alien&y=1979";

#[tokio::test]
async fn a_status_with_retry_after_for_the_next_call_only() {
    let stub = started().await;
    let rule = json!({"fault": {"kind": "status", "status": 429, "retry_after": "2"}, "next": 1});
    assert_eq!(control(&stub, Method::POST, "faults", Some(rule.clone())).await.0, 204);
    assert_eq!(control(&stub, Method::GET, "faults", None).await.1, json!([rule]));
    let response = get(&stub, QUERY).await.unwrap();
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()[RETRY_AFTER], "2");
    assert_eq!(json(&stub, QUERY).await.0, 200);
    assert_eq!(stub.stats().faults, 1);
}

#[tokio::test]
async fn a_bad_rule_is_refused() {
    let stub = started().await;
    for rule in [
        json!({"fault": {"kind": "status", "status": 99}}),
        json!({"fault": {"kind": "html"}, "every": 0}),
        json!({"fault": {"kind": "meteor"}}),
    ] {
        assert_eq!(control(&stub, Method::POST, "faults", Some(rule)).await.0, 422);
    }
}

#[tokio::test]
async fn delay_is_the_right_answer_late() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::Delay { ms: 150 }, 1));
    let begun = Instant::now();
    let (_, film) = json(&stub, QUERY).await;
    assert_eq!(film["Title"], "Alien");
    assert!(begun.elapsed() >= Duration::from_millis(150));
}

#[tokio::test]
async fn truncated_json_is_whole_http() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::TruncatedJson, 1));
    let text = get(&stub, QUERY).await.unwrap().text().await.unwrap();
    assert!(text.starts_with("{\"Title\""));
    assert!(serde_json::from_str::<Value>(&text).is_err());
}

#[tokio::test]
async fn html_comes_with_200() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::Html, 1));
    let response = get(&stub, QUERY).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.headers()[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
}

#[tokio::test]
async fn a_slow_body_takes_its_time_by_the_byte() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::SlowBody { ms_per_byte: 5 }, 1));
    let mut response = get(&stub, QUERY).await.unwrap();
    assert!(response.content_length().unwrap() > 100);
    let begun = Instant::now();
    let mut bytes = 0;
    while bytes < 20 {
        bytes += response.chunk().await.unwrap().unwrap().len();
    }
    assert!(begun.elapsed() >= Duration::from_millis(50), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn a_gzip_bomb_is_small_on_the_wire() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::GzipBomb { mib: 16 }, 1));
    let response = get(&stub, QUERY).await.unwrap();
    assert_eq!(response.headers()[CONTENT_ENCODING], "gzip");
    assert!(response.bytes().await.unwrap().len() < 512 * 1024);
}

#[tokio::test]
async fn a_wrong_charset_is_not_utf_8() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::WrongCharset, 1));
    let response = get(&stub, QUERY).await.unwrap();
    assert_eq!(response.headers()[CONTENT_TYPE], "application/json; charset=utf-8");
    assert!(std::str::from_utf8(&response.bytes().await.unwrap()).is_err());
}

#[tokio::test]
async fn a_redirect_points_at_the_metadata_service() {
    let stub = started().await;
    let rule = json!({"fault": {"kind": "redirect"}, "next": 1});
    control(&stub, Method::POST, "faults", Some(rule)).await;
    let response = get(&stub, QUERY).await.unwrap();
    assert_eq!(response.status(), 302);
    assert_eq!(response.headers()[LOCATION], "http://169.254.169.254/latest/meta-data/");
}

#[tokio::test]
async fn a_reset_answers_nothing() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::Reset, 1));
    let error = get(&stub, QUERY).await.unwrap_err();
    assert!(error.is_request(), "{error:?}");
    assert_eq!(stub.stats().by_status.get("reset"), Some(&1));
    assert_eq!(json(&stub, QUERY).await.0, 200);
}

#[tokio::test]
async fn close_mid_body_gives_a_head_and_half() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::CloseMidBody, 1));
    let response = get(&stub, QUERY).await.unwrap();
    assert_eq!(response.status(), 200);
    assert!(response.bytes().await.is_err());
}

#[tokio::test]
async fn calls_at_once_are_counted() {
    let stub = started().await;
    let latency = json!({"ms": 100});
    assert_eq!(control(&stub, Method::POST, "latency", Some(latency)).await.0, 204);
    tokio::join!(json(&stub, QUERY), json(&stub, QUERY), json(&stub, QUERY));
    assert_eq!(stub.stats().in_flight_max, 3);
    assert_eq!(stub.stats().in_flight, 0);
}

#[tokio::test]
async fn a_call_that_is_given_up_still_ends() {
    let stub = started().await;
    stub.add_fault(Rule::next(Fault::Delay { ms: 60_000 }, 1));
    let given_up = tokio::time::timeout(Duration::from_millis(200), get(&stub, QUERY)).await;
    assert!(given_up.is_err());
    for _ in 0..100 {
        if stub.stats().in_flight == 0 {
            break;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(stub.stats().by_status.get("abandoned"), Some(&1));
}

#[tokio::test]
async fn reset_brings_everything_back() {
    let stub = started().await;
    stub.add_fault(Rule::every(Fault::Html, 1));
    stub.set_quota(Some(0));
    stub.remove_film("Alien", "1979").unwrap();
    assert_eq!(control(&stub, Method::POST, "reset", None).await.0, 204);
    assert_eq!(json(&stub, QUERY).await.1["Title"], "Alien");
}
