//! An error with what a person needs beyond its text: a hint, and the exit code that it leads to.
//!
//! Does not print: `main` does, once, at the top. Errors without a hint stay plain `anyhow` errors and exit with 1.

use crate::exit::ExitCode;
use engine::seams::plugin::LoadError;
use thiserror::Error;

/// An error that says how to go on.
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

    /// Adds what to do about it: one line.
    #[must_use]
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds what led to it.
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

/// The exit code that an error leads to: that of the first [`Failure`] in its chain, else 1.
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
    fn a_plain_error_exits_with_1_and_has_no_hint() {
        let error = anyhow::anyhow!("it broke");
        assert_eq!(hint_of(&error), None);
        assert_eq!(code_of(&error), ExitCode::Wrong);
    }
}
