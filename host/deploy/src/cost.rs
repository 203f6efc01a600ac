//! The cost of a month in AWS, at list prices: an estimate for choosing `batch_size` and the mode, and no bill.
//!
//! Does not know transfer, storage, free tiers or discounts, nor what a plugin's service costs.

use chrono::{DateTime, TimeDelta, Utc};
use pipeline::plan::{Plan, SecretRef, TOP_N_ALL};
use pipeline::role::Role;
use serde::Serialize;

use super::access::STAGES;
use super::{Mode, functions};

/// List prices in dollars.
struct Prices {
    /// Their region, and when they were read.
    as_of: &'static str,
    put: f64,
    get: f64,
    invocation: f64,
    gb_second: f64,
    queue_request: f64,
    metric: f64,
    alarm: f64,
    log_gb: f64,
    secret: f64,
    cpu_hour: f64,
    memory_hour: f64,
}

/// The prices of every estimate.
const PRICES: Prices = Prices {
    as_of: "us-east-1, November 2026",
    // Also LIST.
    put: 0.005 / 1e3,
    get: 0.0004 / 1e3,
    invocation: 0.20 / 1e6,
    gb_second: 0.000_016_666_7,
    queue_request: 0.40 / 1e6,
    metric: 0.30,
    alarm: 0.10,
    log_gb: 0.50,
    secret: 0.40,
    // Fargate.
    cpu_hour: 0.040_48,
    memory_hour: 0.004_445,
};

/// Requests to S3 for one record from the source to Gold.
struct Requests {
    /// PUT and LIST.
    put: f64,
    /// GET and HEAD.
    get: f64,
}

/// As `cargo xtask requests` counts them, with full batches of each stage's function, by the number of records in a message.
const AT_ONE: Requests = Requests { put: 2.5, get: 4.1 };
const AT_HUNDRED: Requests = Requests { put: 0.06, get: 0.1 };

/// Requests to SQS for one message: sent, received and deleted before each stage, several at once.
const QUEUE_REQUESTS: f64 = 4.0;
/// Long polls of an idle stage in a month: Lambda keeps five pollers, a host one.
const IDLE_POLLS: f64 = 30.0 * 86_400.0 / 20.0;
const POLLERS: f64 = 5.0;
/// Looks at the dead letters of a stage by a host, in a month.
const LOOKS: f64 = 30.0 * 1_440.0;
/// Messages of an invocation.
const PER_INVOCATION: f64 = 10.0;
/// Seconds that a service takes to answer, and that a record takes in the stages after it.
const ANSWER: f64 = 0.1;
const BEHIND: f64 = 0.002;
/// Metrics of a role that are not always zero.
const METRICS: f64 = 5.0;
/// Gigabytes of log that an invocation writes.
const LOG: f64 = 2e-6;
/// Processors and gigabytes of a service on Fargate, and hours of a month.
const TASK: (f64, f64) = (0.5, 1.0);
const HOURS: f64 = 730.0;
/// Records where neither schedule nor `top_n` says how many there are.
const UNKNOWN: f64 = 1e6;
/// The most ticks that are counted: one a minute.
const MOST_TICKS: usize = 31 * 1_440;

/// The cost of a service.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Share {
    /// The service.
    pub service: &'static str,
    /// Dollars.
    pub dollars: f64,
}

/// The cost of a month.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Month {
    /// Records that are taken from the source.
    pub records: f64,
    /// By service, none of them zero.
    pub services: Vec<Share>,
    /// Dollars.
    pub total: f64,
    /// Region and date of the prices.
    pub prices: &'static str,
}

/// How many records the schedule's ticks take in 30 days; a million where the file does not say.
#[must_use]
pub fn records_of(plan: &Plan) -> f64 {
    let begin = DateTime::<Utc>::UNIX_EPOCH + TimeDelta::days(365 * 50);
    let end = begin + TimeDelta::days(30);
    let Some(schedule) = plan.schedule.as_ref().filter(|_| plan.source.top_n != TOP_N_ALL) else { return UNKNOWN };
    let ticks = std::iter::successors(schedule.next_after(begin), |tick| schedule.next_after(*tick));
    let ticks = ticks.take_while(|tick| *tick < end).take(MOST_TICKS).count();
    ticks as f64 * plan.source.top_n.get() as f64
}

/// The cost of a month with `records` records, messages of `batch_size` and `alarms` alarms.
pub(super) fn month(plan: &Plan, mode: Mode, alarms: usize, records: f64, batch_size: usize) -> Month {
    let messages = records / batch_size.max(1) as f64;
    let requests = requests(batch_size);
    let s3 = records * (requests.put * PRICES.put + requests.get * PRICES.get);
    let stages = STAGES.len() as f64;
    let idle = match mode {
        Mode::Lambda => stages * POLLERS * IDLE_POLLS,
        Mode::Ecs => stages * (IDLE_POLLS + LOOKS),
    };
    let sqs = (messages * QUEUE_REQUESTS + idle) * PRICES.queue_request;
    let (compute, log) = match mode {
        Mode::Lambda => lambda(plan, records, messages),
        Mode::Ecs => {
            let (processors, memory) = TASK;
            let task = HOURS * (processors * PRICES.cpu_hour + memory * PRICES.memory_hour);
            (("Fargate", task * Role::ALL.len() as f64), messages * LOG)
        }
    };
    // Fargate's metrics are not custom ones.
    let metrics = if mode == Mode::Lambda { METRICS * Role::ALL.len() as f64 } else { 0.0 };
    let cloud_watch = metrics * PRICES.metric + alarms as f64 * PRICES.alarm + log * PRICES.log_gb;
    let held = plan.secrets.values().filter(|secret| matches!(secret, SecretRef::AwsSecretsManager { .. })).count();
    let secrets = held as f64 * PRICES.secret;
    let all = [("S3", s3), compute, ("SQS", sqs), ("CloudWatch", cloud_watch), ("Secrets Manager", secrets)];
    let all = all.into_iter().filter(|(_, dollars)| *dollars > 0.0);
    let services: Vec<Share> = all.map(|(service, dollars)| Share { service, dollars }).collect();
    let total = services.iter().map(|share| share.dollars).sum();
    Month { records, services, total, prices: PRICES.as_of }
}

/// A part for each record and a part for each message, which together give the counted figures.
fn requests(batch_size: usize) -> Requests {
    let at = |one: f64, hundred: f64| {
        let message = (one - hundred) / (1.0 - 1.0 / 100.0);
        (one - message) + message / batch_size.max(1) as f64
    };
    Requests { put: at(AT_ONE.put, AT_HUNDRED.put), get: at(AT_ONE.get, AT_HUNDRED.get) }
}

/// Functions, and the gigabytes of their logs.
fn lambda(plan: &Plan, records: f64, messages: f64) -> ((&'static str, f64), f64) {
    let gigabytes = |role| functions::memory(plan, role) as f64 / 1_024.0;
    let seconds = |role| match (role, &plan.enrich) {
        (Role::Ingest, _) => records * BEHIND / 10.0,
        (Role::Enrich, Some(stage)) => {
            let slowest = plan.endpoints.values().filter_map(|endpoint| endpoint.rate).map(|rate| rate.interval);
            let paced = slowest.max().unwrap_or_default().as_secs_f64();
            records * paced.max(ANSWER / stage.concurrency.get() as f64)
        }
        _ => records * BEHIND,
    };
    let invocations = messages / PER_INVOCATION * STAGES.len() as f64;
    let compute: f64 = Role::ALL.into_iter().map(|role| seconds(role) * gigabytes(role) * PRICES.gb_second).sum();
    (("Lambda", compute + invocations * PRICES.invocation), invocations * LOG)
}

#[cfg(test)]
mod tests {
    use pipeline::{Overrides, check};

    use super::*;

    fn plan(more: &str) -> Plan {
        let text = format!(
            "[pipeline]\nname = \"orders\"\n[source]\nuri = \"s3://acme-in/orders.csv\"\nkey = [\"id\"]\ntop_n = 500\n[clean]\nplugin = \"c\"\n{more}"
        );
        check("p.toml", &text, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn of(month: &Month, service: &str) -> f64 {
        month.services.iter().find(|share| share.service == service).map_or(0.0, |share| share.dollars)
    }

    #[test]
    fn the_counted_requests_are_what_s3_is_paid_for() {
        let plan = plan("");
        let million_a_day = 30e6;
        let at = |batch_size| month(&plan, Mode::Lambda, 14, million_a_day, batch_size);
        let (one, hundred) = (at(1), at(100));
        let paid = |requests: &Requests| million_a_day * (requests.put * 5e-6 + requests.get * 4e-7);
        assert!((of(&one, "S3") - paid(&AT_ONE)).abs() < 0.01, "{one:?}");
        assert!((of(&hundred, "S3") - paid(&AT_HUNDRED)).abs() < 0.01, "{hundred:?}");
        assert!(one.total > of(&one, "S3") && one.total > hundred.total);
    }

    #[test]
    fn the_schedule_says_how_many_records_a_month_has() {
        let daily = "[schedule]\ncron = \"0 3 * * *\"\n";
        assert_eq!(records_of(&plan(daily)), 15_000.0);
        assert_eq!(records_of(&plan("")), UNKNOWN);
    }

    #[test]
    fn an_idle_month_is_not_free_and_a_host_polls_less_than_lambda() {
        let plan = plan("");
        let (functions, hosts) = (month(&plan, Mode::Lambda, 14, 0.0, 1), month(&plan, Mode::Ecs, 6, 0.0, 1));
        assert!(of(&functions, "SQS") > of(&hosts, "SQS") && of(&hosts, "SQS") < 0.30, "{functions:?} {hosts:?}");
        assert_eq!((of(&functions, "S3"), of(&functions, "Lambda")), (0.0, 0.0));
    }
}
