//! Where a kept answer is: in a pack, or in an object of its own.
//!
//! Does not look whether it is there.

use std::sync::Arc;

use seams::store::Path;

use super::kept::{AnswerId, FOLDER};
use super::pack;

/// Where a kept answer is. In text, as `_meta.answers` has it, `PACK#ID`; or `ID` where it is an object of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AnswerAt {
    pub(super) pack: Option<Arc<str>>,
    pub(super) id: AnswerId,
}

impl AnswerAt {
    /// A place as `_meta.answers` has it.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text.split_once('#') {
            Some((pack, id)) => AnswerAt { pack: Some(pack.into()), id: AnswerId(id.to_owned()) },
            None => AnswerAt { pack: None, id: AnswerId(text.to_owned()) },
        }
    }

    /// What the answer is kept under.
    #[must_use]
    pub fn id(&self) -> &AnswerId {
        &self.id
    }

    /// The object that holds it.
    pub(super) fn path(&self) -> Path {
        match &self.pack {
            Some(pack) => pack::path_of(pack),
            None => Path::from(format!("{FOLDER}/{}.json", self.id.0)),
        }
    }
}

impl std::fmt::Display for AnswerAt {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.pack {
            Some(pack) => write!(f, "{pack}#{}", self.id.0),
            None => f.write_str(&self.id.0),
        }
    }
}

/// The answer that is an object of its own.
pub(super) fn own(path: &Path) -> Option<AnswerAt> {
    let id = AnswerId(path.filename()?.strip_suffix(".json")?.to_owned());
    (path.parts().count() == 2 && id.number().is_some()).then_some(AnswerAt { pack: None, id })
}
