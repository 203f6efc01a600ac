//! Why a plan that can be deployed does not go well as functions of Lambda: too little time, and calls without a bound.
//!
//! Does not object to a plan that only costs more than it must.

use std::time::Duration;

use pipeline::plan::{Plan, Rate};
use pipeline::role::Role;
use pipeline::{Objection, code};

use super::functions;

/// The part of a function's time in which it begins nothing more, and the upper bound of that part.
const LAST_PART: u32 = 5;
const MOST_MARGIN: Duration = Duration::from_secs(15);

/// A message that cannot be finished within a function's time at the rate of its service: it would come again until it is a dead letter.
pub(super) fn too_slow(plan: &Plan) -> Option<Objection> {
    let (rate, time) = (best_rate(plan)?, time(plan));
    let most = fits(rate, time);
    let size = plan.source.batch_size.get();
    (size > most).then(|| Objection {
        about: "source.batch_size".to_owned(),
        code: code::NOT_DEPLOYABLE,
        message: format!(
            "a message of {size} records takes {} s at the endpoint's `rate`, a function has {} s for it",
            taken(rate, size).as_secs(),
            time.as_secs()
        ),
        expected: Some(format!("at most {most} records")),
        hint: Some("lower `batch_size` under `[source]`, or raise the endpoint's `rate`".to_owned()),
    })
}

/// What is worth a look before such a plan is deployed.
#[must_use]
pub fn advice(plan: &Plan) -> Vec<Objection> {
    let unbounded = plan.endpoints.iter().filter(|(_, endpoint)| endpoint.rate.is_none() && plan.enrich.is_some());
    let mut advice: Vec<Objection> = unbounded
        .map(|(name, _)| Objection {
            about: format!("endpoints.{name}"),
            code: code::NO_RATE,
            message: format!("endpoint `{name}` has no `rate`: as many functions call it at once as AWS starts"),
            expected: None,
            hint: Some(
                "set `rate` to what the service allows; the functions of the stage are two at most then".to_owned(),
            ),
        })
        .collect();
    advice.extend(crowded(plan));
    advice
}

/// Messages of one invocation that cannot all be finished within it: the others come again, and each time costs a receive.
fn crowded(plan: &Plan) -> Option<Objection> {
    let (rate, time) = (best_rate(plan)?, time(plan));
    let size = plan.source.batch_size.get();
    let together = usize::try_from(functions::batch(Role::Enrich).0).unwrap_or(usize::MAX);
    let most = fits(rate, time);
    (size <= most && size.saturating_mul(together) > most).then(|| Objection {
        about: "source.batch_size".to_owned(),
        code: code::SLOW_BATCH,
        message: format!(
            "an invocation is handed up to {together} messages of {size} records, and at the endpoint's `rate` {most} records end within its time: \
             the others come again, which costs each message a receive of at most {}",
            plan.queue.max_receives
        ),
        expected: None,
        hint: Some(format!("`batch_size = {}` or less lets all of them end", (most / together).max(1))),
    })
}

/// The rate of the fastest endpoint, since a record may call it alone; none if an endpoint has no rate.
fn best_rate(plan: &Plan) -> Option<Rate> {
    plan.enrich.as_ref()?;
    let rates: Option<Vec<Rate>> = plan.endpoints.values().map(|endpoint| endpoint.rate).collect();
    rates?.into_iter().min_by_key(|rate| rate.interval)
}

/// The time that a function has for its messages.
fn time(plan: &Plan) -> Duration {
    let whole = Duration::from_secs(functions::timeout(plan, Role::Enrich));
    whole - (whole / LAST_PART).min(MOST_MARGIN)
}

/// How long so many requests take.
fn taken(rate: Rate, requests: usize) -> Duration {
    let waited = requests.saturating_sub(usize::try_from(rate.burst.get()).unwrap_or(usize::MAX));
    rate.interval.saturating_mul(u32::try_from(waited).unwrap_or(u32::MAX))
}

/// How many requests fit into a time.
fn fits(rate: Rate, time: Duration) -> usize {
    let paced = time.as_nanos().checked_div(rate.interval.as_nanos()).unwrap_or(u128::MAX);
    usize::try_from(paced).unwrap_or(usize::MAX).saturating_add(usize::try_from(rate.burst.get()).unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests {
    use pipeline::{Overrides, check};

    use super::*;

    fn plan(batch_size: usize, rate: &str) -> Plan {
        let text = format!(
            "[pipeline]\nname = \"orders\"\n[source]\nuri = \"s3://acme-in/orders.csv\"\nkey = [\"id\"]\nbatch_size = {batch_size}\n\
             [enrich]\nplugin = \"e\"\n[endpoints.shop]\nurl = \"https://shop.example\"\n{rate}[clean]\nplugin = \"c\"\n"
        );
        check("p.toml", &text, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn codes(plan: &Plan) -> Vec<&'static str> {
        advice(plan).into_iter().map(|one| one.code).collect()
    }

    #[test]
    fn a_message_that_no_function_can_end_is_refused_with_what_would_fit() {
        let told = too_slow(&plan(1_000, "rate = \"1/s\"\n")).unwrap();
        assert!(
            told.message.contains("1000 records") && told.expected.as_deref() == Some("at most 286 records"),
            "{told:?}"
        );
        assert_eq!(too_slow(&plan(286, "rate = \"1/s\"\n")), None);
        assert_eq!(too_slow(&plan(10_000, "")), None);
    }

    #[test]
    fn messages_that_crowd_an_invocation_and_calls_that_nothing_bounds_are_told() {
        assert_eq!(codes(&plan(100, "rate = \"1/s\"\n")), [code::SLOW_BATCH]);
        assert_eq!(codes(&plan(20, "rate = \"1/s\"\n")), [""; 0]);
        assert_eq!(codes(&plan(20, "")), [code::NO_RATE]);
    }
}
