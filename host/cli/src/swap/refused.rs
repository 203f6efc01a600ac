//! A refused version: of a plugin or of the pipeline's file, and why.
//!
//! Does not decide that: the code that tries a candidate does.

use engine::drivers::serving::Replaced;
use engine::rehearsal::NotGood;
use lake::swaps::Version;
use local::outside;
use seams::plugin::{Digest, PluginStamp};

use crate::load::{CannotLoad, passes};
use crate::pipelines::PipelineFile;

/// The stage name for events of the file as a whole.
pub(super) const WHOLE: &str = "pipeline";

/// A refused version.
pub(super) struct Refused {
    pub(super) stage: String,
    pub(super) version: Version,
    pub(super) code: Option<String>,
    pub(super) reason: String,
    /// Whether the refusal says nothing about the version: the store failed, and may work the next time.
    pub(super) passing: bool,
    /// Whether it could not be read: then the look is repeated although nothing new is published.
    pub(super) again: bool,
}

/// The version of a pipeline file on disk.
pub(super) async fn of_file(file: &PipelineFile) -> Version {
    let bytes = outside::read_soon(&file.path, outside::MOST_TEXT).await.unwrap_or_default();
    let digest = Digest::of(&bytes).to_string();
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Version { plugin: PluginStamp { name, version: "-".to_owned(), digest }, config: "{}".to_owned() }
}

/// A new plugin that failed its trial.
pub(super) fn not_good(one: &Replaced, error: &NotGood) -> Refused {
    let (code, passing) = match error {
        NotGood::Plugin { code, .. } => (Some(*code), false),
        NotGood::Failed(failure) => (None, failure.passes()),
    };
    Refused { passing, ..refused(one, code, error.to_string()) }
}

/// A new plugin, and why it is refused.
pub(super) fn refused(one: &Replaced, code: Option<&str>, reason: String) -> Refused {
    let (stage, version, code) = (one.stage.clone(), one.new.clone(), code.map(str::to_owned));
    Refused { stage, version, code, reason, passing: false, again: false }
}

/// Why a file gives no service: one refusal for each plugin at fault, or one for the file.
pub(super) fn cannot(error: &anyhow::Error, as_file: &Version) -> Vec<Refused> {
    let of_plugins = error.chain().find_map(|cause| cause.downcast_ref::<CannotLoad>());
    let Some(CannotLoad(troubles)) = of_plugins else {
        let (stage, version, reason) = (WHOLE.to_owned(), as_file.clone(), format!("{error:#}"));
        return vec![Refused { stage, version, code: None, reason, passing: passes(error), again: false }];
    };
    let refused = troubles.iter().map(|trouble| {
        let (stage, version) = trouble.about.as_deref().cloned().unwrap_or_else(|| (WHOLE.to_owned(), as_file.clone()));
        let reason = format!("{}: {}", trouble.place, trouble.message);
        let (passing, again) = (trouble.passing, trouble.again);
        Refused { stage, version, code: trouble.code.map(str::to_owned), reason, passing, again }
    });
    refused.collect()
}
