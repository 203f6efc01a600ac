//! What drives the roles: ticks and deliveries become role calls, bounded, repeated where that makes sense, and drained on a stop.
//!
//! Does not know what a role does with its work.

pub mod consumer;
mod consumers;
pub mod done;
mod forever;
mod gate;
pub mod heal;
pub mod keeping;
mod left;
pub mod look;
pub mod mending;
mod once;
pub mod schedule;
pub mod service;
pub mod serving;
pub mod sweep;
pub mod work;
