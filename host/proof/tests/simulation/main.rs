//! Whole lives of the engine, drawn from seeds: hosts that crash over any call, stores, queues, services, secrets and plugins that fail,
//! clocks that jump, ticks that correct records. When the faults stop, every record is where a calm run would have put it.
//!
//! Does not kill processes or lose power: `tests/e2e` and `local` do.
//!
//! `SIMULATION_SEED=N` runs one seed, `SIMULATION_SEEDS=N` runs N seeds (2,000 by default), divided over the shards.

#![allow(
    clippy::disallowed_methods,
    clippy::expect_used,
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests"
)]

mod accounts;
mod life;
mod scenario;
#[path = "../service/world.rs"]
#[allow(dead_code, reason = "shared with the tests in `service`, which use all of it")]
mod world;

use std::panic::AssertUnwindSafe;

use futures::FutureExt;
use scenario::Scenario;

/// Seeds of a run without `SIMULATION_SEEDS`.
const SEEDS: u64 = 2000;
const SHARDS: u64 = 16;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("`{name}` is no number: `{text}`")))
}

/// Lives every seed of the shard; a seed that fails is named with the command that runs it alone.
fn shard(number_of_shard: u64) {
    let seeds: Vec<u64> = match number("SIMULATION_SEED") {
        Some(seed) => Some(seed).filter(|seed| seed % SHARDS == number_of_shard).into_iter().collect(),
        None => {
            (0..number("SIMULATION_SEEDS").unwrap_or(SEEDS)).filter(|seed| seed % SHARDS == number_of_shard).collect()
        }
    };
    for seed in seeds {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            // One blocking thread: it runs its jobs in order.
            .max_blocking_threads(1)
            .build()
            .unwrap();
        let life = AssertUnwindSafe(life::live(Scenario::draw(seed))).catch_unwind();
        if let Err(panic) = runtime.block_on(life) {
            let shard = format!("shard_{number_of_shard:02}");
            eprintln!(
                "seed {seed} failed: SIMULATION_SEED={seed} cargo nextest run --workspace --test simulation {shard}"
            );
            std::panic::resume_unwind(panic);
        }
    }
}

macro_rules! shards {
    ($($name:ident $number:literal),*) => {
        $(#[test]
        fn $name() {
            shard($number);
        })*
    };
}

shards!(
    shard_00 0, shard_01 1, shard_02 2, shard_03 3, shard_04 4, shard_05 5, shard_06 6, shard_07 7, shard_08 8, shard_09 9,
    shard_10 10, shard_11 11, shard_12 12, shard_13 13, shard_14 14, shard_15 15
);

/// What the checks expect is what a run without any fault makes.
#[tokio::test(start_paused = true)]
async fn a_calm_run_makes_what_is_expected() {
    for seed in 0..20 {
        life::live(Scenario::draw(seed).calm()).await;
    }
}
