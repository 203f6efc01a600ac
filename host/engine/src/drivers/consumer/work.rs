//! What a role does with deliveries, as its consumer sees it.
//!
//! Does not do it: `drivers::work` does.

use async_trait::async_trait;
use lake::Lake;
use lake::failure::Failure;
use seams::queue::Delivery;
use seams::spans::About;
use thiserror::Error;

/// What a role does with deliveries.
#[async_trait]
pub trait Work: Send + Sync {
    /// Whether the stage may be worked at all: [`Failure::Plugin`] if it was suspended before, perhaps by another process.
    async fn ready(&self) -> Result<(), Failure> {
        Ok(())
    }

    /// The number of the plugins' version that does the work; it changes at each switch.
    fn version(&self) -> u64 {
        0
    }

    /// Returns when the version is no longer `seen`; never, where there is only one.
    async fn renewed(&self, _seen: u64) {
        std::future::pending().await
    }

    /// Whether a suspended stage may go on: by hand, or because something has changed that its plugin failed for.
    async fn is_lifted(&self) -> bool {
        false
    }

    /// The plugin of version `seen` has failed as a whole. Returns whether another version does the work now, so that the stage goes on.
    async fn fall_back(&self, _seen: u64, _reason: &str) -> bool {
        false
    }

    /// The lake in which it is noted that the stage waits, so that others see it and can end the wait; none where that is not noted.
    fn notes_waits_in(&self) -> Option<Lake> {
        None
    }

    /// What the log and a trace say of a delivery.
    fn about(&self, _delivery: &Delivery) -> About {
        About::default()
    }

    /// Does the work of all `deliveries`; the results stand in their order.
    async fn take(&self, deliveries: &[Delivery]) -> Vec<Result<(), Failure>>;

    /// Brings the work to an end in another way: it was tried as often as is allowed.
    async fn give_up(&self, delivery: &Delivery, why: &GivenUp) -> Result<(), Failure>;
}

/// Why work is given up.
#[derive(Clone, Debug, Error)]
pub enum GivenUp {
    /// It failed each time.
    #[error("tried {receives} times, the last time: {failure}")]
    Failed {
        /// How often it was received.
        receives: u32,
        /// How it failed the last time.
        failure: Failure,
    },
    /// It never came to an end, not even alone: no host that had it in hand has reported a result.
    #[error(
        "received more than {most} times without an end, the last time alone: the host died or was stopped over it"
    )]
    NeverEnded {
        /// How often it may be received in company.
        most: u32,
    },
}
