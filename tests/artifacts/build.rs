//! Answers for the list of components: one constant and one function for each plugin crate and each guest crate of the tree.
//!
//! Does not build them: `cargo xtask plugins` does. It only reads which folders there are.

// A build script's business is the environment and the file system.
#![allow(clippy::disallowed_methods)]

use std::error::Error;
use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

/// The SDK is not a plugin.
const NOT_PLUGINS: [&str; 2] = ["sdk", "sdk-macros"];

fn main() -> Result<(), Box<dyn Error>> {
    let root = Path::new("../..");
    // A crate that comes or goes changes the workspace's lock file; watching the folders would also see every edit inside.
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=../../Cargo.toml");
    println!("cargo::rerun-if-changed=../../Cargo.lock");

    let mut code = String::new();
    for (folder, kind) in [("plugins", "plugin"), ("tests/guests", "guest")] {
        let names = crates(&root.join(folder))?;
        for name in &names {
            component(&mut code, folder, kind, name)?;
        }
        for_each(&mut code, kind, &names)?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    fs::write(out.join("components.rs"), code)?;
    Ok(())
}

/// The folders below `parent` that are crates, sorted; none where there is no such folder.
fn crates(parent: &Path) -> Result<Vec<String>, Box<dyn Error>> {
    let mut names = Vec::new();
    for entry in fs::read_dir(parent).into_iter().flatten() {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        if entry.path().join("Cargo.toml").is_file() && !NOT_PLUGINS.contains(&name.as_str()) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

fn component(code: &mut String, folder: &str, kind: &str, name: &str) -> Result<(), std::fmt::Error> {
    let function = name.replace('-', "_");
    let constant = function.to_uppercase();
    writeln!(
        code,
        "/// Where the component of the {kind} `{name}` is once it is built.\n\
         pub const {constant}: &str = concat!(env!(\"CARGO_MANIFEST_DIR\"), \"/../../{folder}/{name}/{name}.wasm\");\n\n\
         /// The component of the {kind} `{name}`; fails the test where it has not been built.\n\
         pub fn {function}() -> std::path::PathBuf {{\n    built({constant})\n}}\n"
    )
}

/// A macro that names every one, so that what it calls has to handle every one.
fn for_each(code: &mut String, kind: &str, names: &[String]) -> Result<(), std::fmt::Error> {
    writeln!(
        code,
        "/// Calls a macro with the function name of every {kind}: where it needs a test of that name, a {kind} without one does not\n\
         /// compile.\n\
         #[macro_export]\nmacro_rules! for_each_{kind} {{\n    ($each:ident) => {{"
    )?;
    for name in names {
        writeln!(code, "        $each!({});", name.replace('-', "_"))?;
    }
    writeln!(code, "    }};\n}}\n")?;
    writeln!(code, "/// Every {kind} by its crate's name, with where its component is.")?;
    writeln!(code, "pub const {}S: &[(&str, &str)] = &[", kind.to_uppercase())?;
    for name in names {
        writeln!(code, "    ({name:?}, {}),", name.replace('-', "_").to_uppercase())?;
    }
    writeln!(code, "];\n")
}
