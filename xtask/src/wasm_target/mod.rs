//! Answers for the verb `wasm-target`: the active toolchain can compile for `wasm32-unknown-unknown`, whatever the network allows.
//!
//! Ways, cheapest first: it is there already; rustup adds it; on a Debian-like machine it is built from Debian's copy of the
//! very same compiler's library sources. Does not touch the system's package database, and never leaves half a library behind.

mod apt_sources;
mod build_std;
mod rust_src;
mod toolchain;

use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result};

use crate::shell::{self, step};
use toolchain::{TARGET, Toolchain, open_to_all};

/// How long rustup may try before the next way is taken.
const RUSTUP_LIMIT: Duration = Duration::from_secs(90);

/// Does nothing when the target's library is there, and otherwise everything that it takes.
pub(crate) fn ensure() -> Result<()> {
    let toolchain = Toolchain::active()?;
    if toolchain.has_target() {
        step(format!("{TARGET} is there (rustc {})", toolchain.version));
        return Ok(());
    }
    step(format!("rustc {} has no {TARGET} yet", toolchain.version));
    if by_rustup(&toolchain) {
        return Ok(());
    }
    from_sources(&toolchain).with_context(|| format!("cannot give rustc {} the target {TARGET}", toolchain.version))
}

fn by_rustup(toolchain: &Toolchain) -> bool {
    if !shell::exists("rustup") {
        step("no rustup on the PATH, so the library has to be built");
        return false;
    }
    let added = shell::run_within(
        Command::new("rustup").args(["target", "add", TARGET]).env_remove("RUST_BACKTRACE"),
        RUSTUP_LIMIT,
    );
    match added {
        Ok(()) if toolchain.has_target() => {
            step(format!("rustup added {TARGET}"));
            true
        }
        Ok(()) => {
            step("rustup added the target to another toolchain than the active one");
            false
        }
        Err(error) => {
            step(format!("{error}; building the library instead"));
            false
        }
    }
}

fn from_sources(toolchain: &Toolchain) -> Result<()> {
    let work = tempfile::Builder::new()
        .prefix("sluicebox-wasm-target-")
        .tempdir()
        .context("cannot make a temporary folder")?;
    open_to_all(work.path())?;

    if toolchain.has_sources() {
        step("the toolchain has its library sources");
    } else {
        let package = rust_src::fetch(&toolchain.version, work.path())?;
        toolchain.put_sources(|folder| rust_src::unpack_library(&package, &toolchain.version, folder))?;
    }
    let rlibs = build_std::build(toolchain, work.path())?;
    toolchain.put_target(&rlibs)?;
    toolchain.remove_sources()?;
    step(format!("{TARGET} is ready: {} libraries in {}", rlibs.len(), toolchain.target_lib().display()));
    Ok(())
}
