//! What the log and a trace say of the work that a line or a span belongs to: the names of the fields, and which span is whose.
//!
//! Does not write or send anything: a subscriber of the program does. Fields whose names begin with `trace.` are for a subscriber that
//! makes traces and for no reader.
//!
//! A place in a trace is derived from what a message says anyway, and not carried with it: a message stays equal to the byte, hosts that
//! have the same message agree, and a message that comes another way (a sweep, a notification of S3) also has its place. Only the origin of
//! a message to the aggregate stage is not in the message: the commit that made the version of Silver names it (`lake::delta`).

use std::future::Future;

use records::keys::Tick;
use sha2::{Digest as _, Sha256};
use tracing::field::Empty;
use tracing::{Instrument as _, Span, error_span};

use crate::http::{HttpAnswer, HttpError};
use crate::plugin::{Fault, Plugin, PluginStamp};

/// The target of events that a command which ends by itself also reports in its result: its log need not repeat them.
pub const TOLD_IN_THE_END: &str = "engine::told";

/// The prefix of the names of fields that no log shows.
pub const HIDDEN: &str = "trace.";
/// The span of a record: it holds the record's key, which is for the log and not for a trace.
pub const RECORD: &str = "record";

/// A span of a trace; prints as W3C's `traceparent`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place {
    /// The trace: all work that came of one tick of one pipeline.
    pub trace: [u8; 16],
    /// One step of it.
    pub span: [u8; 8],
}

impl Place {
    /// The firing of a tick.
    #[must_use]
    pub fn of_tick(pipeline: &str, tick: Tick) -> Self {
        let text = tick.to_string();
        let parts = [pipeline.as_bytes(), text.as_bytes()];
        Place { trace: hash(&parts), span: hash(&parts) }
    }

    /// A step in the same trace, which its name tells from others.
    #[must_use]
    pub fn step(self, name: &[&str]) -> Self {
        let parts: Vec<&[u8]> =
            std::iter::once(&self.trace[..]).chain(name.iter().map(|part| part.as_bytes())).collect();
        Place { span: hash(&parts), ..self }
    }

    /// The enriching that makes the object `batch` of Bronze.
    #[must_use]
    pub fn of_batch(pipeline: &str, tick: Tick, batch: &str) -> Self {
        Place::of_tick(pipeline, tick).step(&["enrich", batch])
    }

    /// The place that `text` is the `traceparent` of.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mut parts = text.split('-');
        let (version, trace, span) = (parts.next()?, parts.next()?, parts.next()?);
        let mut place = Place { trace: [0; 16], span: [0; 8] };
        hex::decode_to_slice(trace, &mut place.trace).ok()?;
        hex::decode_to_slice(span, &mut place.span).ok()?;
        (version.len() == 2 && parts.next().is_some()).then_some(place)
    }
}

impl Place {
    /// The trace's id in hexadecimal digits.
    #[must_use]
    pub fn trace_id(self) -> String {
        hex::encode(self.trace)
    }

    /// The span's id in hexadecimal digits.
    #[must_use]
    pub fn span_id(self) -> String {
        hex::encode(self.span)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "00-{}-{}-01", self.trace_id(), self.span_id())
    }
}

fn hash<const N: usize>(parts: &[&[u8]]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update((part.len() as u64).to_be_bytes());
        hash.update(part);
    }
    let mut first = [0; N];
    first.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
    first
}

/// What a message says of itself before work on it begins.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// The tick that it comes from.
    pub run: Option<Tick>,
    /// The object of Bronze that is made of it, or that it is about.
    pub batch: Option<String>,
    /// What does the work.
    pub plugin: Option<String>,
    /// What has sent it.
    pub parent: Option<Place>,
    /// What its work is in the trace; another each time that it is delivered.
    pub place: Option<Place>,
}

/// The spans of deliveries that are worked on together.
#[derive(Clone, Debug)]
pub struct InHand {
    /// One for each delivery.
    pub each: Vec<Span>,
    /// The places of the deliveries, as far as they are known before the work begins.
    places: Vec<Option<Place>>,
    /// The span in which the work is done, which is for all of them.
    work: Span,
    /// Its place.
    place: Option<Place>,
}

impl InHand {
    /// The spans of a stage's deliveries, from what they say of themselves. Work for several at once is a step after the first, and linked
    /// with the others: a span has only one parent.
    #[must_use]
    pub fn of(stage: &'static str, abouts: &[About]) -> Self {
        let each: Vec<Span> = abouts.iter().map(|about| delivery(stage, about)).collect();
        let places: Vec<Option<Place>> = abouts.iter().map(|about| about.place).collect();
        let place = places.first().copied().flatten();
        if let [only] = &each[..] {
            return InHand { work: only.clone(), each, places, place };
        }
        let links: Vec<String> = places.iter().skip(1).flatten().map(Place::to_string).collect();
        let together = place.map(|place| place.step(&["together", &place.to_string()]));
        let work = error_span!(
            "together",
            trace.name = format!("{stage} together"),
            trace.parent = text(place),
            trace.place = text(together),
            trace.links = (!links.is_empty()).then(|| links.join(" ")),
            run = common(abouts).map(tracing::field::display),
            batches = abouts.len(),
            plugin = abouts.first().and_then(|about| about.plugin.as_deref()),
        );
        InHand { each, places, work, place: together }
    }

    /// The span of one delivery, for its work alone.
    #[must_use]
    pub fn alone(&self, at: usize) -> Self {
        let span = self.each.get(at).cloned().unwrap_or_else(Span::none);
        let place = self.places.get(at).copied().flatten();
        InHand { each: vec![span.clone()], places: vec![place], work: span, place }
    }

    /// Does work in its span.
    pub async fn work<T>(&self, work: impl Future<Output = T>) -> T {
        at(self.place, work.instrument(self.work.clone())).await
    }
}

/// The tick that all of them come from.
fn common(abouts: &[About]) -> Option<Tick> {
    let (first, others) = abouts.split_first()?;
    first.run.filter(|_| others.iter().all(|other| other.run == first.run))
}

fn delivery(stage: &'static str, about: &About) -> Span {
    error_span!(
        "delivery",
        trace.name = stage,
        trace.kind = "consumer",
        trace.parent = text(about.parent),
        trace.place = text(about.place),
        run = about.run.map(tracing::field::display),
        batch = about.batch.as_deref(),
        plugin = about.plugin.as_deref(),
        outcome = Empty,
    )
}

fn text(place: Option<Place>) -> Option<String> {
    place.map(|place| place.to_string())
}

tokio::task_local! {
    static PLACE: Option<Place>;
}

/// Does work at a place, which what it commits will name.
async fn at<T>(place: Option<Place>, work: impl Future<Output = T>) -> T {
    PLACE.scope(place, work).await
}

/// Where in which trace the work under way is, if it is in one.
#[must_use]
pub fn place() -> Option<Place> {
    PLACE.try_with(|place| *place).ok().flatten()
}

/// Records that the work under way follows from `parent`.
pub fn follow(parent: Option<Place>) {
    if let Some(parent) = parent {
        Span::current().record("trace.parent", parent.to_string());
    }
}

/// All that a role of a pipeline does.
#[must_use]
pub fn role(pipeline: &str, role: &'static str) -> Span {
    error_span!("role", pipeline, role)
}

/// Work for a pipeline that belongs to none of its roles.
#[must_use]
pub fn pipeline(pipeline: &str) -> Span {
    error_span!("pipeline", pipeline)
}

/// The firing of a tick.
#[must_use]
pub fn tick(pipeline: &str, tick: Tick) -> Span {
    let place = Place::of_tick(pipeline, tick);
    error_span!(
        "tick",
        trace.name = "ingest",
        trace.place = %place,
        pipeline,
        role = "ingest",
        run = %tick,
        outcome = Empty
    )
}

/// The work on one record.
#[must_use]
pub fn record(key: &impl std::fmt::Display) -> Span {
    error_span!(RECORD, key = %key)
}

/// A call of a plugin's function, over `count` records or partial results.
pub fn call(plugin: &(impl Plugin + ?Sized), function: &'static str, count: usize) -> Span {
    let plugin = PluginStamp::of(plugin).short();
    error_span!("call", trace.name = %format_args!("plugin {function}"), plugin, count, outcome = Empty)
}

/// A request to `host`, at an endpoint of that name. Path, query and headers are private.
#[must_use]
pub fn request(endpoint: &str, host: Option<&str>) -> Span {
    error_span!(
        "request",
        trace.name = "GET",
        trace.kind = "client",
        endpoint,
        server.address = host,
        http.response.status_code = Empty,
        outcome = Empty
    )
}

/// Runs `work` in `span`, and records in it how the work ended: `done`, or what `failed` returns.
pub async fn observed<T, E>(
    span: Span,
    work: impl Future<Output = Result<T, E>>,
    failed: impl FnOnce(&E) -> &'static str,
) -> Result<T, E> {
    let result = work.instrument(span.clone()).await;
    span.record("outcome", result.as_ref().map_or_else(failed, |_| DONE));
    result
}

/// Sends a request in its span.
pub async fn requested(
    span: Span,
    sent: impl Future<Output = Result<HttpAnswer, HttpError>>,
) -> Result<HttpAnswer, HttpError> {
    let result = sent.instrument(span.clone()).await;
    match &result {
        Ok(answer) => {
            span.record("http.response.status_code", answer.status);
            span.record("outcome", if answer.status < 400 { DONE } else { "refused" });
        }
        Err(error) => {
            span.record("outcome", error.name());
        }
    }
    result
}

/// Runs a plugin's function in its span.
pub async fn called<T>(span: Span, work: impl Future<Output = Result<T, Fault>>) -> Result<T, Fault> {
    observed(span, work, |fault| fault.code).await
}

/// The outcome of work that did not fail.
pub const DONE: &str = "done";

#[cfg(test)]
mod tests {
    use super::*;

    fn tick(text: &str) -> Tick {
        Tick::parse(text).unwrap()
    }

    #[test]
    fn hosts_that_know_the_same_message_name_the_same_place() {
        let at = |pipeline, text, batch| Place::of_batch(pipeline, tick(text), batch);
        let place = at("orders", "20261124T030000Z", "run=20261124T030000Z/batch=00001-a.jsonl");
        assert_eq!(place, at("orders", "20261124T030000Z", "run=20261124T030000Z/batch=00001-a.jsonl"));
        let others = [
            at("weather", "20261124T030000Z", "run=20261124T030000Z/batch=00001-a.jsonl"),
            at("orders", "20261125T030000Z", "run=20261124T030000Z/batch=00001-a.jsonl"),
        ];
        assert!(others.iter().all(|other| other.trace != place.trace && other.span != place.span));
        let other = at("orders", "20261124T030000Z", "run=20261124T030000Z/batch=00002-a.jsonl");
        assert!(other.trace == place.trace && other.span != place.span);
    }

    #[test]
    fn a_place_reads_back_and_what_is_none_is_not_read() {
        let place = Place::of_tick("orders", tick("20261124T030000Z"));
        assert_eq!(place.to_string().len(), 55);
        assert_eq!(Place::parse(&place.to_string()), Some(place));
        for text in ["", "00-ab-cd-01", "00", &place.to_string()[..52]] {
            assert_eq!(Place::parse(text), None, "{text}");
        }
    }

    #[tokio::test]
    async fn work_is_at_its_place_and_nothing_else_is() {
        let about = About { place: Some(Place::of_tick("orders", tick("20261124T030000Z"))), ..About::default() };
        let one = InHand::of("enrich", std::slice::from_ref(&about));
        assert_eq!(one.work(async { place() }).await, about.place);
        let both = InHand::of("clean", &[about.clone(), about.clone()]);
        let together = both.work(async { place() }).await.unwrap();
        assert!(Some(together) != about.place && together.trace == about.place.unwrap().trace);
        assert_eq!(place(), None);
    }
}
