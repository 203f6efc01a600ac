//! Answers for what the active toolchain is, what it has, and for adding folders to it so that each is there whole or not at all.
//!
//! Does not choose a toolchain: the one that runs this xtask is active.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// The one target that plugins are compiled for.
pub(super) const TARGET: &str = "wasm32-unknown-unknown";

/// Beside a folder that this verb added: which compiler it was made for.
const STAMP: &str = "made-by-xtask.txt";

/// The stamp's text for readers, below the compiler's identity.
const STAMP_NOTE: &str = "
This folder was made by `cargo xtask wasm-target`. Remove it before you let rustup add the same.
";

/// The compiler in use and its folder.
pub(crate) struct Toolchain {
    /// As in `1.95.0`.
    pub(crate) version: String,
    /// The commit that the compiler was built from; release builds know it.
    pub(crate) commit: String,
    /// The full text of `rustc -vV`, which tells one build of a compiler from another.
    identity: String,
    sysroot: PathBuf,
}

impl Toolchain {
    /// Asks the `rustc` that cargo itself would use here.
    pub(crate) fn active() -> Result<Self> {
        let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
        let ask = |args: &[&str]| shell::read(Command::new(&rustc).args(args).current_dir(shell::workspace_root()));
        let identity = ask(&["-vV"])?;
        let field = |name: &str| {
            identity.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": ")).map(str::to_owned)
        };
        Ok(Self {
            version: field("release").context("`rustc -vV` names no release")?,
            commit: field("commit-hash").unwrap_or_else(|| "unknown".to_owned()),
            sysroot: ask(&["--print", "sysroot"])?.trim().into(),
            identity,
        })
    }

    /// Whether a library for the target is there that this very compiler can read.
    pub(crate) fn has_target(&self) -> bool {
        let Ok(entries) = fs::read_dir(self.target_lib()) else {
            return false;
        };
        let has_core = entries.flatten().any(|entry| {
            let name = entry.file_name();
            let name = name.to_string_lossy();
            name.starts_with("libcore-") && name.ends_with(".rlib")
        });
        has_core && self.stamp_fits(&self.target_folder())
    }

    /// Whether cargo finds sources that belong to this very compiler.
    pub(crate) fn has_sources(&self) -> bool {
        self.library_sources().join("std").is_dir() && self.stamp_fits(&self.sources_folder())
    }

    /// Where the target's libraries belong.
    pub(crate) fn target_lib(&self) -> PathBuf {
        self.target_folder().join("lib")
    }

    /// Where cargo looks for the sources of the standard library.
    pub(crate) fn library_sources(&self) -> PathBuf {
        self.sources_folder().join("library")
    }

    /// A program of this toolchain by its full path, so that no wrapper can choose another toolchain.
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        let own = self.sysroot.join("bin").join(name);
        if own.is_file() { own } else { name.into() }
    }

    /// Fills the folder where cargo looks for `library`.
    pub(crate) fn put_sources(&self, unpack: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        self.publish(&self.sources_folder(), unpack)
    }

    /// Takes away what `put_sources` brought; sources that rustup installed stay.
    pub(crate) fn remove_sources(&self) -> Result<()> {
        let folder = self.sources_folder();
        if folder.join(STAMP).is_file() {
            fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
        }
        Ok(())
    }

    /// Installs the target's libraries.
    pub(crate) fn put_target(&self, rlibs: &[PathBuf]) -> Result<()> {
        self.publish(&self.target_folder(), |partial| {
            let lib = partial.join("lib");
            fs::create_dir_all(&lib)?;
            for rlib in rlibs {
                let name = rlib.file_name().context("a library without a name")?;
                fs::copy(rlib, lib.join(name))?;
            }
            Ok(())
        })
    }

    /// Fills a sibling of `folder`, then renames it: an interruption leaves no half of it under the real name.
    fn publish(&self, folder: &Path, fill: impl FnOnce(&Path) -> Result<()>) -> Result<()> {
        let hint =
            || format!("cannot write {}\n  hint: run this as the user that owns the toolchain", folder.display());
        let parent = folder.parent().context("a toolchain without a folder")?;
        fs::create_dir_all(parent).with_context(hint)?;
        let partial = tempfile::Builder::new().prefix(".xtask-partial-").tempdir_in(parent).with_context(hint)?;
        fill(partial.path()).with_context(hint)?;
        fs::write(partial.path().join(STAMP), self.stamp()).with_context(hint)?;
        open_to_all(partial.path())?;
        if folder.exists() {
            fs::remove_dir_all(folder).with_context(hint)?;
        }
        match fs::rename(partial.path(), folder) {
            // From here on the name belongs to the toolchain; there is nothing left to clean up.
            Ok(()) => {
                let _moved = partial.keep();
                Ok(())
            }
            // Someone else was quicker with the same work.
            Err(_) if self.stamp_fits(folder) && folder.exists() => Ok(()),
            Err(error) => Err(error).with_context(hint),
        }
    }

    /// A folder without a stamp came with the toolchain; one with a stamp must be of this compiler.
    fn stamp_fits(&self, folder: &Path) -> bool {
        match fs::read_to_string(folder.join(STAMP)) {
            Ok(made_for) => made_for == self.stamp(),
            Err(_) => true,
        }
    }

    fn stamp(&self) -> String {
        format!("{}{STAMP_NOTE}", self.identity)
    }

    fn target_folder(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib").join(TARGET)
    }

    fn sources_folder(&self) -> PathBuf {
        self.sysroot.join("lib/rustlib/src/rust")
    }
}

/// apt drops to a user of its own while it downloads, and that user has to reach the folder.
pub(super) fn open_to_all(folder: &Path) -> Result<()> {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        fs::set_permissions(folder, fs::Permissions::from_mode(0o755))?;
    }
    Ok(())
}
