//! What happens in one seed's life, drawn before it begins.
//!
//! Does not run anything.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use testkit::Chances;

/// What the service and the cleaner make of an order, in every version of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A row.
    Good,
    /// The service does not know it.
    Unknown,
    /// The service answers with something that the enricher refuses.
    Html,
    /// The cleaner refuses it.
    Rejected,
    /// The cleaner breaks on it.
    Traps,
    /// The cleaner skips it.
    Skipped,
}

/// The source at one tick.
#[derive(Clone, Debug)]
pub(crate) struct TickPlan {
    /// The tick's text.
    pub(crate) tick: String,
    /// `n` of every order that the source has.
    pub(crate) orders: BTreeMap<u32, i64>,
    /// How long hosts are at it before the next tick fires, in simulated time.
    pub(crate) lasts: Duration,
}

impl TickPlan {
    /// The source's text.
    pub(crate) fn source(&self) -> String {
        let mut text = "id,group,n\n".to_owned();
        for (id, n) in &self.orders {
            text.push_str(&format!("o{id},g{},{n}\n", id % 3));
        }
        text
    }
}

/// One seed's life.
#[derive(Clone, Debug)]
pub(crate) struct Scenario {
    pub(crate) seed: u64,
    pub(crate) natures: BTreeMap<u32, Nature>,
    pub(crate) ticks: Vec<TickPlan>,
    pub(crate) batch_size: usize,
    pub(crate) buckets: u32,
    pub(crate) workers: usize,
    pub(crate) hosts: usize,
    pub(crate) visibility: Duration,
    pub(crate) store: Chances,
    pub(crate) queue: Chances,
    pub(crate) http: Chances,
    pub(crate) secrets: Chances,
    /// Chance of a plugin call that is too slow.
    pub(crate) hiccups: f64,
    /// Longest random delay of a call to a store or queue.
    pub(crate) slow: Duration,
    /// Hosts die over a call of their store up to this number of calls after their start, if at all.
    pub(crate) dies_within: Option<u64>,
    /// Whether clocks jump, and how far.
    pub(crate) jumps: Option<chrono::TimeDelta>,
}

impl Scenario {
    /// The life of that seed.
    pub(crate) fn draw(seed: u64) -> Self {
        let mut dice = StdRng::seed_from_u64(seed);
        let dice = &mut dice;
        let count = dice.random_range(2..=16_u32);
        let natures = (0..count).map(|id| (id, nature(dice))).collect();
        let mut scenario = Scenario {
            seed,
            natures,
            ticks: Vec::new(),
            batch_size: dice.random_range(1..=5),
            buckets: dice.random_range(1..=4),
            workers: dice.random_range(1..=4),
            hosts: *[1, 1, 2, 3].choose(dice).unwrap(),
            visibility: Duration::from_secs(dice.random_range(3..=9)),
            store: chances(dice, 0.06),
            queue: chances(dice, 0.08),
            http: chances(dice, 0.1),
            secrets: chances(dice, 0.02),
            hiccups: *[0.0, 0.0, 0.2].choose(dice).unwrap(),
            slow: Duration::from_millis(*[0, 10, 400].choose(dice).unwrap()),
            dies_within: *[None, Some(40), Some(150)].choose(dice).unwrap(),
            jumps: dice.random_bool(0.08).then(|| chrono::TimeDelta::hours(1)),
        };
        let mut orders: BTreeMap<u32, i64> = (0..count).map(|id| (id, i64::from(id))).collect();
        for day in 1..=*[1, 1, 2, 3].choose(dice).unwrap() {
            let lasts = Duration::from_secs(dice.random_range(3..=12));
            scenario.ticks.push(TickPlan { tick: format!("202601{day:02}T030000Z"), orders: orders.clone(), lasts });
            correct(&mut orders, count, dice);
        }
        scenario
    }

    /// The same without anything that goes wrong.
    pub(crate) fn calm(self) -> Self {
        let none = Chances::default();
        Scenario {
            store: none,
            queue: none,
            http: none,
            secrets: none,
            hiccups: 0.0,
            dies_within: None,
            jumps: None,
            hosts: 1,
            ..self
        }
    }

    /// What Gold has to be: of each good order the `n` of its last version, summed by group.
    pub(crate) fn sums(&self) -> BTreeMap<String, i64> {
        let mut sums = BTreeMap::new();
        for (id, (_, n)) in self.last_versions() {
            *sums.entry(format!("g{}", id % 3)).or_default() += n;
        }
        sums
    }

    /// Of each good order the last tick that brought it, and its `n` then. A source that shrinks deletes nothing.
    pub(crate) fn last_versions(&self) -> BTreeMap<u32, (&str, i64)> {
        let mut last = BTreeMap::new();
        for plan in &self.ticks {
            let good = plan.orders.iter().filter(|(id, _)| self.natures[id] == Nature::Good);
            last.extend(good.map(|(id, n)| (*id, (plan.tick.as_str(), *n))));
        }
        last
    }

    /// The record versions that are refused, as key and tick.
    pub(crate) fn refused(&self) -> BTreeSet<(String, String)> {
        let is_bad = |id: &u32| matches!(self.natures[id], Nature::Html | Nature::Rejected | Nature::Traps);
        let of = |plan: &TickPlan| -> Vec<(String, String)> {
            plan.orders.keys().filter(|id| is_bad(id)).map(|id| (format!("o{id}"), plan.tick.clone())).collect()
        };
        self.ticks.iter().flat_map(of).collect()
    }
}

fn nature(dice: &mut StdRng) -> Nature {
    match dice.random_range(0..20) {
        0 => Nature::Unknown,
        1 => Nature::Html,
        2 => Nature::Rejected,
        3 => Nature::Traps,
        4 => Nature::Skipped,
        _ => Nature::Good,
    }
}

fn chances(dice: &mut StdRng, most: f64) -> Chances {
    let mut one = || if dice.random_range(0..4) == 0 { 0.0 } else { dice.random_range(0.0..most) };
    Chances { before: one(), after: one(), odd: one() }
}

/// Some orders get another `n`, one may vanish.
fn correct(orders: &mut BTreeMap<u32, i64>, count: u32, dice: &mut StdRng) {
    for _ in 0..dice.random_range(0..=3) {
        let id = dice.random_range(0..count);
        orders.insert(id, dice.random_range(100..1000));
    }
    if orders.len() > 1 && dice.random_range(0..3) == 0 {
        orders.remove(&dice.random_range(0..count));
    }
}
