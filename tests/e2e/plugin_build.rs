//! What `sluicebox plugin build` says when it cannot build: every way to fail has its own message, code and hint.
//!
//! Does not build the plugins that work: that is `author_desk`.

// A test fails by panicking, and brings about what it looks at.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::path::{Path, PathBuf};

use support::{command, fresh_folder, run, sluicebox};

/// A project with one crate in `plugins/`, of these targets and this code.
fn project(name: &str, lib: &str, code: &str) -> PathBuf {
    let folder = fresh_folder(name);
    std::fs::create_dir_all(folder.join("plugins/it/src")).unwrap();
    let manifest = format!("[package]\nname = \"it\"\nversion = \"0.1.0\"\nedition = \"2024\"\n[lib]\n{lib}\n");
    std::fs::write(folder.join("plugins/it/Cargo.toml"), manifest).unwrap();
    std::fs::write(folder.join("plugins/it/src/lib.rs"), code).unwrap();
    std::fs::write(folder.join("Cargo.toml"), "[workspace]\nresolver = \"3\"\nmembers = [\"plugins/*\"]\n").unwrap();
    std::fs::write(folder.join("pipeline.toml"), "").unwrap();
    folder
}

const CDYLIB: &str = "crate-type = [\"cdylib\", \"rlib\"]";

#[test]
fn outside_of_a_project_it_says_how_to_name_or_make_one() {
    // Below the system's folder for temporary files, where no folder above is a project.
    let folder = tempfile::tempdir().unwrap();
    let ran = sluicebox(folder.path(), &["plugin", "build"]).exits(2);
    assert!(ran.stderr.contains("no `pipeline.toml`") && ran.stderr.contains("--project"), "{}", ran.stderr);
}

#[test]
fn a_misspelt_name_is_suggested() {
    let folder = project("build-misspelt", CDYLIB, "");
    std::fs::rename(folder.join("plugins/it"), folder.join("plugins/clean-it")).unwrap();
    let ran = sluicebox(&folder, &["plugin", "build", "claen-it"]).exits(2);
    assert!(ran.stderr.contains("clean-it"), "{}", ran.stderr);
}

#[test]
fn a_toolchain_that_is_not_there_exits_with_3() {
    let folder = project("build-no-cargo", CDYLIB, "");
    let ran = run(command(&folder).args(["plugin", "build"]).env("CARGO", "no-such-cargo")).exits(3);
    assert!(ran.stderr.contains("`no-such-cargo`") && ran.stderr.contains("rustup.rs"), "{}", ran.stderr);
}

#[cfg(unix)]
#[test]
fn a_toolchain_without_the_target_exits_with_3_before_anything_is_compiled() {
    let folder = project("build-no-target", CDYLIB, "");
    let rustc = folder.join("rustc-without-target");
    executable(&rustc, "#!/bin/sh\necho /nowhere/lib/rustlib/wasm32-unknown-unknown/lib\n");
    let mut command = command(&folder);
    let ran = run(command.args(["plugin", "build"]).env("RUSTC", &rustc)).exits(3);
    assert!(ran.stderr.contains("rustup target add wasm32-unknown-unknown"), "{}", ran.stderr);
    assert!(!ran.stderr.contains("Compiling"), "{}", ran.stderr);
}

#[cfg(unix)]
fn executable(path: &Path, text: &str) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::write(path, text).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn a_crate_that_is_no_cdylib_is_told_what_to_add() {
    let folder = project("build-rlib", "crate-type = [\"rlib\"]", "");
    let ran = sluicebox(&folder, &["plugin", "build"]).exits(1);
    assert!(ran.stderr.contains("crate-type = [\"cdylib\", \"rlib\"]"), "{}", ran.stderr);
}

#[test]
fn a_compile_error_passes_through() {
    let folder = project("build-broken", CDYLIB, "pub fn f() -> u32 { \"text\" }");
    let ran = sluicebox(&folder, &["plugin", "build", "--json"]).exits(1);
    assert!(ran.stderr.contains("mismatched types"), "{}", ran.stderr);
    assert!(ran.json()["error"]["message"].as_str().unwrap().contains("`it`"), "{}", ran.stdout);
    assert!(!folder.join("plugins/it/it.wasm").exists());
}

#[test]
fn a_crate_without_a_world_is_told_about_the_macros() {
    let folder = project("build-no-world", CDYLIB, "#[unsafe(no_mangle)]\npub extern \"C\" fn f() {}\n");
    let ran = sluicebox(&folder, &["plugin", "build"]).exits(1);
    assert!(ran.stderr.contains("is no plugin") && ran.stderr.contains("`cleaner!`"), "{}", ran.stderr);
    assert!(!folder.join("plugins/it/it.wasm").exists());
}
