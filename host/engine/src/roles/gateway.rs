//! The way out: an endpoint's name and some parameters become one request with secrets, within the endpoint's rate, tried again
//! where that makes sense.
//!
//! Does not keep answers, and does not know what they mean: `roles::enrich` and its plugin do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use thiserror::Error;
use url::Url;

use crate::failure::Failure;
use crate::lake::keys::fingerprint;
use crate::pipeline::plan::{Endpoint, Rate, Template, TemplatePart};
use crate::progress::Progress;
use crate::seams::clock::Clock;
use crate::seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use crate::seams::plugin::EndpointRequest;
use crate::seams::secrets::{ExposeSecret, SecretError, SecretRef, SecretString, Secrets};

/// Most characters of a path and query that a plugin may ask for.
const MOST_URL: usize = 8 << 10;
/// A pause that the service asks for is waited out in place up to this; a longer one stops the consumer.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How long the consumer rests when a service says "too many requests" and not for how long.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);
const FIRST_BACKOFF: Duration = Duration::from_millis(200);

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum GatewayError {
    /// The plugin asked for something that it may not have, or the answer is one that no retry will mend: the record's fault.
    #[error("{reason}")]
    Refused {
        /// Stable code.
        code: &'static str,
        /// What was asked for, and what is allowed.
        reason: String,
    },
    /// Not the record's fault.
    #[error(transparent)]
    Failure(#[from] Failure),
}

fn refused(code: &'static str, reason: String) -> GatewayError {
    GatewayError::Refused { code, reason }
}

/// All endpoints of one pipeline.
#[derive(Debug)]
pub struct Gateway {
    endpoints: BTreeMap<String, Gate>,
    references: BTreeMap<String, SecretRef>,
    secrets: Arc<dyn Secrets>,
    http: Arc<dyn Http>,
    clock: Arc<dyn Clock>,
    progress: Arc<Progress>,
}

#[derive(Debug)]
struct Gate {
    endpoint: Endpoint,
    pace: Mutex<Pace>,
}

impl Gateway {
    /// The gateway of a plan's endpoints and secrets.
    #[must_use]
    pub fn new(
        endpoints: &BTreeMap<String, Endpoint>,
        references: &BTreeMap<String, SecretRef>,
        secrets: Arc<dyn Secrets>,
        http: Arc<dyn Http>,
        clock: Arc<dyn Clock>,
        progress: Arc<Progress>,
    ) -> Self {
        let gate =
            |endpoint: &Endpoint| Gate { endpoint: endpoint.clone(), pace: Mutex::new(Pace::new(endpoint.rate)) };
        let endpoints = endpoints.iter().map(|(name, endpoint)| (name.clone(), gate(endpoint))).collect();
        Gateway { endpoints, references: references.clone(), secrets, http, clock, progress }
    }

    /// `request` as it will be sent, with the endpoint's fixed parameters and with secrets by name only. What it names is what is kept.
    pub fn complete(&self, request: &EndpointRequest) -> Result<EndpointRequest, GatewayError> {
        let endpoint = &self.gate(&request.endpoint)?.endpoint;
        check_path(&request.path)?;
        check_query(&request.query, endpoint)?;
        check_headers(&request.headers)?;
        let mut complete = request.clone();
        complete.query.extend(endpoint.query.iter().map(|(name, template)| (name.clone(), template.to_string())));
        complete.headers.extend(endpoint.headers.iter().map(|(name, template)| (name.clone(), template.to_string())));
        Ok(complete)
    }

    /// The answer to `request` (as the plugin asked), tried as often as its endpoint allows.
    pub async fn send(&self, request: &EndpointRequest) -> Result<HttpAnswer, GatewayError> {
        let gate = self.gate(&request.endpoint)?;
        let mut refreshed = false;
        let mut attempt = 1;
        loop {
            self.wait_for_turn(gate).await;
            let made = self.assemble(gate, request, false).await?;
            Progress::add(&self.progress.requests, 1);
            match self.http.send(made).await {
                Ok(answer) if matches!(answer.status, 401 | 403) && !refreshed => {
                    // The secret may have been rotated: look once, and ask again only if it really is another one.
                    refreshed = true;
                    if !self.refresh(&gate.endpoint).await? {
                        return Ok(answer);
                    }
                }
                Ok(answer) => match self.judge(gate, request, &answer, attempt) {
                    Verdict::Answer => return Ok(answer),
                    Verdict::Refuse(error) => return Err(error),
                    Verdict::Wait(span) => {
                        attempt += 1;
                        self.clock.sleep(span).await;
                    }
                },
                Err(error) => {
                    let wait = after_error(gate, request, error, attempt)?;
                    attempt += 1;
                    self.clock.sleep(wait).await;
                }
            }
        }
    }

    fn gate(&self, name: &str) -> Result<&Gate, GatewayError> {
        self.endpoints.get(name).ok_or_else(|| {
            let known = self.endpoints.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            refused(
                "P160",
                format!(
                    "the plugin asks for endpoint `{name}`, declared are {}",
                    if known.is_empty() { "none" } else { &known }
                ),
            )
        })
    }

    async fn wait_for_turn(&self, gate: &Gate) {
        let now = self.clock.now();
        let turn = gate.pace.lock().map(|mut pace| pace.next(now)).unwrap_or(now);
        if turn > now {
            self.clock.sleep_until(turn).await;
        }
    }

    async fn assemble(&self, gate: &Gate, request: &EndpointRequest, fresh: bool) -> Result<HttpRequest, Failure> {
        let endpoint = &gate.endpoint;
        let mut url = join(&endpoint.url, &request.path);
        let mut query = request.query.clone();
        for (name, template) in &endpoint.query {
            query.push((name.clone(), self.fill(template, fresh).await?));
        }
        url.query_pairs_mut().extend_pairs(&query);
        if url.query() == Some("") {
            url.set_query(None);
        }
        let mut headers = request.headers.clone();
        for (name, template) in &endpoint.headers {
            headers.push((name.clone(), self.fill(template, fresh).await?));
        }
        Ok(HttpRequest { url, headers, timeout: endpoint.timeout, max_body: endpoint.max_body })
    }

    async fn fill(&self, template: &Template, fresh: bool) -> Result<String, SecretError> {
        let mut text = String::new();
        for part in &template.0 {
            match part {
                TemplatePart::Text(piece) => text.push_str(piece),
                TemplatePart::Secret(name) => text.push_str(self.secret(name, fresh).await?.expose_secret()),
            }
        }
        Ok(text)
    }

    async fn secret(&self, name: &str, fresh: bool) -> Result<SecretString, SecretError> {
        // The plan has checked that every template names a declared secret.
        let reference = self.references.get(name).cloned().unwrap_or_else(|| SecretRef::Env(name.to_owned()));
        if fresh { self.secrets.refresh(&reference).await } else { self.secrets.get(&reference).await }
    }

    /// Reads the endpoint's secrets anew; whether one has changed.
    async fn refresh(&self, endpoint: &Endpoint) -> Result<bool, Failure> {
        let mut changed = false;
        for (_, template) in endpoint.query.iter().chain(&endpoint.headers) {
            let before = self.fill(template, false).await?;
            changed |= self.fill(template, true).await? != before;
        }
        Ok(changed)
    }

    fn judge(&self, gate: &Gate, request: &EndpointRequest, answer: &HttpAnswer, attempt: u32) -> Verdict {
        let name = &request.endpoint;
        let status = answer.status;
        let asked = answer.header("retry-after").and_then(|text| retry_after(text, self.clock.now()));
        let last = attempt >= gate.endpoint.attempts.get();
        match status {
            429 | 503 if asked.is_some_and(|span| span > LONGEST_WAIT) || (status == 429 && last) => {
                let pause = asked.unwrap_or(UNKNOWN_PAUSE);
                let reason =
                    format!("endpoint `{name}` answered {status} and asks for a pause of {} s", pause.as_secs());
                Verdict::Refuse(Failure::Pause { pause, reason }.into())
            }
            429 | 408 | 425 | 500..=599 if last => {
                let reason = format!("endpoint `{name}` answered {status}, {attempt} times out of {attempt}");
                Verdict::Refuse(Failure::Transient(reason).into())
            }
            429 | 408 | 425 | 500..=599 => Verdict::Wait(asked.unwrap_or_else(|| backoff(request, attempt))),
            300..=303 | 305..=399 => {
                let to = answer.header("location").and_then(|to| gate.endpoint.url.join(to).ok());
                let to = to
                    .and_then(|url| url.host_str().map(str::to_owned))
                    .unwrap_or_else(|| "an unnamed place".to_owned());
                let reason =
                    format!("endpoint `{name}` redirects ({status}) to `{to}`, and redirects are not followed");
                Verdict::Refuse(refused("P161", reason))
            }
            _ => Verdict::Answer,
        }
    }
}

enum Verdict {
    Answer,
    Refuse(GatewayError),
    Wait(Duration),
}

fn after_error(
    gate: &Gate,
    request: &EndpointRequest,
    error: HttpError,
    attempt: u32,
) -> Result<Duration, GatewayError> {
    let name = &request.endpoint;
    match error {
        HttpError::TooLarge { .. } => Err(refused("P165", format!("endpoint `{name}`: {error}"))),
        HttpError::Invalid(_) => Err(refused("P162", format!("endpoint `{name}`: {error}"))),
        // A certificate that is not trusted is nobody's record: rest until a person has looked.
        HttpError::Tls(_) => {
            Err(Failure::Pause { pause: UNKNOWN_PAUSE, reason: format!("endpoint `{name}`: {error}") }.into())
        }
        _ if attempt >= gate.endpoint.attempts.get() => {
            Err(Failure::Transient(format!("endpoint `{name}`: {error} (tried {attempt} times)")).into())
        }
        _ => Ok(backoff(request, attempt)),
    }
}

/// Doubles with each attempt, spread over half to the whole of it by the request's content, so that the failures of one moment do
/// not all return in one moment.
fn backoff(request: &EndpointRequest, attempt: u32) -> Duration {
    let seed = serde_json::to_vec(request).unwrap_or_default();
    let digits = fingerprint(&[&seed, &attempt.to_be_bytes()]);
    let spread = u32::from_str_radix(digits.get(..4).unwrap_or("0"), 16).unwrap_or(0);
    let whole = FIRST_BACKOFF.saturating_mul(1 << attempt.min(6));
    whole / 2 + (whole / 2).mul_f64(f64::from(spread) / f64::from(u16::MAX))
}

fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or(Duration::ZERO))
}

fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if !path.is_empty()
        && let Ok(mut segments) = url.path_segments_mut()
    {
        segments.pop_if_empty().extend(path.split('/').filter(|segment| !segment.is_empty()));
    }
    url
}

fn check_path(path: &str) -> Result<(), GatewayError> {
    let bad = path.len() > MOST_URL
        || path.contains(['?', '#', '\\', ':', '@'])
        || path.chars().any(char::is_control)
        || path.split('/').any(|segment| segment == "." || segment == "..");
    if bad {
        Err(refused("P160", format!("the plugin asks for path `{}`, expected a plain relative one", short(path))))
    } else {
        Ok(())
    }
}

fn check_query(query: &[(String, String)], endpoint: &Endpoint) -> Result<(), GatewayError> {
    let size: usize = query.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MOST_URL {
        return Err(refused(
            "P163",
            format!("the plugin asks with {size} bytes of query, at most {MOST_URL} are allowed"),
        ));
    }
    match query.iter().find(|(name, _)| endpoint.query.iter().any(|(fixed, _)| fixed == name)) {
        Some((name, _)) => {
            Err(refused("P164", format!("the plugin sets query parameter `{}`, which the endpoint fixes", short(name))))
        }
        None => Ok(()),
    }
}

fn check_headers(headers: &[(String, String)]) -> Result<(), GatewayError> {
    for (name, value) in headers {
        let known = matches!(name.as_str(), "accept" | "accept-language") || name.starts_with("x-");
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !known || !plain {
            let expected = "expected `accept`, `accept-language` or `x-…` in lower case";
            return Err(refused("P162", format!("the plugin sets header `{}`, {expected}", short(name))));
        }
        if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || value.len() > MOST_URL {
            return Err(refused(
                "P162",
                format!("the plugin's header `{name}` has a value that is no printable ASCII"),
            ));
        }
    }
    Ok(())
}

/// Untrusted text, short and on one line.
fn short(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

/// An even pace with bursts: the generic cell rate algorithm (ITU-T I.371).
#[derive(Debug)]
struct Pace {
    rate: Option<Rate>,
    /// When the bucket would be full again.
    full_at: DateTime<Utc>,
}

impl Pace {
    fn new(rate: Option<Rate>) -> Self {
        Pace { rate, full_at: DateTime::UNIX_EPOCH }
    }

    /// The instant at which the caller may send.
    fn next(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let Some(rate) = self.rate else { return now };
        let span = |span: Duration| TimeDelta::from_std(span).unwrap_or(TimeDelta::zero());
        let interval = span(rate.interval);
        let slack = span(rate.interval.saturating_mul(rate.burst.get() - 1));
        self.full_at = self.full_at.max(now);
        let turn = (self.full_at - slack).max(now);
        self.full_at += interval;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_pace_lets_a_burst_through_and_then_one_an_interval() {
        let rate = Rate { interval: Duration::from_millis(100), burst: NonZeroU32::new(3).unwrap() };
        let mut pace = Pace::new(Some(rate));
        let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1000);
        let waits: Vec<i64> = (0..5).map(|_| (pace.next(now) - now).num_milliseconds()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + TimeDelta::seconds(10);
        assert_eq!(pace.next(later), later);
    }

    #[test]
    fn paths_stay_below_the_endpoint() {
        let base = Url::parse("https://api.example/v1").unwrap();
        assert_eq!(join(&base, "a b/c").as_str(), "https://api.example/v1/a%20b/c");
        assert_eq!(join(&base, "").as_str(), "https://api.example/v1");
        for path in ["../admin", "//evil.example/x?y", "http://evil.example", "a/../../b", "x\ny", "u@evil"] {
            let outside = check_path(path).is_err() || join(&base, path).host_str() != Some("api.example");
            assert!(check_path(path).is_err() || !outside, "{path}");
        }
        assert!(check_path("../admin").is_err() && check_path("http://evil.example").is_err());
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        let now = DateTime::parse_from_rfc3339("2026-11-24T03:00:00Z").unwrap().to_utc();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Tue, 24 Nov 2026 03:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("soon", now), None);
    }

    #[test]
    fn headers_are_allowed_by_name() {
        let ok = |name: &str, value: &str| check_headers(&[(name.into(), value.into())]).is_ok();
        assert!(ok("accept", "application/json") && ok("x-trace", "1"));
        assert!(!ok("host", "evil") && !ok("authorization", "x") && !ok("X-Upper", "1") && !ok("x-a", "b\r\nc"));
    }
}
