//! The way out: an endpoint's name and some parameters become one request with secrets, within the endpoint's rate, tried again
//! where that makes sense.
//!
//! Does not keep answers, and does not know what they mean: `roles::enrich` and its plugin do.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures::future::join_all;
use thiserror::Error;
use url::Url;

use crate::failure::Failure;
use crate::pipeline::plan::{Endpoint, Template, TemplatePart};
use crate::progress::Progress;
use crate::seams::clock::Clock;
use crate::seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use crate::seams::plugin::EndpointRequest;
use crate::seams::secrets::{ExposeSecret, SecretError, SecretRef, SecretString, Secrets};
use crate::spans;

mod admit;
mod timing;

use admit::{check_headers, check_path, check_query};
use timing::{Pace, backoff, retry_after};

/// A pause that the service asks for is waited out in place up to this; a longer one stops the consumer.
const LONGEST_WAIT: Duration = Duration::from_secs(20);
/// How long the consumer rests when a service says "too many requests" and not for how long.
const UNKNOWN_PAUSE: Duration = Duration::from_secs(60);

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

    /// Whether there is an endpoint of that name.
    #[must_use]
    pub fn knows(&self, endpoint: &str) -> bool {
        self.endpoints.contains_key(endpoint)
    }

    /// The declared secrets by name, and the names of those that cannot be had now.
    pub async fn secrets(&self) -> (Vec<(String, SecretString)>, Vec<String>) {
        let (mut had, mut absent) = (Vec::new(), Vec::new());
        for name in self.references.keys() {
            match self.secret(name, false).await {
                Ok(secret) => had.push((name.clone(), secret)),
                Err(_) => absent.push(name.clone()),
            }
        }
        (had, absent)
    }

    /// Gets the secrets that requests will be sent with, and whatever else the first request would wait for. What fails is told by the request
    /// that needs it.
    pub async fn prepare(&self) {
        self.endpoints.values().for_each(|gate| self.http.prepare(&gate.endpoint.url));
        let templates =
            self.endpoints.values().flat_map(|gate| gate.endpoint.query.iter().chain(&gate.endpoint.headers));
        let filled = templates.map(|(_, template)| self.fill(template, false));
        join_all(filled).await;
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
            let made = self.assemble(gate, request).await?;
            Progress::add(&self.progress.requests, 1);
            let span = spans::request(&request.endpoint, made.url.host_str());
            match spans::requested(span, self.http.send(made)).await {
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

    async fn assemble(&self, gate: &Gate, request: &EndpointRequest) -> Result<HttpRequest, Failure> {
        let endpoint = &gate.endpoint;
        let mut url = join(&endpoint.url, &request.path);
        let mut query = request.query.clone();
        for (name, template) in &endpoint.query {
            query.push((name.clone(), self.fill(template, false).await?));
        }
        url.query_pairs_mut().extend_pairs(&query);
        if url.query() == Some("") {
            url.set_query(None);
        }
        let mut headers = request.headers.clone();
        for (name, template) in &endpoint.headers {
            headers.push((name.clone(), self.fill(template, false).await?));
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

fn join(base: &Url, path: &str) -> Url {
    let mut url = base.clone();
    if !path.is_empty()
        && let Ok(mut segments) = url.path_segments_mut()
    {
        segments.pop_if_empty().extend(path.split('/').filter(|segment| !segment.is_empty()));
    }
    url
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_added_to_the_endpoints_own() {
        let base = Url::parse("https://api.example/v1").unwrap();
        assert_eq!(join(&base, "a b/c").as_str(), "https://api.example/v1/a%20b/c");
        assert_eq!(join(&base, "").as_str(), "https://api.example/v1");
    }
}
