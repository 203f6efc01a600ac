//! Log lines on stderr: for people or as one JSON object a line, filtered, and without any registered secret.
//!
//! Does not show results or errors: `output` and `main` do.

use std::io::{self, Write};

use anyhow::Context as _;
use indicatif::MultiProgress;
use tracing::{Level, Metadata};
use tracing_subscriber::filter::{EnvFilter, FilterExt, filter_fn};
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{Layer, Registry};

use crate::output::Output;
use crate::redact::{RedactingWriter, Redactor};
use crate::traces::SpanLayer;

use fields::{Flat, Json, Line, Words};

mod fields;

/// How a log line looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum LogFormat {
    /// For people
    Human,
    /// One JSON object a line
    Json,
}

/// The log filter of a served pipeline if the user sets none: our own events, and only warnings of the big libraries.
pub(crate) const SERVING: &str =
    "info,buoyant_kernel=warn,cranelift=warn,delta_kernel=warn,deltalake_core=warn,object_store=warn,wasmtime=warn";
/// The log filter of a command that ends by itself and reports its result: warnings that are not in the result.
pub(crate) const ENDING: &str = "warn,engine::told=off";

/// Libraries whose debug lines print requests, headers and key material. No filter shows them below `warn`.
const CAPPED: [&str; 7] = ["h2", "hyper", "hyper_util", "reqwest", "rustls", "tokio_rustls", "tower"];

/// Starts logging for the whole process, and the collecting of spans. `filter` is in the syntax of `tracing_subscriber::EnvFilter`.
pub(crate) fn start(
    filter: &str,
    format: LogFormat,
    output: &Output,
    redactor: &Redactor,
    spans: Option<SpanLayer>,
) -> anyhow::Result<()> {
    let filter = EnvFilter::try_new(filter).with_context(|| format!("`{filter}` is not a log filter"))?;
    let writer = LogWriter { redactor: redactor.clone(), progress: output.progress().clone() };
    let spans = spans.map(|spans| spans.with_filter(filter_fn(SpanLayer::takes)));
    tracing_subscriber::registry().with(layer(format, output.stderr_color(), writer, filter)).with(spans).try_init()?;
    report_panics_redacted(redactor.clone());
    Ok(())
}

fn layer<W>(format: LogFormat, color: bool, writer: W, filter: EnvFilter) -> Box<dyn Layer<Registry> + Send + Sync>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let filter = filter.and(filter_fn(may_be_heard));
    let lines = tracing_subscriber::fmt::layer().with_writer(writer).with_ansi(color);
    match format {
        LogFormat::Human => lines.fmt_fields(Words).event_format(Line).with_filter(filter).boxed(),
        LogFormat::Json => lines.with_ansi(false).fmt_fields(Json).event_format(Flat).with_filter(filter).boxed(),
    }
}

fn may_be_heard(metadata: &Metadata<'_>) -> bool {
    let library = metadata.target().split("::").next().unwrap_or_default();
    *metadata.level() <= Level::WARN || !CAPPED.contains(&library)
}

/// A panic's text may quote data.
fn report_panics_redacted(redactor: Redactor) {
    std::panic::set_hook(Box::new(move |panic| {
        let text = format!("{panic}\n{}", std::backtrace::Backtrace::capture());
        let text = redactor.redact(&text);
        // If stderr is gone there is nothing to do.
        let _ = io::stderr().lock().write_all(text.as_bytes());
    }));
}

/// Makes a writer for each line, which first hides the progress bars.
struct LogWriter {
    redactor: Redactor,
    progress: MultiProgress,
}

impl<'w> MakeWriter<'w> for LogWriter {
    type Writer = RedactingWriter<AboveBars>;

    fn make_writer(&'w self) -> Self::Writer {
        RedactingWriter::new(&self.redactor, AboveBars(self.progress.clone()))
    }
}

/// Stderr, with the bars hidden during a write.
struct AboveBars(MultiProgress);

impl Write for AboveBars {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.suspend(|| io::stderr().lock().write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stderr().lock().flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};

    #[derive(Clone, Default)]
    struct Sink(Arc<Mutex<Vec<u8>>>);

    impl Write for Sink {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn logged(format: LogFormat, filter: &str, act: impl FnOnce()) -> String {
        let (sink, redactor) = (Sink::default(), Redactor::default());
        redactor.register("s3cret");
        let writer = {
            let sink = sink.clone();
            move || RedactingWriter::new(&redactor, sink.clone())
        };
        let subscriber = tracing_subscriber::registry().with(layer(format, false, writer, EnvFilter::new(filter)));
        tracing::subscriber::with_default(subscriber, act);
        let bytes = sink.0.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    #[test]
    fn a_secret_in_a_message_or_a_field_is_not_logged_in_either_format() {
        for format in [LogFormat::Human, LogFormat::Json] {
            let text = logged(format, "trace", || tracing::info!(key = "s3cret", "sent s3cret"));
            assert!(!text.contains("s3cret") && text.matches("[redacted]").count() == 2, "{text}");
        }
    }

    #[test]
    fn the_http_stack_is_capped_at_warn_whatever_the_filter() {
        let text = logged(LogFormat::Human, "trace,hyper=trace", || {
            tracing::debug!(target: "hyper::proto", "parsed headers");
            tracing::warn!(target: "rustls::conn", "bad record");
            tracing::trace!(target: "engine::roles", "step");
        });
        assert!(!text.contains("parsed headers"), "{text}");
        assert!(text.contains("bad record") && text.contains("step"), "{text}");
    }

    #[test]
    fn people_see_lines_below_each_other_and_machines_get_them_in_one() {
        let act = || tracing::warn!(reason = "it broke\nhint: mend it", plain = "x", "paused\nfor long");
        let text = logged(LogFormat::Human, "info", act);
        assert!(!text.contains("\\n"), "{text}");
        assert!(
            text.contains("paused\n    for long") && text.contains("reason=\"it broke\n    hint: mend it\""),
            "{text}"
        );
        assert!(text.contains("plain=\"x\""), "{text}");
        let text = logged(LogFormat::Json, "info", act);
        assert_eq!(text.lines().count(), 1, "{text}");
    }

    #[test]
    fn nothing_that_is_logged_moves_the_cursor_in_either_format() {
        let hostile = "a\u{1b}[2J\u{9b}31m\u{202e}b\u{7f}";
        for format in [LogFormat::Human, LogFormat::Json] {
            let text = logged(format, "info", || {
                let span = tracing::error_span!("record", key = %hostile).entered();
                tracing::error!(reason = hostile, "refused: {hostile}");
                drop(span);
            });
            assert!(text.trim_end().chars().all(|c| !seams::foreign::is_odd(c)), "{text:?}");
            assert!(text.contains("1b") && text.contains("202e"), "{text}");
            let long = logged(format, "info", || tracing::error!(reason = "x".repeat(60 << 20), "refused"));
            assert!(long.len() < 32 << 10 && long.contains(" more bytes"), "{} bytes", long.len());
        }
    }

    #[test]
    fn what_a_result_tells_is_not_logged_as_well() {
        let act = || tracing::error!(target: seams::spans::TOLD_IN_THE_END, "suspended");
        assert!(logged(LogFormat::Human, SERVING, act).contains("suspended"));
        assert_eq!(logged(LogFormat::Human, ENDING, act), "");
    }

    #[test]
    fn a_line_has_the_fields_of_its_spans_and_none_that_is_for_traces() {
        let act = || {
            let outer = tracing::error_span!("outer", pipeline = "orders", batch = "a", trace.place = "00-1").entered();
            let inner = tracing::error_span!("inner", batch = "b", status = tracing::field::Empty).entered();
            inner.record("status", 200);
            tracing::info!(rows = 3, "committed");
            drop((inner, outer));
        };
        let text = logged(LogFormat::Json, "info", act);
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        let fields = ["pipeline", "batch", "status", "rows", "message"].map(|name| line[name].clone());
        assert_eq!(serde_json::json!(fields), serde_json::json!(["orders", "b", 200, 3, "committed"]), "{line}");
        let people = logged(LogFormat::Human, "info", act);
        assert!(people.contains("pipeline=\"orders\"") && people.contains("status=200"), "{people}");
        assert!(![text, people].concat().contains("00-1"));
    }

    #[test]
    fn json_lines_are_one_object_each_with_flat_fields() {
        let text = logged(LogFormat::Json, "info", || tracing::info!(rows = 3, "committed"));
        let line: serde_json::Value = serde_json::from_str(text.trim()).unwrap();
        assert_eq!((line["message"].as_str(), line["rows"].as_u64()), (Some("committed"), Some(3)));
    }
}
