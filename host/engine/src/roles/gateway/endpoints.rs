//! All endpoints of a pipeline, and one request to one of them: what it becomes with the endpoint's parameters and secrets, and its turn.
//!
//! Does not try again, and does not judge what comes back.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::future::join_all;
use lake::failure::Failure;
use pipeline::plan::Endpoint;
use seams::clock::Clock;
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use seams::plugin::EndpointRequest;
use seams::secrets::{SecretRef, Secrets};
use seams::spans;
use url::Url;

use super::admit::{check_headers, check_path, check_query, short};
use super::error::{GatewayError, refused};
use super::gate::Gate;
use super::keys::Keys;
use crate::progress::Progress;
use crate::redaction::{RedactingHttp, Redactor};
use crate::stopping;

/// All endpoints of one pipeline.
#[derive(Debug)]
pub struct Gateway {
    endpoints: BTreeMap<String, Gate>,
    pub(super) keys: Keys,
    http: Arc<dyn Http>,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) progress: Arc<Progress>,
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
        Gateway::redacting(endpoints, references, secrets, (http, Redactor::default()), clock, progress)
    }

    /// The same with a redactor that outlives it, and so still knows earlier values of secrets.
    #[must_use]
    pub fn redacting(
        endpoints: &BTreeMap<String, Endpoint>,
        references: &BTreeMap<String, SecretRef>,
        secrets: Arc<dyn Secrets>,
        (http, redactor): (Arc<dyn Http>, Redactor),
        clock: Arc<dyn Clock>,
        progress: Arc<Progress>,
    ) -> Self {
        let http = Arc::new(RedactingHttp::new(http, redactor.clone()));
        let endpoints = endpoints.iter().map(|(name, endpoint)| (name.clone(), Gate::of(name, endpoint))).collect();
        let keys = Keys::new(references, secrets, Arc::clone(&clock), redactor);
        Gateway { endpoints, keys, http, clock, progress }
    }

    /// Whether there is an endpoint of that name.
    #[must_use]
    pub fn knows(&self, endpoint: &str) -> bool {
        self.endpoints.contains_key(endpoint)
    }

    /// The declared secrets.
    #[must_use]
    pub fn keys(&self) -> &Keys {
        &self.keys
    }

    /// A digest of the endpoints and of every secret, with `salt`: it shows a change of any, and no secret can be guessed from it. None if
    /// a secret cannot be read now.
    ///
    /// `fresh`: with secrets as they are at their places now, else as they were when requests were sent with them.
    pub async fn digest(&self, salt: &str, fresh: bool) -> Option<String> {
        self.keys.digest(self.endpoints.iter().map(|(name, gate)| (name, &gate.endpoint)), salt, fresh).await
    }

    /// Gets the secrets that requests will be sent with, and whatever else the first request would wait for. A failure is reported by the
    /// request that needs it.
    pub async fn prepare(&self) {
        self.endpoints.values().for_each(|gate| self.http.prepare(&gate.endpoint.url));
        let templates =
            self.endpoints.values().flat_map(|gate| gate.endpoint.query.iter().chain(&gate.endpoint.headers));
        let filled = templates.map(|(_, template)| self.keys.fill(template, false));
        join_all(filled).await;
    }

    /// `request` as it will be sent, with the endpoint's fixed parameters and with secrets by name only. Its answer is kept under this
    /// form.
    pub fn complete(&self, request: &EndpointRequest) -> Result<EndpointRequest, GatewayError> {
        let endpoint = &self.gate(&request.endpoint)?.endpoint;
        check_path(&request.path)?;
        check_query(&request.query, endpoint)?;
        check_headers(&request.headers, endpoint)?;
        let mut complete = request.clone();
        complete.query.extend(endpoint.query.iter().map(|(name, template)| (name.clone(), template.to_string())));
        complete.headers.extend(endpoint.headers.iter().map(|(name, template)| (name.clone(), template.to_string())));
        Ok(complete)
    }

    /// Whether to look for a request that the service of `endpoint` has answered well, because none is known: true once.
    #[must_use]
    pub fn wants_witness(&self, endpoint: &str) -> bool {
        self.endpoints.get(endpoint).is_some_and(|gate| gate.health().wants_witness())
    }

    /// Remembers that a complete request was answered well once, perhaps to another process: it is asked again to tell a service that is
    /// down from requests that get no answer.
    pub fn remember(&self, complete: &EndpointRequest) {
        let Some(gate) = self.endpoints.get(&complete.endpoint) else { return };
        let fixed = |all: &[(String, pipeline::plan::Template)], name: &str| all.iter().any(|(own, _)| own == name);
        let mut request = complete.clone();
        request.query.retain(|(name, _)| !fixed(&gate.endpoint.query, name));
        request.headers.retain(|(name, _)| !fixed(&gate.endpoint.headers, name));
        gate.health().remember(&request);
    }

    pub(super) fn gate(&self, name: &str) -> Result<&Gate, GatewayError> {
        self.endpoints.get(name).ok_or_else(|| {
            let known = self.endpoints.keys().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
            refused(
                "P160",
                format!(
                    "the plugin asks for endpoint `{}`, declared are {}",
                    short(name),
                    if known.is_empty() { "none" } else { &known }
                ),
            )
        })
    }

    async fn wait_for_turn(&self, gate: &Gate) -> Result<(), Failure> {
        let now = self.clock.now();
        let turn = gate.pace.lock().map(|mut pace| pace.next(now)).unwrap_or(now);
        if let Ok(span) = (turn - now).to_std() {
            tokio::select! {
                () = self.clock.sleep(span) => {}
                () = stopping::stopped() => return Err(stopping::failure()),
            }
        }
        Ok(())
    }

    /// One request on the wire, and where it went.
    pub(super) async fn exchange(
        &self,
        gate: &Gate,
        request: &EndpointRequest,
    ) -> Result<(Url, Result<HttpAnswer, HttpError>), Failure> {
        self.wait_for_turn(gate).await?;
        let made = self.assemble(gate, request).await?;
        // What another endpoint is sent may be echoed as well.
        self.keys.learn().await;
        Progress::add(&self.progress.requests, 1);
        let span = spans::request(&request.endpoint, made.url.host_str());
        let url = made.url.clone();
        Ok((url, spans::requested(span, self.http.send(made)).await))
    }

    async fn assemble(&self, gate: &Gate, request: &EndpointRequest) -> Result<HttpRequest, Failure> {
        let endpoint = &gate.endpoint;
        let mut url = join(&endpoint.url, &request.path);
        let mut query = request.query.clone();
        for (name, template) in &endpoint.query {
            query.push((name.clone(), self.keys.fill(template, false).await?));
        }
        url.query_pairs_mut().extend_pairs(&query);
        if url.query() == Some("") {
            url.set_query(None);
        }
        let mut headers = request.headers.clone();
        for (name, template) in &endpoint.headers {
            headers.push((name.clone(), self.keys.fill(template, false).await?));
        }
        Ok(HttpRequest { url, headers, timeout: endpoint.timeout, max_body: endpoint.max_body })
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
