//! Why a stage is suspended, as it is kept beside its layer.
//!
//! Does not suspend anything, and does not read or write itself.

use chrono::{DateTime, Utc};
use lake::silver::SilverVersion;
use pipeline::plan::Percent;
use seams::plugin::PluginStamp;
use serde::{Deserialize, Serialize};

/// Where suspensions are, below their layer.
pub(super) const FOLDER: &str = "_suspended";

/// Why a stage is suspended: kept beside its layer, so that a restart does not find it out again at the cost of more records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Suspension {
    /// The stage.
    pub stage: String,
    /// Its plugin.
    pub plugin: PluginStamp,
    /// The share of failures above which it is suspended.
    pub suspend_above: Percent,
    /// The latest records that it was given.
    pub records: usize,
    /// How many of them it failed on.
    pub failed: usize,
    /// When that was found.
    pub at: DateTime<Utc>,
    /// A few of the refusals. None of them is in quarantine.
    pub samples: Vec<Sample>,
    /// A digest of the plugin's endpoints and secrets, to notice a change. None where the stage calls no service.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub surroundings: Option<Surroundings>,
    /// Of an aggregate: how far its table has come.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub behind: Option<BehindSince>,
}

/// Since when a Gold table stays as it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BehindSince {
    /// The version of Silver on which its plugin failed first.
    pub since: SilverVersion,
    /// The version of Silver on which it was tried last.
    pub tried: SilverVersion,
    /// Whether it ran past its deadline. A slow machine may be to blame for that, so it is tried again from time to time.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub too_slow: bool,
}

/// What is kept of the endpoints and secrets that a plugin failed with: enough to see that one has changed, too little to guess a secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Surroundings {
    pub(super) salt: String,
    pub(super) digest: String,
}

/// One refusal that led to a suspension.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sample {
    /// Stable code of the reason.
    pub code: String,
    /// Why the record was refused.
    pub reason: String,
    /// Where its input is, or would have been.
    pub input: String,
    /// The record's key.
    pub key: Option<String>,
}

impl Suspension {
    /// Why, for people, in one line.
    #[must_use]
    pub fn reason(&self) -> String {
        let sample = self.samples.first().map(|sample| format!(", for instance {}: {}", sample.code, sample.reason));
        if self.records == 0 {
            let why = self.samples.first().map_or("it failed", |sample| sample.reason.as_str());
            return format!(
                "stage `{}` is suspended: `{}` {}: {why}",
                self.stage, self.plugin.name, self.plugin.version
            );
        }
        format!(
            "stage `{}` is suspended: `{}` {} failed on {} of the last {} records, allowed are {}{}",
            self.stage,
            self.plugin.name,
            self.plugin.version,
            self.failed,
            self.records,
            self.suspend_above,
            sample.unwrap_or_default()
        )
    }
}
