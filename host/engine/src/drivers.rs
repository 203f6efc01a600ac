//! What drives the roles: ticks and deliveries become role calls, bounded, repeated where that makes sense, and drained on a stop.
//!
//! Does not know what a role does with its work.

pub mod consumer;
pub mod done;
mod gate;
pub mod heal;
pub mod keeping;
pub mod look;
pub mod mending;
pub mod schedule;
pub mod service;
pub mod serving;
pub mod sweep;
pub mod work;
