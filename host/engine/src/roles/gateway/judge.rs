//! What an answer means to the sender of the request: use it, wait and ask again, or give up.
//!
//! Does not judge the service: `health` does, from many answers.

use std::time::Duration;

use chrono::{DateTime, Utc};
use lake::failure::Failure;
use pipeline::urls::shown_url;
use seams::backoff;
use seams::foreign::inert;
use seams::http::{HttpAnswer, HttpError};
use seams::plugin::EndpointRequest;
use url::Url;

use super::error::{GatewayError, refused};
use super::gate::Gate;
use super::health::Trouble;
use super::timing::{backoff as after, retry_after};
use crate::redaction::Redactor;

/// A pause that the service asks for is waited out in place up to this; a longer one stops the consumer.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How long the consumer rests when a service says "too many requests" but not for how long.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);

/// What to do about an answer.
pub(super) enum Verdict {
    /// Use it.
    Answer,
    /// Give up.
    Refuse(GatewayError),
    /// Ask again after so long.
    Wait(Duration),
}

/// What is wrong with the service, if that is what an exchange says; `last`: whether no further try follows.
pub(super) fn trouble(asked: &Result<HttpAnswer, HttpError>, last: bool, now: DateTime<Utc>) -> Option<Trouble> {
    let trouble = |what: String, certain| Some(Trouble { what, certain, pause: None });
    match asked {
        Ok(answer) => of_answer(answer, last, now),
        Err(HttpError::TooLarge { .. } | HttpError::Invalid(_)) => None,
        // Nothing was sent: that cannot be the request's fault. A certificate that is not trusted is for a person to look at.
        Err(error @ HttpError::Connect(_)) => trouble(error.to_string(), last),
        Err(error @ HttpError::Tls(_)) => trouble(error.to_string(), true),
        Err(error @ (HttpError::Timeout(_) | HttpError::Broken(_))) => trouble(error.to_string(), false),
    }
}

fn of_answer(answer: &HttpAnswer, last: bool, now: DateTime<Utc>) -> Option<Trouble> {
    let status = answer.status;
    if !matches!(status, 408 | 425 | 429 | 500..=599) {
        return None;
    }
    let asked = answer.header("retry-after").and_then(|text| retry_after(text, now));
    let asked = asked.or_else(|| (status == 429 && last).then_some(UNKNOWN_PAUSE));
    // Too long to be waited out in place: that concerns all senders.
    let long = asked.filter(|pause| matches!(status, 429 | 503) && (*pause > LONGEST_WAIT || (status == 429 && last)));
    let what = match long {
        Some(pause) if pause > backoff::LONGEST_WAIT => format!(
            "it answered {status} and asks for a pause of {} s, it is asked again after {} s",
            pause.as_secs(),
            backoff::LONGEST_WAIT.as_secs()
        ),
        Some(pause) => format!("it answered {status} and asks for a pause of {} s", pause.as_secs()),
        None => format!("it answered {status}"),
    };
    Some(Trouble { what, certain: long.is_some(), pause: asked.map(backoff::bounded) })
}

/// What to do about the answer to `request`, which went to `url` as its `attempt`th try.
pub(super) fn of_try(
    gate: &Gate,
    (request, url): (&EndpointRequest, &Url),
    answer: &HttpAnswer,
    attempt: u32,
    now: DateTime<Utc>,
    redactor: &Redactor,
) -> Verdict {
    let name = &request.endpoint;
    let status = answer.status;
    let asked = answer.header("retry-after").and_then(|text| retry_after(text, now));
    let last = attempt >= gate.endpoint.attempts.get();
    match status {
        429 | 408 | 425 | 500..=599 if last => {
            let reason = format!("endpoint `{name}` answered {status}, {attempt} times out of {attempt}");
            Verdict::Refuse(Failure::Transient(reason).into())
        }
        429 | 408 | 425 | 500..=599 => {
            // No worker rests for longer than that with work in hand: what may be one request's fault is tried again later, from the queue.
            Verdict::Wait(asked.map_or_else(|| after(request, attempt), |asked| asked.min(LONGEST_WAIT)))
        }
        300..=303 | 305..=399 => {
            let to = answer.header("location").map(|to| target(url, to, redactor));
            Verdict::Refuse(refused("P161", redirected(name, status, to.as_deref())))
        }
        _ => Verdict::Answer,
    }
}

/// Where a redirect leads, without what must not be shown: the URL that it is relative to holds secrets.
fn target(url: &Url, location: &str, redactor: &Redactor) -> String {
    let to = url.join(location).map_or_else(|_| location.to_owned(), |to| shown_url(&to));
    let shown: String = redactor.redact(&to).chars().take(MOST_SHOWN).collect();
    inert(&shown).into_owned()
}

/// Characters of a redirect's target that are shown.
const MOST_SHOWN: usize = 500;

fn redirected(name: &str, status: u16, to: Option<&str>) -> String {
    let Some(to) = to else {
        return format!("endpoint `{name}` redirects ({status}) and does not say where to");
    };
    let place = to.split(['?', '#']).next().unwrap_or(to);
    format!(
        "endpoint `{name}` redirects ({status}) to `{to}`, and redirects are not followed\nhint: if that is the right place, \
         let `url` under `[endpoints.{name}]` lead there (it leads to `{place}`), then `sluicebox quarantine replay --fetch`"
    )
}

/// How long to wait after an error before the next try, or why there is none.
pub(super) fn after_error(
    gate: &Gate,
    request: &EndpointRequest,
    error: HttpError,
    attempt: u32,
) -> Result<Duration, GatewayError> {
    let name = &request.endpoint;
    match error {
        HttpError::TooLarge { .. } => Err(refused("P165", format!("endpoint `{name}`: {error}"))),
        HttpError::Invalid(_) => Err(refused("P162", format!("endpoint `{name}`: {error}"))),
        _ if attempt >= gate.endpoint.attempts.get() => {
            Err(Failure::Transient(format!("endpoint `{name}`: {error} (tried {attempt} times)")).into())
        }
        _ => Ok(after(request, attempt)),
    }
}
