//! What a serving process reports over HTTP: `/livez`, `/readyz`, and `/metrics` in OpenMetrics' text form.
//!
//! Does not authenticate clients: it is for an address that only the monitoring can reach. It shows counts and names of stages, no record, key
//! or secret. A client that is slow, or opens many connections, is cut off: the pipelines need the files.

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

/// How long a request's head may take to arrive.
const HEAD: Duration = Duration::from_secs(5);
/// How long a connection may last, from its first byte to the last byte of the answer.
const WHOLE: Duration = Duration::from_secs(20);
/// Most bytes of a request's head.
const MOST_HEAD: usize = 16 << 10;
/// How long it accepts no connection when the system has none to give: no file is left, or no memory.
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
    /// Watches no pipeline yet, until `stop`.
    pub(super) fn until(stop: &CancellationToken) -> Self {
        Monitored { stop: stop.clone(), ..Monitored::default() }
    }

    /// Answers at `address` for as long as the process lives: also while it starts and while it drains, since probes ask about both.
    ///
    /// # Errors
    /// Fails if it cannot listen at the address.
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

/// Answers clients, so many at once; further ones are turned away at once.
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

/// One request and its answer: the connection is then closed, so that no client occupies it.
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

/// A suspended stage does not make the process unready: another process would be no better off. A pipeline that has ended does, and is
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
        // If queues do not answer, the rest is still shown.
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
