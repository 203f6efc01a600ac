//! A stage of a plan, with its names for events and for people.
//!
//! Does not load its plugin.

use pipeline::plan::Stage;

/// A stage and what it is called.
pub(super) struct StagePlace<'a> {
    /// For events: `clean`, `aggregate NAME`.
    pub(super) name: String,
    /// For people: ``aggregate `NAME` ``.
    pub(super) shown: String,
    pub(super) stage: &'a Stage,
}

impl<'a> StagePlace<'a> {
    /// A stage with one name for both.
    pub(super) fn plain(name: &str, stage: &'a Stage) -> Self {
        StagePlace { name: name.to_owned(), shown: name.to_owned(), stage }
    }
}
