//! How long functions may run, and for how long what their queues hand out stays invisible: the one follows from the other, and a template cannot
//! calculate.
//!
//! Does not say how long a role needs: `functions` does.

use pipeline::plan::Plan;
use pipeline::role::Role;
use serde_json::{Map, Value, json};

use super::access::{STAGES, capital};
use super::{Mode, functions};

/// What a parameter may choose from, in seconds.
pub(super) const TIMEOUTS: [u64; 6] = [60, 120, 180, 300, 600, 900];
/// Milliseconds of each second of its time after which a function is close to its end.
const CLOSE_TO_END: u64 = 900;
/// What the table of the template is called.
pub(super) const TABLE: &str = "Timeouts";

/// For how long what is handed out stays invisible, in seconds. AWS wants six times as long as a function may take: a batch that is throttled
/// comes again within that.
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

/// What follows from how long a function may run, for every choice: for how long its queue's messages stay invisible, never less than with what
/// the plan asks for, and the milliseconds after which it is close to its end.
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

/// For how long what a stage's queue hands out stays invisible, by the parameter.
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
