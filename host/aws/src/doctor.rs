//! Whether an account has what a pipeline needs there: queues and buckets as the program expects them, and leave to use them. By looking, and
//! by calls that change nothing whether they are allowed or not.
//!
//! Does not mend anything, and does not look at functions, alarms or tables.

mod buckets;
mod check;
mod queues;
mod time;

use deploy::{Deployment, Mode};

pub use self::check::{Check, Finding};
use crate::cloud::Cloud;

/// Everything that can be looked at of a deployed pipeline, in a fixed order. `now` is this machine's time.
pub async fn examine(cloud: &Cloud, deployment: &Deployment<'_>, mode: Mode, now: impl Fn() -> i64) -> Vec<Check> {
    let mut checks = vec![time::check(cloud, now).await];
    checks.extend(queues::check(cloud, deployment, mode).await);
    checks.extend(buckets::check(cloud, deployment).await);
    checks
}
