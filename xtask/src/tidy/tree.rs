//! Answers for the text files of the tree, as git lists them.
//!
//! Does not judge what is in them, and leaves out what is not text.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};

use crate::shell;

/// A text file of the tree.
pub(super) struct Source {
    /// From the workspace root, with `/`.
    pub(super) path: String,
    pub(super) text: String,
}

/// What git tracks or would track; binary files are left out.
pub(super) fn read(root: &Path) -> Result<Vec<Source>> {
    let listed = shell::read(
        Command::new("git").args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(root),
    )
    .context("tidy reads what git tracks, and git does not say")?;
    let mut sources = Vec::new();
    for path in listed.split('\0').filter(|path| !path.is_empty()) {
        // Deleted but not committed yet, or not text: nothing to read.
        if let Ok(text) = fs::read_to_string(root.join(path)) {
            sources.push(Source { path: path.to_owned(), text });
        }
    }
    Ok(sources)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_tree_is_read() {
        let sources = read(&shell::workspace_root()).unwrap();
        assert!(sources.iter().any(|it| it.path == "xtask/src/tidy/mod.rs"));
        assert!(!sources.iter().any(|it| it.path.starts_with("target/")));
    }
}
