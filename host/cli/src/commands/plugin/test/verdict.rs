//! How a golden case ended.
//!
//! Does not print it: `report` does.

use seams::plugin::Fault;
use serde::Serialize;

use crate::failure;
use crate::golden::difference::Difference;

/// A plugin and its cases.
#[derive(Debug, Serialize)]
pub(crate) struct Tested {
    /// The crate.
    pub(crate) plugin: String,
    /// Its cases; empty if it has none.
    pub(crate) cases: Vec<TestedCase>,
}

/// A case that was run.
#[derive(Debug, Serialize)]
pub(crate) struct TestedCase {
    /// Its name.
    pub(crate) case: String,
    /// Loading, running and comparing, in milliseconds.
    pub(crate) millis: u64,
    /// How it ended.
    #[serde(flatten)]
    pub(crate) verdict: Verdict,
}

/// How a case ended.
#[derive(Debug, PartialEq, Serialize)]
#[serde(tag = "result", rename_all = "snake_case")]
pub(crate) enum Verdict {
    /// The output is as expected.
    Passed,
    /// The output has become what is expected.
    Blessed,
    /// The output differs.
    Differs {
        /// Where.
        differences: Vec<Difference>,
    },
    /// The table depends on how the rows were spread over partial results.
    Unstable {
        /// The way that gave another table.
        way: &'static str,
        /// How that table differs from the one made in one pass.
        differences: Vec<Difference>,
    },
    /// There is no `expected.json`.
    Unwritten,
    /// There is no output: the case cannot be read, or the plugin refused or broke.
    Broken {
        /// Why, from the outside in.
        message: String,
        /// What to do.
        hint: Option<String>,
        /// The last lines that the plugin logged, and its call stack.
        details: Vec<String>,
    },
}

impl Verdict {
    /// Whether there is nothing to do.
    pub(crate) fn is_good(&self) -> bool {
        matches!(self, Verdict::Passed | Verdict::Blessed)
    }

    /// The verdict on a case without an output.
    pub(crate) fn of_error(error: &anyhow::Error) -> Verdict {
        let fault = error.chain().find_map(|cause| cause.downcast_ref::<Fault>());
        let details = fault.map(|fault| {
            let stack = fault.backtrace.iter().flat_map(|text| text.lines()).map(str::to_owned);
            fault.log.iter().cloned().chain(stack).collect()
        });
        let message = match fault {
            Some(fault) => format!("{} {error:#}", fault.code),
            None => format!("{error:#}"),
        };
        Verdict::Broken {
            message,
            hint: failure::hint_of(error).map(str::to_owned),
            details: details.unwrap_or_default(),
        }
    }
}
