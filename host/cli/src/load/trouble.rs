//! Reasons why a valid pipeline file cannot run, each with its place and what to do.
//!
//! Does not decide what follows.

use engine::contract::Breach;
use engine::contract::columns::Missing;
use lake::swaps::Version;
use seams::plugin::LoadError;

use super::stage_place::StagePlace;

/// Every reason why a valid pipeline file cannot run.
#[derive(Debug, thiserror::Error)]
#[error("{}", summary(.0))]
pub(crate) struct CannotLoad(pub(crate) Vec<Trouble>);

/// One reason.
#[derive(Debug, serde::Serialize)]
pub(crate) struct Trouble {
    /// The stage, and its plugin's version if that is known.
    #[serde(skip)]
    pub(crate) about: Option<Box<(String, Version)>>,
    /// Stage and plugin, or layer.
    pub(crate) place: String,
    /// Stable code, if there is one.
    pub(crate) code: Option<&'static str>,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
    /// Whether it may pass soon: a fault of the store, not of the plugin.
    #[serde(skip)]
    pub(crate) passing: bool,
    /// Whether the next look may differ although nothing new is published: a file could not be read.
    #[serde(skip)]
    pub(crate) again: bool,
}

fn summary(troubles: &[Trouble]) -> String {
    let mut text = String::from("the plugins cannot run as this pipeline");
    for trouble in troubles {
        text.push_str(&format!("\n{}", trouble.text()));
    }
    text
}

impl Trouble {
    pub(super) fn of(
        place: &StagePlace<'_>,
        code: Option<&'static str>,
        message: String,
        hint: Option<String>,
    ) -> Self {
        let place = format!("{} (`{}`)", place.shown, place.stage.plugin);
        Trouble { about: None, place, code, message, hint, passing: false, again: false }
    }

    /// For people, with the hint below.
    pub(crate) fn text(&self) -> String {
        let code = self.code.map(|code| format!(" [{code}]")).unwrap_or_default();
        let hint = self.hint.as_ref().map(|hint| format!("\n  hint: {hint}")).unwrap_or_default();
        format!("{}{code}: {}{hint}", self.place, self.message)
    }

    pub(super) fn load(place: &StagePlace<'_>, version: Version, error: LoadError) -> Self {
        let about = Some(Box::new((place.name.clone(), version)));
        Trouble { about, ..Trouble::of(place, Some(error.code), error.message, error.hint) }
    }

    pub(super) fn missing(missing: Missing) -> Self {
        let (place, code) = ("source".to_owned(), Some("P040"));
        let (message, hint) = (missing.message, Some(missing.hint));
        Trouble { about: None, place, code, message, hint, passing: false, again: false }
    }

    pub(super) fn breach(breach: Breach) -> Self {
        let (place, code) = ("contract".to_owned(), Some("P040"));
        let (message, hint) = (breach.message, breach.hint);
        Trouble { about: None, place, code, message, hint, passing: false, again: false }
    }
}
