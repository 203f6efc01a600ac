//! How long functions may run, and how long messages of their queues stay invisible: the second follows from the first, and a template cannot
//! calculate.
//!
//! Does not say how long a role needs: `functions` does.

use pipeline::plan::Plan;
use pipeline::role::Role;
use serde_json::{Map, Value, json};

use super::access::{STAGES, capital};
use super::{Mode, functions};

/// The values that a parameter may have, in seconds.
pub(super) const TIMEOUTS: [u64; 6] = [60, 120, 180, 300, 600, 900];
/// Milliseconds, for each second of its time, after which a function is close to its end.
const CLOSE_TO_END: u64 = 900;
/// The name of the mapping in the template.
pub(super) const TABLE: &str = "Timeouts";

/// How long a message stays invisible, in seconds. AWS wants six times as long as a function may take: a throttled batch comes again
/// within that time.
pub(super) fn visibility(plan: &Plan, mode: Mode, stage: Role) -> u64 {
    match mode {
        Mode::Lambda => visibility_for(plan, stage, functions::timeout(plan, stage)),
        Mode::Ecs => least(plan),
    }
}

fn visibility_for(plan: &Plan, stage: Role, timeout: u64) -> u64 {
    (6 * timeout + functions::batch(stage).1).max(least(plan))
}

fn least(plan: &Plan) -> u64 {
    plan.queue.visibility_timeout.as_secs().max(60)
}

/// The values that follow from how long a function may run, for every choice: how long its queue's messages stay invisible, never less than the
/// plan asks for, and the milliseconds after which it is close to its end.
pub(super) fn table(plan: &Plan) -> Value {
    let one = |timeout: u64| {
        let mut follows = Map::new();
        for stage in STAGES {
            let needed = visibility_for(plan, stage, timeout).max(visibility(plan, Mode::Lambda, stage));
            follows.insert(capital(stage.name()), json!(needed));
        }
        follows.insert("Close".to_owned(), json!(timeout * CLOSE_TO_END));
        (timeout.to_string(), Value::Object(follows))
    };
    Value::Object(TIMEOUTS.into_iter().map(one).collect())
}

/// How long a message of a stage's queue stays invisible, by the parameter.
pub(super) fn invisible(stage: Role) -> Value {
    look_up(stage, &capital(stage.name()))
}

/// After how many milliseconds a role's function is close to its end, by the parameter.
pub(super) fn close(role: Role) -> Value {
    look_up(role, "Close")
}

fn look_up(role: Role, what: &str) -> Value {
    json!({ "Fn::FindInMap": [TABLE, { "Ref": format!("{}Timeout", capital(role.name())) }, what] })
}
