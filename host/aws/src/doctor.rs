//! Whether an account has what a pipeline needs there: queues and buckets as the program expects them, and permission to use them. It finds out
//! by looking, and by calls that change nothing whether they are allowed or not.
//!
//! Does not repair anything, and does not look at functions, alarms or tables.

mod buckets;
mod check;
mod queues;
mod time;

use deploy::{Deployment, Mode};

pub use self::check::{Check, Finding};
use crate::cloud::Cloud;

/// Checks all of a deployed pipeline that can be looked at, in a fixed order. `now` is this machine's time.
pub async fn examine(cloud: &Cloud, deployment: &Deployment<'_>, mode: Mode, now: impl Fn() -> i64) -> Vec<Check> {
    let mut checks = vec![time::check(cloud, now).await];
    checks.extend(queues::check(cloud, deployment, mode).await);
    checks.extend(buckets::check(cloud, deployment).await);
    checks
}
