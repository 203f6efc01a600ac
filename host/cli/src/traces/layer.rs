//! Makes trace spans of the spans of `tracing`: of each that has a place in a trace, or whose parent has one.
//!
//! Does not send. A span in no trace (a consumer that waits) passes its fields to the spans below it.

use std::fmt::Debug;
use std::sync::Arc;
use std::time::SystemTime;

use seams::spans::{HIDDEN, Place, RECORD};
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::{Attributes, Id, Record};
use tracing::{Metadata, Subscriber};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;
use tracing_subscriber::registry::{LookupSpan, SpanRef};

use super::document::{self, Ended};
use super::waiting::Waiting;

/// Collects the spans of this program that are in a trace.
pub(crate) struct SpanLayer {
    waiting: Arc<Waiting>,
}

/// A span that has not ended.
struct Open {
    begun: SystemTime,
    place: Option<Place>,
    parent: Option<Place>,
    seen: Seen,
}

/// The recorded fields of a span.
#[derive(Default)]
struct Seen {
    name: Option<String>,
    kind: String,
    place: Option<Place>,
    parent: Option<Place>,
    links: Vec<Place>,
    fields: Map<String, Value>,
}

impl SpanLayer {
    pub(super) fn to(waiting: Arc<Waiting>) -> Self {
        SpanLayer { waiting }
    }

    /// Whether a span is one of ours: those of libraries are in no trace.
    pub(crate) fn takes(metadata: &Metadata<'_>) -> bool {
        metadata.is_span()
            && matches!(metadata.target().split("::").next(), Some("seams" | "engine" | "runtime" | "sluicebox"))
    }
}

impl Open {
    /// A span below one that has the place `above`, if that one is in a trace.
    fn below(above: Option<Place>, name: &str, seen: Seen) -> Self {
        let parent = seen.parent.or(above.filter(|_| seen.place.is_none()));
        let place = match seen.place {
            None if name == RECORD => above,
            None => parent.map(somewhere),
            place => place,
        };
        Open { begun: SystemTime::now(), place, parent, seen }
    }
}

/// A place of its own after `parent`.
fn somewhere(parent: Place) -> Place {
    Place { span: rand::random(), ..parent }
}

impl<S> Layer<S> for SpanLayer
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn on_new_span(&self, attributes: &Attributes<'_>, id: &Id, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut seen = Seen::default();
        attributes.record(&mut seen);
        let above = span.parent().and_then(|parent| parent.extensions().get::<Open>().and_then(|open| open.place));
        span.extensions_mut().insert(Open::below(above, span.name(), seen));
    }

    fn on_record(&self, id: &Id, values: &Record<'_>, context: Context<'_, S>) {
        let Some(span) = context.span(id) else { return };
        let mut extensions = span.extensions_mut();
        let Some(open) = extensions.get_mut::<Open>() else { return };
        values.record(&mut open.seen);
        if let (None, Some(parent)) = (open.place, open.seen.parent) {
            (open.parent, open.place) = (Some(parent), Some(somewhere(parent)));
        }
    }

    fn on_close(&self, id: Id, context: Context<'_, S>) {
        let Some(span) = context.span(&id) else { return };
        if span.name() == RECORD {
            return;
        }
        let given = given(&span);
        let mut extensions = span.extensions_mut();
        let Some(Open { begun, place: Some(place), parent, seen }) = extensions.remove::<Open>() else { return };
        let mut attributes = given;
        attributes.extend(seen.fields);
        self.waiting.push(document::span(Ended {
            name: seen.name.as_deref().unwrap_or(span.name()),
            kind: &seen.kind,
            place,
            parent,
            links: &seen.links,
            begun,
            attributes,
        }));
    }
}

/// The fields of the ancestors that are in no trace.
fn given<'s, S: LookupSpan<'s>>(span: &SpanRef<'s, S>) -> Map<String, Value> {
    let mut fields = Map::new();
    for above in span.scope().skip(1) {
        if let Some(open) = above.extensions().get::<Open>().filter(|open| open.place.is_none()) {
            open.seen.fields.iter().for_each(|(name, value)| {
                fields.entry(name.clone()).or_insert_with(|| value.clone());
            });
        }
    }
    fields
}

impl Seen {
    fn see(&mut self, field: &Field, value: Value) {
        match field.name().strip_prefix(HIDDEN) {
            None => {
                self.fields.insert(field.name().to_owned(), value);
            }
            Some(hidden) => {
                let text = value.as_str().unwrap_or_default();
                match hidden {
                    "name" => self.name = Some(text.to_owned()),
                    "kind" => text.clone_into(&mut self.kind),
                    "place" => self.place = Place::parse(text),
                    "parent" => self.parent = Place::parse(text),
                    "links" => self.links = text.split(' ').filter_map(Place::parse).collect(),
                    _ => {}
                }
            }
        }
    }
}

impl Visit for Seen {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.see(field, value.into());
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.see(field, value.into());
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.see(field, value.into());
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.see(field, value.into());
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.see(field, value.into());
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        self.see(field, format!("{value:?}").into());
    }
}

#[cfg(test)]
mod tests {
    use records::keys::Tick;
    use seams::spans::{self, About, InHand};
    use tracing_subscriber::layer::SubscriberExt;

    use super::*;

    /// The spans that `act` makes, by name.
    fn left(act: impl FnOnce()) -> Map<String, Value> {
        let waiting = Arc::new(Waiting::default());
        let subscriber = tracing_subscriber::registry().with(SpanLayer::to(Arc::clone(&waiting)));
        tracing::subscriber::with_default(subscriber, act);
        waiting.take().0.into_iter().map(|span| (span["name"].as_str().unwrap().to_owned(), span)).collect()
    }

    fn place(batch: &str) -> Place {
        Place::of_batch("orders", Tick::parse("20261124T030000Z").unwrap(), batch)
    }

    #[test]
    fn what_is_done_for_two_deliveries_stands_below_the_first_and_is_linked_with_the_other() {
        let abouts = ["a", "b"].map(|batch| About { place: Some(place(batch)), ..About::default() });
        let left = left(|| {
            let spans = InHand::of("clean", &abouts);
            futures::executor::block_on(spans.work(async { spans::record(&"a/1").in_scope(|| {}) }));
        });
        let together = &left["clean together"];
        assert_eq!(together["parentSpanId"], place("a").span_id());
        let other = serde_json::json!([{ "traceId": place("b").trace_id(), "spanId": place("b").span_id() }]);
        assert_eq!(together["links"], other);
        assert!(left.len() == 2 && !Value::Object(left).to_string().contains("a/1"), "a record's key is in no span");
    }

    #[test]
    fn what_follows_from_something_only_as_it_turns_out_is_in_its_trace_and_what_follows_from_nothing_in_none() {
        let names = |from: Option<Place>| {
            let left = left(|| {
                let role = spans::role("orders", "aggregate").entered();
                let spans = InHand::of("aggregate", &[About::default()]);
                spans.each[0].in_scope(|| {
                    spans::follow(from);
                    drop(spans::request("prices", Some("prices.example")));
                });
                drop((spans, role));
            });
            left.into_iter().map(|(name, span)| (name, span["traceId"].clone(), span["attributes"].clone())).collect()
        };
        let followed: Vec<(String, Value, Value)> = names(Some(place("a")));
        assert_eq!(followed.iter().map(|(name, ..)| name.as_str()).collect::<Vec<_>>(), ["GET", "aggregate"]);
        let pipeline = serde_json::json!({ "key": "pipeline", "value": { "stringValue": "orders" } });
        for (_, trace, attributes) in &followed {
            assert_eq!(*trace, place("a").trace_id());
            assert!(attributes.as_array().unwrap().contains(&pipeline), "{attributes}");
        }
        assert_eq!(names(None), []);
    }
}
