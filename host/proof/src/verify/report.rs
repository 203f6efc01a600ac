//! What is promised about a lake, and what a verification found.
//!
//! Does not look at a lake.

use std::collections::BTreeMap;

use serde::Serialize;

/// Findings of one kind that are listed; the rest are only counted.
const MOST_TOLD: usize = 20;

/// The promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
pub enum Invariant {
    /// Conservation.
    V1,
    /// Uniqueness.
    V2,
    /// Purity.
    V3,
    /// Derivation.
    V4,
    /// Monotony.
    V5,
    /// Closure.
    V6,
    /// Secrecy.
    V7,
    /// Egress.
    V8,
    /// Drain.
    V9,
    /// Coverage.
    V10,
}

impl Invariant {
    /// All of them.
    pub const ALL: [Invariant; 10] = [
        Invariant::V1,
        Invariant::V2,
        Invariant::V3,
        Invariant::V4,
        Invariant::V5,
        Invariant::V6,
        Invariant::V7,
        Invariant::V8,
        Invariant::V9,
        Invariant::V10,
    ];

    /// The promise in a few words.
    #[must_use]
    pub fn promise(self) -> &'static str {
        match self {
            Invariant::V1 => "every record version is in exactly one place",
            Invariant::V2 => "no key stands twice, no message has two objects",
            Invariant::V3 => "the recorded plugins make the same again",
            Invariant::V4 => "silver and gold are what bronze comes to",
            Invariant::V5 => "versions never go back",
            Invariant::V6 => "every file that is named is there and whole",
            Invariant::V7 => "no secret is in the lake",
            Invariant::V8 => "only declared endpoints were asked",
            Invariant::V9 => "nothing is under way, and every refusal can be replayed",
            Invariant::V10 => "what the lake has decided is covered by pins and signatures",
        }
    }
}

/// One thing that does not hold.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Finding {
    /// Which promise.
    pub invariant: Invariant,
    /// The place: a key, an object and line, a table.
    pub at: String,
    /// What is there against what was expected.
    pub message: String,
}

/// What a verification found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// The pipeline.
    pub pipeline: String,
    /// For each promise, how many things were checked.
    pub checked: BTreeMap<Invariant, usize>,
    /// For each promise that does not hold, how often.
    pub broken: BTreeMap<Invariant, usize>,
    /// What does not hold: for each promise the first few by place, the smallest witness first.
    pub findings: Vec<Finding>,
    /// The number of record versions by state.
    pub states: BTreeMap<&'static str, usize>,
    /// Notes: they break no promise but are worth knowing.
    pub notes: Vec<String>,
    /// The last entry of the chain, as `NUMBER-DIGEST`: kept elsewhere, it exposes a chain that was forged whole.
    pub chain: Option<String>,
}

impl Report {
    /// Whether everything holds.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.findings.is_empty()
    }

    /// Adds the number of things that a caller checked against a promise: the pipeline file knows things that the lake does not.
    pub fn looked_at(&mut self, invariant: Invariant, count: usize) {
        self.checked(invariant, count);
    }

    /// Adds one more thing that does not hold, found by a caller.
    pub fn also(&mut self, invariant: Invariant, at: impl ToString, message: impl ToString) {
        self.find(invariant, at, message);
        *self.broken.entry(invariant).or_default() += 1;
        self.findings.sort();
    }

    pub(super) fn checked(&mut self, invariant: Invariant, count: usize) {
        *self.checked.entry(invariant).or_default() += count;
    }

    pub(super) fn find(&mut self, invariant: Invariant, at: impl ToString, message: impl ToString) {
        self.findings.push(Finding { invariant, at: at.to_string(), message: message.to_string() });
    }

    pub(super) fn finish(mut self) -> Self {
        self.findings.sort();
        self.findings.dedup();
        for finding in &self.findings {
            *self.broken.entry(finding.invariant).or_default() += 1;
        }
        let mut told: BTreeMap<Invariant, usize> = BTreeMap::new();
        self.findings.retain(|finding| {
            let told = told.entry(finding.invariant).or_default();
            *told += 1;
            *told <= MOST_TOLD
        });
        self
    }
}
