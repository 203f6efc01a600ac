//! The two ends of the program: from the command line to a [`Context`], and from a command's result to a message and an exit code.
//!
//! Does not know any one command.

use std::ffi::OsString;
use std::future::Future;
use std::io::Write;
use std::time::Duration;

use clap::FromArgMatches as _;
use serde_json::{Value, json};

use crate::args::{self, Args};
use crate::commands::lambda;
use crate::context::{Compiled, Context};
use crate::exit::ExitCode;
use crate::failure;
use crate::logging;
use crate::output::{Output, Tone};
use crate::pipelines::InvalidPipelines;
use crate::redact::Redactor;
use crate::traces::Traces;

/// How long work on blocking threads may take after the command is done.
const TO_LEAVE: Duration = Duration::from_secs(5);

/// Reads the command line. Help and usage errors are printed here; the error is then the exit code.
pub(crate) fn parse() -> Result<Args, ExitCode> {
    // Lambda starts a function's program without arguments.
    let words = std::env::args_os();
    let words: Vec<OsString> =
        if lambda::is_here() { vec!["bootstrap".into(), "lambda".into()] } else { words.collect() };
    let parsed = args::command().try_get_matches_from(words).and_then(|matches| Args::from_arg_matches(&matches));
    parsed.map_err(|error| {
        let code = if error.use_stderr() { ExitCode::Usage } else { ExitCode::Success };
        if code == ExitCode::Usage && std::env::args_os().any(|argument| argument == "--json") {
            let text = error.render().to_string();
            let message = text.trim().strip_prefix("error: ").unwrap_or(&text).trim();
            let _ = writeln!(std::io::stdout().lock(), "{}", document(message, &[], None, code));
        }
        let _ = error.print();
        code
    })
}

/// Opens the streams and starts logging.
pub(crate) fn set_up(args: &Args) -> Result<Context, ExitCode> {
    let global = &args.global;
    let filter =
        global.log_level.as_deref().unwrap_or(if args.command.serves() { logging::SERVING } else { logging::ENDING });
    let redactor = Redactor::default();
    let output = Output::new(global.json, global.color, redactor.clone());
    let format = global.log_format.unwrap_or_else(|| args.command.log_format());
    let context = |traces| Context {
        output: output.clone(),
        redactor: redactor.clone(),
        traces,
        compiled: Compiled::ByUser(global.cache_dir.clone()),
        memory: global.memory.map(|size| size.0),
    };
    let (spans, traces) =
        Traces::from_environment(&redactor).map_err(|error| finish(Err(error), &context(Traces::default())))?;
    let started = logging::start(filter, format, &output, &redactor, spans);
    let context = context(traces);
    match started {
        Ok(()) => Ok(context),
        Err(error) => {
            let failure = failure::Failure::new(ExitCode::Usage, error.to_string())
                .hint("a level as in `debug`, or levels by module as in `info,engine=debug`");
            Err(finish(Err(failure.into()), &context))
        }
    }
}

/// Runs a command to its end on a multi-threaded reactor.
pub(crate) fn block_on<F>(command: F) -> anyhow::Result<ExitCode>
where
    F: Future<Output = anyhow::Result<ExitCode>>,
{
    let reactor = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let ended = reactor.block_on(command);
    // Work that still hangs in a file system is abandoned.
    reactor.shutdown_timeout(TO_LEAVE);
    ended
}

/// Reports an error, if there is one, and returns the exit code.
pub(crate) fn finish(outcome: anyhow::Result<ExitCode>, context: &Context) -> ExitCode {
    let error = match outcome {
        Ok(code) => return code,
        Err(error) => error,
    };
    let invalid = error.downcast_ref::<InvalidPipelines>();
    let code = if invalid.is_some() { ExitCode::Usage } else { failure::code_of(&error) };
    let text = match invalid {
        Some(invalid) => invalid.render(context.output.stderr_color()),
        None => human(&error, context.output.stderr_color()),
    };
    // If stderr is gone, only the exit code is left.
    let _ = context.output.notice(text.trim_end());
    if context.output.json() {
        let causes: Vec<String> = error.chain().skip(1).map(ToString::to_string).collect();
        let mut document = document(&error.to_string(), &causes, failure::hint_of(&error), code);
        if let (Some(invalid), Some(body)) = (invalid, document.get_mut("error").and_then(Value::as_object_mut)) {
            body.insert("problems".into(), invalid.to_json());
        }
        let _ = context.output.report(&document, |_| String::new());
    }
    code
}

fn document(message: &str, causes: &[String], hint: Option<&str>, code: ExitCode) -> Value {
    json!({ "error": { "message": message, "causes": causes, "hint": hint, "exit_code": code.number() } })
}

fn human(error: &anyhow::Error, color: bool) -> String {
    let told = failure::told(error);
    let mut told = told.iter();
    let mut text = format!("{} {}", Tone::Bad.paint(color, "error:"), told.next().map_or("", String::as_str));
    for cause in told {
        text.push_str(&format!("\n  {} {}", Tone::Faint.paint(color, "because:"), indented(cause)));
    }
    if let Some(hint) = failure::hint_of(error).filter(|hint| !text.contains(*hint)) {
        text.push_str(&format!("\n  {} {}", Tone::Notable.paint(color, "hint:"), indented(hint)));
    }
    text
}

fn indented(text: &str) -> String {
    text.trim_end().replace('\n', "\n    ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::failure::Failure;

    #[test]
    fn an_error_is_told_from_the_outside_in_with_its_hint_last() {
        let failure = Failure::new(ExitCode::Unavailable, "no such program `cargo`").hint("install Rust");
        let error = anyhow::Error::from(failure).context("cannot build `a`");
        assert_eq!(
            human(&error, false),
            "error: cannot build `a`\n  because: no such program `cargo`\n  hint: install Rust"
        );
    }

    #[test]
    fn the_document_for_machines_holds_the_same() {
        let document = document("it broke", &["why".to_owned()], Some("mend it"), ExitCode::Wrong);
        let expected = json!({"error": {"message": "it broke", "causes": ["why"], "hint": "mend it", "exit_code": 1}});
        assert_eq!(document, expected);
    }
}
