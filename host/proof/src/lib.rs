//! Operations on a whole lake: verify, explain, count, make again, erase, repair.
//!
//! Does no work of a tick: that is `engine`. Knows no file system, no cloud, no environment and no wall clock.

pub mod explain;
pub mod forget;
pub mod remake;
pub mod repair;
pub mod reset;
pub mod status;
pub mod verify;
