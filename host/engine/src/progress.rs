//! Counters of what a running pipeline has done, for display.
//!
//! Not a source of truth: it starts at zero with the process. What is true is in the lake (`proof::status`).

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use chrono::{DateTime, SecondsFormat, Utc};
use lake::failure::Failure;
use records::keys::Tick;
use tokio::sync::Notify;

/// How the work of a delivery ended, one time that it was in hand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Outcome {
    /// Its effect is durable. Refusals of single records are no failure of the work.
    Done,
    /// [`Failure::Transient`]
    Transient,
    /// [`Failure::Pause`]
    Pause,
    /// [`Failure::Plugin`]
    Plugin,
    /// [`Failure::Bug`]
    Bug,
    /// [`Failure::Lake`]
    Lake,
    /// [`Failure::Fatal`]
    Fatal,
    /// Tried as often as is allowed, and brought to an end in another way.
    GivenUp,
}

impl Outcome {
    /// All of them.
    pub const ALL: [Outcome; 8] = [
        Outcome::Done,
        Outcome::Transient,
        Outcome::Pause,
        Outcome::Plugin,
        Outcome::Bug,
        Outcome::Lake,
        Outcome::Fatal,
        Outcome::GivenUp,
    ];

    /// Its name, as a metric's label has it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Transient => "transient",
            Outcome::Pause => "pause",
            Outcome::Plugin => "plugin",
            Outcome::Bug => "bug",
            Outcome::Lake => "lake",
            Outcome::Fatal => "fatal",
            Outcome::GivenUp => "given_up",
        }
    }
}

impl Outcome {
    /// The outcome of work that fails with `failure`.
    #[must_use]
    pub fn of(failure: &Failure) -> Self {
        match failure {
            Failure::Transient(_) => Outcome::Transient,
            Failure::Pause { .. } => Outcome::Pause,
            Failure::Plugin(_) => Outcome::Plugin,
            Failure::Bug(_) => Outcome::Bug,
            Failure::Lake { .. } => Outcome::Lake,
            Failure::Fatal(_) => Outcome::Fatal,
        }
    }
}

impl From<&Result<(), Failure>> for Outcome {
    fn from(result: &Result<(), Failure>) -> Self {
        result.as_ref().map_or_else(Outcome::of, |()| Outcome::Done)
    }
}

/// A service that is down.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outage {
    /// The endpoint.
    pub endpoint: String,
    /// When the first request was sent that failed.
    pub since: DateTime<Utc>,
    /// What the latest request met.
    pub error: String,
    /// Requests that failed since then.
    pub requests: usize,
}

impl std::fmt::Display for Outage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let since = self.since.to_rfc3339_opts(SecondsFormat::Secs, true);
        write!(f, "endpoint `{}` is down since {since}, last error: {}", self.endpoint, self.error)
    }
}

/// Counters of one pipeline in this process. All in records unless said otherwise.
#[derive(Debug, Default)]
pub struct Progress {
    /// Taken from the source by this process's ticks.
    pub taken: AtomicU64,
    /// In a Bronze object, whatever the outcome: by this process, or found done by it.
    pub enriched: AtomicU64,
    /// Cleaned, skipped or quarantined by the clean stage.
    pub cleaned: AtomicU64,
    /// Objects that the clean stage was sent and found done by its plugin or by a later one. Not shown: most are messages that came twice.
    pub found_done: AtomicU64,
    /// Rows written to Silver or taken out of it.
    pub rows_written: AtomicU64,
    /// Outgoing requests.
    pub requests: AtomicU64,
    /// Answers found kept.
    pub kept_answers: AtomicU64,
    /// Records put into quarantine.
    pub quarantined: AtomicU64,
    /// Gold commits, in tables.
    pub published: AtomicU64,
    /// Deliveries given back to be tried again.
    pub retried: AtomicU64,
    /// Plugins that took over from others, in plugins.
    pub swapped: AtomicU64,
    /// Plugins and pipeline files that were not let in, in versions.
    pub not_let_in: AtomicU64,
    /// Plugins that were taken back by the host itself, in plugins.
    pub rolled_back: AtomicU64,
    deliveries: Mutex<BTreeMap<(&'static str, Outcome), u64>>,
    waiting_for: Mutex<Option<String>>,
    suspended: Mutex<BTreeMap<&'static str, String>>,
    behind: Mutex<BTreeMap<String, String>>,
    outages: Mutex<BTreeMap<String, Outage>>,
    fired: Mutex<Vec<(Tick, DateTime<Utc>)>>,
    rung: Notify,
}

/// A counter: its name, what it counts, and where it is.
pub type Counter = (&'static str, &'static str, fn(&Progress) -> &AtomicU64);

impl Progress {
    /// All counters.
    pub const COUNTERS: [Counter; 12] = [
        ("records_taken", "Records taken from the source", |progress| &progress.taken),
        ("records_enriched", "Records in Bronze, whatever became of them", |progress| &progress.enriched),
        ("records_cleaned", "Records cleaned, skipped or refused by the clean stage", |progress| &progress.cleaned),
        ("records_quarantined", "Records put into quarantine", |progress| &progress.quarantined),
        ("silver_rows_written", "Rows written to Silver or taken out of it", |progress| &progress.rows_written),
        ("gold_commits", "Versions of Gold tables", |progress| &progress.published),
        ("http_requests", "Outgoing requests", |progress| &progress.requests),
        ("kept_answers", "Answers found kept, for which nothing was requested", |progress| &progress.kept_answers),
        ("deliveries_retried", "Deliveries given back to be tried again", |progress| &progress.retried),
        ("plugins_swapped", "Plugins that took over from others", |progress| &progress.swapped),
        ("plugins_not_let_in", "Plugins and pipeline files that were published and not let in", |progress| {
            &progress.not_let_in
        }),
        ("plugins_rolled_back", "Plugins that the host took back", |progress| &progress.rolled_back),
    ];

    /// Adds to a counter.
    pub fn add(counter: &AtomicU64, count: usize) {
        counter.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// The value of a counter.
    #[must_use]
    pub fn get(counter: &AtomicU64) -> u64 {
        counter.load(Ordering::Relaxed)
    }

    /// Counts a delivery of a stage.
    pub fn delivered(&self, stage: &'static str, outcome: Outcome) {
        if let Ok(mut deliveries) = self.deliveries.lock() {
            *deliveries.entry((stage, outcome)).or_default() += 1;
        }
    }

    /// How many deliveries of a stage had this outcome.
    #[must_use]
    pub fn deliveries(&self, stage: &'static str, outcome: Outcome) -> u64 {
        self.deliveries
            .lock()
            .ok()
            .and_then(|deliveries| deliveries.get(&(stage, outcome)).copied())
            .unwrap_or_default()
    }

    /// Says why a consumer rests; `None` when it goes on.
    pub fn set_waiting_for(&self, reason: Option<String>) {
        if let Ok(mut waiting) = self.waiting_for.lock() {
            *waiting = reason;
        }
    }

    /// Why a consumer rests, if one does.
    #[must_use]
    pub fn waiting_for(&self) -> Option<String> {
        self.waiting_for.lock().ok().and_then(|waiting| waiting.clone())
    }

    /// Says whether the service of an endpoint is down.
    pub fn set_outage(&self, endpoint: &str, outage: Option<Outage>) {
        if let Ok(mut outages) = self.outages.lock() {
            match outage {
                Some(outage) => outages.insert(endpoint.to_owned(), outage),
                None => outages.remove(endpoint),
            };
        }
    }

    /// The services that are down, by endpoint.
    #[must_use]
    pub fn outages(&self) -> BTreeMap<String, Outage> {
        self.outages.lock().map(|outages| outages.clone()).unwrap_or_default()
    }

    /// Says that a tick was fired in this process, and when.
    pub fn fired(&self, tick: Tick, at: DateTime<Utc>) {
        if let Ok(mut fired) = self.fired.lock() {
            fired.push((tick, at));
        }
        self.rung.notify_one();
    }

    /// Waits for a tick that was fired in this process and that no earlier call has returned.
    pub async fn next_fired(&self) -> (Tick, DateTime<Utc>) {
        loop {
            let next = self.fired.lock().ok().and_then(|mut fired| fired.pop());
            match next {
                Some(next) => return next,
                None => self.rung.notified().await,
            }
        }
    }

    /// Says that a stage takes no more work in this process, and why.
    pub fn suspend(&self, stage: &'static str, reason: String) {
        if let Ok(mut suspended) = self.suspended.lock() {
            suspended.insert(stage, reason);
        }
    }

    /// Says that a stage goes on.
    pub fn resume(&self, stage: &'static str) {
        if let Ok(mut suspended) = self.suspended.lock() {
            suspended.remove(stage);
        }
    }

    /// Sets why a Gold table stays as it is; `None` if it does not. Returns whether it did before.
    pub fn set_behind(&self, table: &str, why: Option<String>) -> bool {
        let Ok(mut behind) = self.behind.lock() else { return false };
        match why {
            Some(why) => behind.insert(table.to_owned(), why).is_some(),
            None => behind.remove(table).is_some(),
        }
    }

    /// The Gold tables that stay as they are because their plugin fails, as far as this process has met it, and why.
    #[must_use]
    pub fn behind(&self) -> BTreeMap<String, String> {
        self.behind.lock().map(|behind| behind.clone()).unwrap_or_default()
    }

    /// The stages that take no more work in this process, and why.
    #[must_use]
    pub fn suspended(&self) -> BTreeMap<&'static str, String> {
        self.suspended.lock().map(|suspended| suspended.clone()).unwrap_or_default()
    }
}

/// How far a long look at a lake has come, for display.
#[derive(Debug, Default)]
pub struct Steps {
    what: Mutex<&'static str>,
    done: AtomicU64,
    total: AtomicU64,
}

impl Steps {
    /// Starts a part of `total` steps.
    pub fn begin(&self, what: &'static str, total: usize) {
        if let Ok(mut current) = self.what.lock() {
            *current = what;
        }
        self.done.store(0, Ordering::Relaxed);
        self.total.store(total as u64, Ordering::Relaxed);
    }

    /// Some steps are done.
    pub fn step(&self, count: usize) {
        self.done.fetch_add(count as u64, Ordering::Relaxed);
    }

    /// What is going on, how many steps of it are done, and how many there are.
    #[must_use]
    pub fn now(&self) -> (&'static str, u64, u64) {
        let what = self.what.lock().map_or("", |what| *what);
        (what, self.done.load(Ordering::Relaxed), self.total.load(Ordering::Relaxed))
    }
}
