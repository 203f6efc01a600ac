//! A case on disk: `cases/NAME/input.json`, `expected.json` and, if there is one, `config.json`.
//!
//! Does not know the form of a world's input or output.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use local::outside;
use pipeline::plan::Limits;
use seams::plugin::Grants;
use serde_json::Value;

use super::exact;
use crate::plugins::component::cannot_read;
use crate::project::{PluginCrate, write_whole};

/// The most bytes of a file of a case.
const MOST_SAMPLE: u64 = 64 << 20;

/// A case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    /// The folder's name.
    pub(crate) name: String,
    dir: PathBuf,
}

/// The cases of a plugin, by name.
pub(crate) fn of(plugin: &PluginCrate) -> anyhow::Result<Vec<Case>> {
    let folder = plugin.dir.join("cases");
    let entries = match std::fs::read_dir(&folder) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(error).with_context(|| format!("cannot list `{}`", folder.display())),
    };
    let mut cases = Vec::new();
    for entry in entries {
        let dir = entry?.path();
        if dir.is_dir() {
            let name = dir.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
            cases.push(Case { name, dir });
        }
    }
    cases.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(cases)
}

impl Case {
    /// The plugin's input.
    pub(crate) fn input<T: serde::de::DeserializeOwned>(&self) -> anyhow::Result<T> {
        let path = self.dir.join("input.json");
        let text = outside::read_text(&path, MOST_SAMPLE).map_err(|error| cannot_read(&path, error))?;
        serde_json::from_str(&text).with_context(|| format!("`{}` is no input for this kind of plugin", path.display()))
    }

    /// The expected output; `None` if there is no `expected.json`.
    pub(crate) fn expected(&self) -> anyhow::Result<Option<Value>> {
        read_if_there(&self.dir.join("expected.json"))
    }

    /// The configuration of `config.json`, or none, with the default limits.
    pub(crate) fn grants(&self) -> anyhow::Result<Grants> {
        let config = read_if_there(&self.dir.join("config.json"))?.unwrap_or_else(|| serde_json::json!({}));
        Ok(Grants { config: exact::text(&config, false), limits: Limits::default() })
    }

    /// Makes `output` the expected output.
    pub(crate) fn bless(&self, output: &Value) -> anyhow::Result<()> {
        let text = format!("{}\n", exact::text(output, true));
        write_whole(&self.dir.join("expected.json"), text.as_bytes())
    }
}

fn read_if_there(path: &Path) -> anyhow::Result<Option<Value>> {
    match outside::read_text(path, MOST_SAMPLE) {
        Ok(text) => exact::parse(&text).map(Some).with_context(|| format!("`{}` is not valid JSON", path.display())),
        Err(error) if error.is_not_there() => Ok(None),
        Err(error) => Err(cannot_read(path, error)),
    }
}
