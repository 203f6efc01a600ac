//! What a serving process says of itself over HTTP: `/livez`, `/readyz`, and `/metrics` in OpenMetrics' text form.
//!
//! Does not ask who is asking: it is for an address that only the monitoring can reach. It shows counts and names of stages, no record, key
//! or secret. Whoever asks slowly, or in numbers, is cut off: what he takes, the pipelines do not have.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use engine::progress::{Outcome, Progress};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use proof::status::QueueStatus;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use self::depths::Depths;
use self::metrics::Metrics;
use super::files;
use super::supervise::{Does, Health};

mod depths;
mod metrics;

/// How long a request's head may take to come.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last, from the first byte to the last of the answer.
const WHOLE: Duration = Duration::from_secs(20);
/// Most bytes of a request's head.
const MOST_HEAD: usize = 16 << 10;
/// How long nobody is let in when the system has no connection to give: it has no file left, or no memory.
const REST: Duration = Duration::from_millis(100);

/// What is monitored.
#[derive(Clone, Default)]
pub(super) struct Monitored {
    /// Which pipelines serve.
    pub(super) health: Health,
    /// Cancelled when the process begins to end.
    stop: CancellationToken,
    /// What the queues held at the last look.
    depths: Depths,
}

impl Monitored {
    /// Nothing yet, until `stop`.
    pub(super) fn until(stop: &CancellationToken) -> Self {
        Monitored { stop: stop.clone(), ..Monitored::default() }
    }

    /// Answers at `address` for as long as the process lives: also while it starts and while it drains, which its probes ask about.
    ///
    /// # Errors
    /// The address cannot be listened at.
    pub(super) async fn answer_at(&self, address: SocketAddr) -> anyhow::Result<()> {
        let listener = TcpListener::bind(address).await.with_context(|| format!("cannot listen at `{address}`"))?;
        let address = listener.local_addr().with_context(|| format!("cannot listen at `{address}`"))?;
        let most = files::askers();
        tracing::info!(%address, most, "answering /livez, /readyz and /metrics");
        let routes = Router::new()
            .route("/livez", get(async || "alive\n"))
            .route("/readyz", get(ready))
            .route("/metrics", get(metrics))
            .with_state(self.clone());
        tokio::spawn(answer(listener, routes, Arc::new(Semaphore::new(most))));
        Ok(())
    }
}

/// Answers whoever comes, so many at once; further ones are sent away at once.
async fn answer(listener: TcpListener, routes: Router, room: Arc<Semaphore>) {
    let mut full = false;
    loop {
        let connection = match listener.accept().await {
            Ok((connection, _)) => connection,
            Err(error) => {
                tracing::debug!(%error, "nobody can be let in to ask");
                tokio::time::sleep(REST).await;
                continue;
            }
        };
        match Arc::clone(&room).try_acquire_owned() {
            Ok(place) => {
                full = false;
                tokio::spawn(one(connection, routes.clone(), place));
            }
            Err(_) => {
                if !std::mem::replace(&mut full, true) {
                    tracing::warn!("as many ask at `--listen` as are let in at once, further ones are sent away");
                }
            }
        }
    }
}

/// One request and its answer: a connection is not kept, so that nobody sits on it.
async fn one(connection: TcpStream, routes: Router, _place: OwnedSemaphorePermit) {
    let answered = hyper::server::conn::http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .max_buf_size(MOST_HEAD)
        .keep_alive(false)
        .serve_connection(TokioIo::new(connection), TowerToHyperService::new(routes));
    match tokio::time::timeout(WHOLE, answered).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(%error, "whoever asked has not got an answer"),
        Err(_) => tracing::debug!("whoever asked was too slow"),
    }
}

/// A stage that is suspended does not make the process unready: another process would be no better off. A pipeline that has ended does, and is
/// named.
async fn ready(State(monitored): State<Monitored>) -> (StatusCode, String) {
    let unready = |text: String| (StatusCode::SERVICE_UNAVAILABLE, text);
    if monitored.stop.is_cancelled() {
        return unready("ending: finishing what is under way\n".to_owned());
    }
    let seen = monitored.health.seen();
    if seen.is_empty() || seen.iter().any(|one| one.does == Does::Start) {
        return unready("starting\n".to_owned());
    }
    let ended = seen.iter().filter(|one| one.does == Does::Rest);
    let ended: String = ended
        .map(|one| format!("pipeline `{}` has ended ({} times), it is begun again: see the log\n", one.name, one.ended))
        .collect();
    if ended.is_empty() { (StatusCode::OK, "ready\n".to_owned()) } else { unready(ended) }
}

async fn metrics(State(monitored): State<Monitored>) -> Response {
    let mut metrics = Metrics::default();
    for one in monitored.health.seen() {
        metrics.life(&one.name, one.does == Does::Serve, one.ended);
        let Some(serving) = one.serving else { continue };
        let service = serving.current();
        metrics.count(&service.pipeline, &service.progress);
        // Queues that do not answer are no reason to hide the rest.
        match monitored.depths.of(&service).await {
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
