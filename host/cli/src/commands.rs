//! The commands, a file each, all of one shape: an `Args` and an `execute`.
//!
//! Does not hold what two commands share: that is beside this module (`pipelines`, `project`, `plugins`, `output`).

pub(crate) mod check;
pub(crate) mod completions;
pub(crate) mod deploy;
pub(crate) mod doctor;
pub(crate) mod explain;
pub(crate) mod explain_error;
pub(crate) mod forget;
pub(crate) mod health;
pub(crate) mod init;
pub(crate) mod lambda;
pub(crate) mod plugin;
pub(crate) mod quarantine;
pub(crate) mod records;
pub(crate) mod repair;
pub(crate) mod replay;
pub(crate) mod reset;
pub(crate) mod resume;
pub(crate) mod run;
pub(crate) mod source;
pub(crate) mod status;
pub(crate) mod verify;
