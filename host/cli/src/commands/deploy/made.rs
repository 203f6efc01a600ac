//! What was made, in a file.
//!
//! Does not make it.

use std::path::Path;

use crate::context::Context;
use crate::project::write_whole;

/// Writes what was made, and says so.
pub(super) fn write(path: &Path, text: &str, context: &Context) -> anyhow::Result<()> {
    write_whole(path, text.as_bytes())?;
    Ok(context.output.notice(&format!("wrote `{}`", path.display()))?)
}
