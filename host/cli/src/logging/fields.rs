//! The fields of a line: those of the event and of every span around it, in one flat object or after the message.
//!
//! Does not show fields that are for traces.

use std::borrow::Cow;
use std::fmt;

use seams::foreign::{cut, inert_json, inert_lines};
use seams::spans::HIDDEN;
use serde_json::{Map, Value};
use tracing::field::{Field, Visit};
use tracing::span::Record;
use tracing::{Event, Level, Subscriber};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::format::{JsonVisitor, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields, FormattedFields};
use tracing_subscriber::registry::LookupSpan;

use crate::output::Tone;

/// The most bytes of one value in a line; the line says how many are left out.
const MOST_SAID: usize = 16 << 10;

/// Fields for people.
pub(super) struct Words;

impl<'w> FormatFields<'w> for Words {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut shown = Shown(Lines { writer, is_first: true, outcome: Ok(()) });
        fields.record(&mut shown);
        shown.0.outcome
    }
}

/// Writes `name=value` one after another, the message without its name. Further lines of a value go below, indented.
struct Lines<'w> {
    writer: Writer<'w>,
    is_first: bool,
    outcome: fmt::Result,
}

impl Lines<'_> {
    fn put(&mut self, field: &Field, value: &str) {
        if self.outcome.is_err() {
            return;
        }
        let gap = if std::mem::take(&mut self.is_first) { "" } else { " " };
        // The value may come from anywhere: it must not move the cursor, and no line of it may look like a line of the log.
        let value = inert_lines(&cut(value.trim_end(), MOST_SAID)).replace('\n', "\n    ");
        self.outcome = match field.name() {
            "message" => write!(self.writer, "{gap}{value}"),
            name => {
                let name = Tone::Faint.paint(self.writer.has_ansi_escapes(), &format!("{name}="));
                write!(self.writer, "{gap}{name}{value}")
            }
        };
    }
}

impl Visit for Lines<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == "message" {
            self.put(field, value);
        } else {
            // Quoted as a value of Rust is, but with real line breaks.
            self.put(field, &format!("{value:?}").replace("\\n", "\n").replace("\\\"", "\""));
        }
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put(field, &format!("{value:?}"));
    }
}

/// The message, its own fields, and those of its spans from the inside out. The spans' names would add nothing.
pub(super) struct Line;

impl<S> FormatEvent<S, Words> for Line
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Words>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (metadata, ansi) = (event.metadata(), writer.has_ansi_escapes());
        let mut time = String::new();
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        let level = format!("{:>5}", metadata.level());
        let tone = match *metadata.level() {
            Level::ERROR => Tone::Bad,
            Level::WARN => Tone::Notable,
            Level::INFO => Tone::Good,
            Level::DEBUG | Level::TRACE => Tone::Faint,
        };
        let target = format!("{}:", metadata.target());
        let [time, target] = [time, target].map(|text| Tone::Faint.paint(ansi, &text));
        write!(writer, "{time} {} {target} ", tone.paint(ansi, &level))?;
        context.format_fields(writer.by_ref(), event)?;
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            if let Some(shown) = extensions.get::<FormattedFields<Words>>().filter(|shown| !shown.is_empty()) {
                write!(writer, " {}", Tone::Faint.paint(ansi, &shown.fields))?;
            }
        }
        writeln!(writer)
    }
}

/// Fields as a JSON object.
pub(super) struct Json;

impl<'w> FormatFields<'w> for Json {
    fn format_fields<R: RecordFields>(&self, mut writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut shown = Shown(JsonVisitor::new(&mut writer));
        fields.record(&mut shown);
        shown.0.finish()
    }

    fn add_fields(&self, current: &'w mut FormattedFields<Self>, fields: &Record<'_>) -> fmt::Result {
        let mut added = String::new();
        self.format_fields(Writer::new(&mut added), fields)?;
        let mut all = object(&current.fields);
        all.extend(object(&added));
        current.fields = Value::Object(all).to_string();
        Ok(())
    }
}

fn object(text: &str) -> Map<String, Value> {
    serde_json::from_str(text).unwrap_or_default()
}

/// One flat object a line. If two fields have one name, the inner one counts.
pub(super) struct Flat;

impl<S> FormatEvent<S, Json> for Flat
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, Json>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let (mut time, mut said) = (String::new(), String::new());
        SystemTime.format_time(&mut Writer::new(&mut time))?;
        context.format_fields(Writer::new(&mut said), event)?;
        let metadata = event.metadata();
        let mut line = Map::new();
        line.insert("timestamp".to_owned(), time.into());
        line.insert("level".to_owned(), metadata.level().as_str().into());
        line.extend(object(&said));
        for span in context.event_scope().into_iter().flatten() {
            let extensions = span.extensions();
            for (name, value) in
                extensions.get::<FormattedFields<Json>>().map_or_else(Map::new, |shown| object(&shown.fields))
            {
                line.entry(name).or_insert(value);
            }
        }
        line.insert("target".to_owned(), metadata.target().into());
        for value in line.values_mut() {
            if let Value::String(text) = value
                && let Cow::Owned(short) = cut(text, MOST_SAID)
            {
                *text = short;
            }
        }
        writeln!(writer, "{}", inert_json(&Value::Object(line).to_string()))
    }
}

/// Passes on the fields that are for readers.
struct Shown<V>(V);

impl<V: Visit> Shown<V> {
    fn visit(&mut self, field: &Field, visit: impl FnOnce(&mut V)) {
        if !field.name().starts_with(HIDDEN) {
            visit(&mut self.0);
        }
    }
}

impl<V: Visit> Visit for Shown<V> {
    fn record_f64(&mut self, field: &Field, value: f64) {
        self.visit(field, |inner| inner.record_f64(field, value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.visit(field, |inner| inner.record_i64(field, value));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.visit(field, |inner| inner.record_u64(field, value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.visit(field, |inner| inner.record_bool(field, value));
    }

    fn record_str(&mut self, field: &Field, value: &str) {
        self.visit(field, |inner| inner.record_str(field, value));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn std::error::Error + 'static)) {
        self.visit(field, |inner| inner.record_error(field, value));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.visit(field, |inner| inner.record_debug(field, value));
    }
}
