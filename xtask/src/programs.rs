//! Answers for the workspace's own programs, built and found: the host and the stand-in API.
//!
//! Does not run them. They are always built together, because cargo chooses the features of shared dependencies by what is built
//! together, and another choice would compile half of them again.

use std::path::PathBuf;

use anyhow::Result;

use crate::shell;

/// Where the programs are after a build.
pub(crate) struct Programs {
    /// The host.
    pub(crate) sluicebox: PathBuf,
    /// The stand-in API.
    pub(crate) omdb_stub: PathBuf,
}

impl Programs {
    /// Builds both.
    pub(crate) fn build() -> Result<Self> {
        shell::step("building the host and the stand-in API");
        shell::run(shell::cargo().args(["build", "--package", "cli", "--package", "omdb-stub"]))?;
        Self::locate()
    }

    /// Where both are, when something else has built them in the dev profile.
    pub(crate) fn locate() -> Result<Self> {
        Self::locate_in("debug")
    }

    /// Where both are, when something else has built them into that folder of the target folder.
    pub(crate) fn locate_in(profile: &str) -> Result<Self> {
        let folder = shell::target_dir()?.join(profile);
        let program = |name: &str| folder.join(format!("{name}{}", std::env::consts::EXE_SUFFIX));
        Ok(Self { sluicebox: program("sluicebox"), omdb_stub: program("omdb-stub") })
    }
}
