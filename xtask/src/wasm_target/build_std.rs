//! Answers for compiling the standard library for the target, as close to the official build as cargo allows:
//! optimised, with bitcode inside (so that plugins can use link-time optimisation), and without this machine's paths.
//!
//! Does not install anything.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};

use super::toolchain::{TARGET, Toolchain};
use crate::shell::{self, step};

const CRATE: &str = "sluicebox_empty";

/// Builds in a folder below `work` and returns the paths of the libraries.
pub(crate) fn build(toolchain: &Toolchain, work: &Path) -> Result<Vec<PathBuf>> {
    step("building the standard library, about a minute");
    let folder = work.join("empty");
    let target_dir = work.join("target");
    fs::create_dir_all(folder.join("src"))?;
    fs::write(folder.join("src/lib.rs"), "#![no_std]\n")?;
    fs::write(
        folder.join("Cargo.toml"),
        format!(
            "[package]\nname = \"{CRATE}\"\nversion = \"0.0.0\"\nedition = \"2024\"\n\n\
             [profile.release]\ncodegen-units = 1\n\n[workspace]\n"
        ),
    )?;

    let sources = toolchain.library_sources();
    let sources = sources.parent().unwrap_or(&sources).display().to_string();
    let flags =
        ["-Cembed-bitcode=yes".to_owned(), format!("--remap-path-prefix={sources}=/rustc/{}", toolchain.commit)];
    let mut cargo = Command::new(toolchain.program("cargo"));
    cargo
        .args(["build", "--release", "-Zbuild-std=std,panic_abort", "--target", TARGET])
        .current_dir(&folder)
        .env("RUSTC", toolchain.program("rustc"))
        .env("RUSTC_BOOTSTRAP", "1")
        .env("CARGO_TARGET_DIR", &target_dir)
        .env("CARGO_ENCODED_RUSTFLAGS", flags.join("\u{1f}"))
        .env_remove("RUSTC_WRAPPER")
        .env_remove("CARGO_BUILD_TARGET");
    shell::run(&mut cargo)?;
    libraries(&target_dir.join(TARGET).join("release/deps"))
}

fn libraries(deps: &Path) -> Result<Vec<PathBuf>> {
    let mut found = Vec::new();
    for entry in fs::read_dir(deps).with_context(|| format!("cannot read {}", deps.display()))? {
        let path = entry?.path();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        if name.starts_with("lib") && name.ends_with(".rlib") && !name.contains(CRATE) {
            found.push(path);
        }
    }
    found.sort();
    for needed in ["libcore-", "liballoc-", "libstd-", "libpanic_abort-"] {
        let is_it = |path: &PathBuf| path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(needed));
        if !found.iter().any(is_it) {
            bail!("cargo built no `{needed}*.rlib`: the sources do not fit this compiler");
        }
    }
    Ok(found)
}
