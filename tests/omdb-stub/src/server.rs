//! Answers for the life of one stand-in: started from options, queried and controlled in-process, stopped.
//!
//! Does not handle calls (`api`, `control`). What a test can do here it can do over HTTP too.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use anyhow::{Context, Result};
use axum::Router;
use serde_json::{Map, Value};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::faults::Rule;
use crate::stats::Snapshot;
use crate::wire::{Line, Wires};
use crate::world::{Options, Shared};
use crate::{api, control};

/// How long `stop` waits for calls that are under way.
const PATIENCE: Duration = Duration::from_secs(2);

/// A stand-in that serves on the current tokio runtime until it is stopped or dropped.
pub struct Stub {
    address: SocketAddr,
    world: Shared,
    stop: Option<oneshot::Sender<()>>,
    serving: JoinHandle<()>,
}

impl Stub {
    /// Reads the films, binds a loopback port and begins to serve.
    pub async fn start(options: Options) -> Result<Self> {
        let world = Shared::new(&options)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port))
            .await
            .with_context(|| format!("cannot listen on port {}", options.port))?;
        let address = listener.local_addr()?;
        let routes = Router::new()
            .merge(api::routes())
            .nest("/_stub", control::routes())
            .with_state(world.clone())
            .into_make_service_with_connect_info::<Line>();
        let (stop, stopped) = oneshot::channel();
        let serving = tokio::spawn(async move {
            let server = axum::serve(Wires(listener), routes).with_graceful_shutdown(async {
                // Sent or dropped: both mean the end.
                let _ = stopped.await;
            });
            // It only ever ends by the signal above.
            let _ = server.await;
        });
        Ok(Self { address, world, stop: Some(stop), serving })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The endpoint for a pipeline: `http://127.0.0.1:PORT/`.
    pub fn url(&self) -> String {
        format!("http://{}/", self.address)
    }

    /// How many films it knows at the moment.
    pub fn films(&self) -> usize {
        self.world.lock().films.len()
    }

    /// The counters now.
    pub fn stats(&self) -> Snapshot {
        self.world.lock().stats.clone()
    }

    /// All counters back to zero.
    pub fn zero_stats(&self) {
        self.world.lock().stats.zero();
    }

    /// One more fault rule.
    pub fn add_fault(&self, rule: Rule) {
        self.world.lock().faults.add(rule);
    }

    /// No more faults.
    pub fn clear_faults(&self) {
        self.world.lock().faults.clear();
    }

    /// A new quota, counted from zero.
    pub fn set_quota(&self, limit: Option<u64>) {
        self.world.lock().quota.set(limit);
    }

    /// Overrides columns or answer fields of one film.
    pub fn set_film(&self, title: &str, year: &str, set: &Map<String, Value>) -> Result<()> {
        let outcome = self.world.lock().films.set(title, year, set);
        outcome.map_err(anyhow::Error::msg)
    }

    /// Takes one film away.
    pub fn remove_film(&self, title: &str, year: &str) -> Result<()> {
        let outcome = self.world.lock().films.remove(title, year);
        outcome.map_err(anyhow::Error::msg)
    }

    /// All films as in the file.
    pub fn restore_films(&self) {
        self.world.lock().films.restore();
    }

    /// Stops listening, lets calls under way end, but not for ever.
    pub async fn stop(mut self) {
        self.stop.take();
        if tokio::time::timeout(PATIENCE, &mut self.serving).await.is_err() {
            self.serving.abort();
        }
    }
}
