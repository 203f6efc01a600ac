//! Writes the output to a file.
//!
//! Does not make it.

use std::path::Path;

use crate::context::Context;
use crate::project::write_whole;

/// Writes the output to a file, and says so.
pub(super) fn write(path: &Path, text: &str, context: &Context) -> anyhow::Result<()> {
    write_whole(path, text.as_bytes())?;
    Ok(context.output.notice(&format!("wrote `{}`", path.display()))?)
}
