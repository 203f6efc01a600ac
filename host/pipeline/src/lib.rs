//! `pipeline.toml`: from its text to a plan that is valid by construction, or to every problem at once.
//!
//! The way is text → tree with places ([`authored`]) → laid over by the target and `--set` ([`overlay`]) → read key by key
//! ([`reader`], [`values`], [`uris`]) → plan ([`check`]). Does not open a file, load a plugin or read a secret.

mod authored;
pub mod check;
pub mod code;
mod cron;
mod json;
mod limits;
mod overlay;
pub mod plan;
pub mod problem;
mod reader;
pub mod role;
pub mod s3;
mod said;
pub mod schedule;
mod secret;
pub mod sqs;
mod uris;
pub mod urls;
mod values;

pub use check::{Checked, Overrides, check, examine};
pub use plan::Plan;
pub use problem::{Problem, Problems, Severity};
pub use said::{Line, Objection, Said};
