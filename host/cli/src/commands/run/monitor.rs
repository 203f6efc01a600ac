//! What a serving process says of itself over HTTP: `/livez`, `/readyz`, and `/metrics` in OpenMetrics' text form.
//!
//! Does not ask who is asking: it is for an address that only the monitoring can reach. It shows counts and names of stages, no record, key
//! or secret.

use std::net::SocketAddr;
use std::sync::{Arc, OnceLock};

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::drivers::serving::Serving;
use engine::progress::{Outcome, Progress};
use engine::status::{self, QueueStatus};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use self::metrics::Metrics;

mod metrics;

/// What is monitored.
#[derive(Clone, Default)]
pub(super) struct Monitored {
    /// Set when the pipelines are composed.
    serving: Arc<OnceLock<Vec<Arc<Serving>>>>,
    /// Cancelled when the process begins to end.
    stop: CancellationToken,
}

impl Monitored {
    /// Nothing yet, until `stop`.
    pub(super) fn until(stop: &CancellationToken) -> Self {
        Monitored { serving: Arc::default(), stop: stop.clone() }
    }

    /// From now on these pipelines are served.
    pub(super) fn serves(&self, serving: Vec<Arc<Serving>>) {
        let _ = self.serving.set(serving);
    }

    /// Answers at `address` for as long as the process lives: also while it starts and while it drains, which its probes ask about.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub(super) async fn answer_at(&self, address: SocketAddr) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at `{address}`"))?;
        let address = listener.local_addr().with_context(|| format!("cannot listen at `{address}`"))?;
        tracing::info!(%address, "answering /livez, /readyz and /metrics");
        let routes = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.clone());
        tokio::spawn(async move {
            if let Err(error) = axum::serve(listener, routes).await {
                tracing::error!(%error, "no longer answering /livez, /readyz and /metrics");
            }
        });
        Ok(())
    }
}

/// A stage that is suspended does not make the process unready: another process would be no better off.
async fn ready(State(monitored): State<Monitored>) -> (StatusCode, &'static str) {
    match monitored.serving.get() {
        _ if monitored.stop.is_cancelled() => {
            (StatusCode::SERVICE_UNAVAILABLE, "ending: finishing what is under way\n")
        }
        None => (StatusCode::SERVICE_UNAVAILABLE, "starting\n"),
        Some(_) => (StatusCode::OK, "ready\n"),
    }
}

async fn metrics(State(monitored): State<Monitored>) -> Response {
    let mut metrics = Metrics::default();
    for serving in monitored.serving.get().into_iter().flatten() {
        let service = serving.current();
        metrics.count(&service.pipeline, &service.progress);
        // Queues that do not answer are no reason to hide the rest.
        match status::queues(&service).await {
            Ok(queues) => {
                let now = service.clock.now();
                queues.iter().for_each(|(stage, queue)| metrics.queue(&service.pipeline, stage, queue, now));
            }
            Err(error) => tracing::warn!(pipeline = service.pipeline, %error, "no metrics of the queues"),
        }
    }
    match metrics.text() {
        Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, format!("{error}\n")).into_response(),
    }
}
