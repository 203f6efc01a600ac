//! What is known of components that this machine has loaded before, noted beside what they were compiled to: that a component was compiled
//! under caps, and what a plugin that was accepted says of itself. What lies there is believed, as compiled code is executed.
//!
//! A note that cannot be written or read is none: what it would have saved is done once more.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::path::{Path, PathBuf};

use engine::seams::plugin::{Descriptor, Digest, Grants};
use wasmtime::Engine;

use crate::inspect::World;

/// Stands for everything that a plugin has to fulfil to be accepted: to be raised when that becomes more within a version of this program.
const RULES: u32 = 1;

/// The notes of a compile cache.
#[derive(Debug)]
pub(crate) struct Notes {
    dir: PathBuf,
}

impl Notes {
    pub(crate) fn beside(cache: &Path) -> Self {
        Notes { dir: cache.join("known") }
    }

    /// Whether the component has been compiled by such an engine.
    pub(crate) fn is_compiled(&self, engine: &Engine, digest: &Digest) -> bool {
        self.dir.join(of_compiled(engine, digest)).is_file()
    }

    pub(crate) fn compiled(&self, engine: &Engine, digest: &Digest) {
        self.write(&of_compiled(engine, digest), b"");
    }

    /// What a plugin that was accepted as one of `world`, with such grants, says of itself.
    pub(crate) fn accepted(&self, digest: &Digest, world: World, grants: &Grants) -> Option<Descriptor> {
        serde_json::from_slice(&std::fs::read(self.dir.join(of_accepted(digest, world, grants)?)).ok()?).ok()
    }

    pub(crate) fn accept(&self, digest: &Digest, world: World, grants: &Grants, descriptor: &Descriptor) {
        if let (Some(name), Ok(text)) = (of_accepted(digest, world, grants), serde_json::to_vec(descriptor)) {
            self.write(&name, &text);
        }
    }

    /// Under another name first: whoever reads it at the same time must not find half of it.
    fn write(&self, name: &str, text: &[u8]) {
        let unfinished = self.dir.join(format!("{name}.{}", std::process::id()));
        let written = std::fs::create_dir_all(&self.dir).and_then(|()| std::fs::write(&unfinished, text));
        let _ = written.and_then(|()| std::fs::rename(&unfinished, self.dir.join(name)));
    }
}

fn of_compiled(engine: &Engine, digest: &Digest) -> String {
    let mut hasher = DefaultHasher::new();
    engine.precompile_compatibility_hash().hash(&mut hasher);
    format!("{}-{:016x}", plain(digest), hasher.finish())
}

/// Acceptance depends on the rules and on what is granted.
fn of_accepted(digest: &Digest, world: World, grants: &Grants) -> Option<String> {
    let rules = (env!("CARGO_PKG_VERSION"), RULES);
    let under = serde_json::to_vec(&(rules, world, &grants.config, &grants.limits)).ok()?;
    Some(format!("{}-{}.json", plain(digest), plain(&Digest::of(&under))))
}

fn plain(digest: &Digest) -> &str {
    digest.as_str().trim_start_matches("sha256:")
}

#[cfg(test)]
mod tests {
    use super::*;
    use engine::pipeline::plan::Limits;

    #[test]
    fn what_was_accepted_is_known_under_the_same_conditions_only() {
        let dir = tempfile::tempdir().unwrap();
        let notes = Notes::beside(dir.path());
        let descriptor = Descriptor {
            name: "known".to_owned(),
            version: "1.0.0".to_owned(),
            input: Vec::new(),
            output: Vec::new(),
            config_schema: String::new(),
        };
        let grants = |config: &str| Grants { config: config.to_owned(), limits: Limits::default() };
        let digest = Digest::of(b"a component");
        assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{}")), None);
        notes.accept(&digest, World::Cleaner, &grants("{}"), &descriptor);
        assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{}")), Some(descriptor));
        assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{\"max_year\":2011}")), None);
        assert_eq!(notes.accepted(&digest, World::Enricher, &grants("{}")), None);
        assert_eq!(notes.accepted(&Digest::of(b"another"), World::Cleaner, &grants("{}")), None);
        let smaller = Limits { memory: 1 << 20, ..Limits::default() };
        assert_eq!(notes.accepted(&digest, World::Cleaner, &Grants { limits: smaller, ..grants("{}") }), None);
        std::fs::write(
            dir.path().join("known").join(of_accepted(&digest, World::Cleaner, &grants("{}")).unwrap()),
            "{",
        )
        .unwrap();
        assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{}")), None);
    }
}
