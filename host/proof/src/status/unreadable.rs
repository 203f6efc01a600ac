//! What a status could not read: it goes on with the rest and says what is missing.
//!
//! Does not try anything again.

use std::collections::BTreeMap;

/// What could not be read so far.
#[derive(Default)]
pub(super) struct Unreadable(pub(super) BTreeMap<String, String>);

impl Unreadable {
    /// Returns what was read; otherwise nothing, and keeps the reason.
    pub(super) fn or_default<T: Default, E: std::fmt::Display>(&mut self, part: &str, read: Result<T, E>) -> T {
        read.unwrap_or_else(|error| {
            self.0.insert(part.to_owned(), error.to_string());
            T::default()
        })
    }
}
