//! An error with what a user needs beyond its text: a hint, and the exit code.
//!
//! Does not print: `main` does, once, at the top. Errors without a hint stay plain `anyhow` errors and exit with 1.

use seams::plugin::LoadError;
use thiserror::Error;

use crate::exit::ExitCode;

/// An error that says what to do.
#[derive(Debug, Error)]
#[error("{message}")]
pub(crate) struct Failure {
    code: ExitCode,
    message: String,
    hint: Option<String>,
    #[source]
    cause: Option<Box<dyn std::error::Error + Send + Sync>>,
}

impl Failure {
    /// An error with a message in the house's style: lower case, no full stop, names in backticks.
    pub(crate) fn new(code: ExitCode, message: impl Into<String>) -> Self {
        Failure { code, message: message.into(), hint: None, cause: None }
    }

    /// Adds what to do: one line.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds the cause.
    #[must_use]
    pub(crate) fn caused_by(mut self, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.cause = Some(cause.into());
        self
    }
}

/// The first hint in an error's chain.
pub(crate) fn hint_of(error: &anyhow::Error) -> Option<&str> {
    error.chain().find_map(|cause| {
        let ours = cause.downcast_ref::<Failure>().and_then(|failure| failure.hint.as_deref());
        ours.or_else(|| cause.downcast_ref::<LoadError>().and_then(|load| load.hint.as_deref()))
    })
}

/// An error and its causes in one line, outside in. A cause whose words were already said is left out: many errors quote theirs.
pub(crate) fn in_a_line(error: &anyhow::Error) -> String {
    told(error).join(": ")
}

/// The texts of an error and its causes, outside in, none twice.
pub(crate) fn told(error: &anyhow::Error) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for cause in error.chain() {
        let text = plain(&cause.to_string());
        if text.is_empty() || all.iter().any(|said| said.contains(&text)) {
            continue;
        }
        all.push(text);
    }
    all
}

/// The text without the words in which `object_store` wraps unknown errors, and without repetitions.
pub(crate) fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some(start) = text.find("Generic ") {
        let rest = text.get(start..).unwrap_or_default();
        let Some(end) =
            rest.find(" error: ").filter(|end| !rest.get("Generic ".len()..*end).unwrap_or(" ").contains(' '))
        else {
            break;
        };
        text.replace_range(start..start + end + " error: ".len(), "");
    }
    let mut parts: Vec<&str> = Vec::new();
    for part in text.split(": ") {
        // A short word may occur twice by right.
        if part.len() <= 12 || !parts.contains(&part) {
            parts.push(part);
        }
    }
    let shorter = parts.join(": ");
    if text.len() > shorter.len() && text.lines().count() == 1 { shorter } else { text }
}

/// The exit code of an error: that of the first [`Failure`] in its chain, else 1.
pub(crate) fn code_of(error: &anyhow::Error) -> ExitCode {
    error.chain().find_map(|cause| cause.downcast_ref::<Failure>()).map_or(ExitCode::Wrong, |failure| failure.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hint_and_code_are_found_below_added_context() {
        let failure = Failure::new(ExitCode::Unavailable, "no `cargo`").hint("install it");
        let error = anyhow::Error::from(failure).context("cannot build `a`");
        assert_eq!(hint_of(&error), Some("install it"));
        assert_eq!(code_of(&error), ExitCode::Unavailable);
    }

    #[test]
    fn nothing_is_said_twice_and_no_wrapping_is_shown() {
        let inner = std::io::Error::other("not a directory");
        let text =
            "Generic DirStore error: cannot open folder `a`: not a directory: cannot open folder `a`: not a directory";
        let error = anyhow::Error::from(inner).context(text).context("cannot open the layer at `a`");
        let all = ["cannot open the layer at `a`", "cannot open folder `a`: not a directory"];
        assert_eq!(told(&error), all);
        assert_eq!(in_a_line(&error), all.join(": "));
    }

    #[test]
    fn a_plain_error_exits_with_1_and_has_no_hint() {
        let error = anyhow::anyhow!("it broke");
        assert_eq!(hint_of(&error), None);
        assert_eq!(code_of(&error), ExitCode::Wrong);
    }
}
