//! Queues of SQS, standard ones: one, the two of a stage, and the parts that a queue is made of.
//!
//! Does not make queues or set them up, and does not know what is in a message.

mod batches;
pub(crate) mod body;
mod call;
mod leases;
mod sending;
mod sqs;
pub(crate) mod stages;
mod unclaimed;
mod unopened;

pub(crate) use self::call::{BATCH, region_of};
pub(crate) use self::leases::seconds;
pub use self::sqs::{SqsOptions, SqsQueue};
pub use self::stages::open_stage;
pub(crate) use self::stages::{LEAST, buried_after, place};
pub use self::unopened::unopened_stage;
