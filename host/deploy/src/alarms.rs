//! Alarms: old work, dead letters, missed ticks, failing plugins, functions that fail or come close to their time-out. What to
//! do about each is in `docs/src/aws.md`, by its name.
//!
//! Does not say where to send an alarm: that is a parameter.

use chrono::{DateTime, TimeDelta, Utc};
use pipeline::plan::{AtMost, Plan};
use pipeline::role::Role;
use pipeline::schedule::Schedule;
use serde_json::{Value, json};

use super::access::{STAGES, capital};
use super::logs::{self, FIRED, REFUSED, ROLLED_BACK, SUSPENDED};
use super::resources::Resources;
use super::services::{self, service_name};
use super::{Deployment, Mode, functions, keys, timeouts};

/// Work that is older than this waits for something: a quota, a secret, a plugin that is suspended.
const OLD_SECONDS: u32 = 3600;
const HOUR: u64 = 3600;
/// The period of alarms that need no other one.
const PERIOD: u64 = 300;
/// Refused records an hour above which there is an alarm, if the plan sets no bound.
const MANY: u64 = 1_000;

pub(super) fn resources(deployment: &Deployment<'_>) -> Resources {
    let mut alarms = of_queues(deployment);
    alarms.extend(of_plugins(deployment));
    alarms.extend(of_ticks(deployment));
    match deployment.layout.mode {
        Mode::Lambda => alarms.extend(of_functions(deployment)),
        Mode::Ecs => alarms.extend(of_services(deployment)),
    }
    let mut resources = topic();
    resources.extend(alarms.into_iter().map(|alarm| (format!("{}Alarm", alarm.id), alarm.resource(deployment))));
    resources
}

/// Records refused within an hour above which there is an alarm: as many as a tick may refuse.
pub(super) fn refused(plan: &Plan) -> u64 {
    match plan.quarantine.at_most {
        AtMost::Records(most) => most,
        AtMost::Share(share) => {
            let taken = u64::try_from(plan.source.top_n.get()).unwrap_or(u64::MAX);
            let most = taken.checked_mul(u64::from(share.get())).map(|hundredfold| hundredfold / 100);
            most.filter(|most| *most < u64::from(u32::MAX)).unwrap_or(MANY)
        }
    }
}

/// A topic with one address, for an operator that has none.
fn topic() -> Resources {
    let subscription = json!([{ "Protocol": "email", "Endpoint": { "Ref": "AlarmEmail" } }]);
    let topic = json!({
        "Type": "AWS::SNS::Topic", "Condition": "MakesTopic",
        "Properties": { "Subscription": subscription, "KmsMasterKeyId": keys::reference() },
    });
    vec![("Alarms".to_owned(), topic)]
}

fn of_queues(deployment: &Deployment<'_>) -> Vec<Alarm> {
    let queue = |name: &str| vec![("QueueName", format!("{}-{name}", deployment.site.name))];
    let dead = |stage: &str, text| Alarm {
        of: queue(&format!("{stage}-dead")),
        ..Alarm::above(format!("{}Dead", capital(stage)), ("AWS/SQS", "ApproximateNumberOfMessagesVisible"), 0, text)
    };
    let mut alarms = Vec::new();
    for stage in STAGES {
        let id = format!("{}Age", capital(stage.name()));
        let text = "work has waited for more than an hour: `sluicebox status` says why";
        let age = Alarm::above(id, ("AWS/SQS", "ApproximateAgeOfOldestMessage"), OLD_SECONDS, text);
        alarms.push(Alarm { of: queue(stage.name()), ..age });
        alarms.push(dead(stage.name(), "messages were given up: they lie in the queue of dead letters"));
    }
    if deployment.layout.mode == Mode::Lambda {
        alarms.push(dead("ingest", "a tick was given up: its event lies in the queue of dead letters"));
    }
    alarms
}

fn of_plugins(deployment: &Deployment<'_>) -> Vec<Alarm> {
    let namespace = logs::namespace(&deployment.site);
    let counted = |counted: &logs::Counted, above: Value, text| Alarm {
        namespace: namespace.clone(),
        statistic: "Sum",
        threshold: above,
        ..Alarm::above(counted.metric, ("", counted.metric), 0, text)
    };
    let refused =
        counted(&REFUSED, json!({ "Ref": "MostRefused" }), "many records were refused: `sluicebox quarantine ls`");
    vec![
        Alarm { period: HOUR, ..refused },
        counted(&SUSPENDED, json!(0), "a stage or table is suspended: `sluicebox status` says why"),
        counted(&ROLLED_BACK, json!(0), "a plugin was worse than the one before it and was taken back"),
    ]
}

/// None for a schedule whose ticks are further apart than an alarm can look back.
fn of_ticks(deployment: &Deployment<'_>) -> Option<Alarm> {
    let gap = longest_gap(deployment.plan.schedule.as_ref()?)?;
    let (period, periods) = look_back(gap)?;
    let site = &deployment.site;
    let (namespace, metric, of) = match deployment.layout.mode {
        Mode::Lambda => {
            ("AWS/Lambda".to_owned(), "Invocations", vec![("FunctionName", functions::name(deployment, Role::Ingest))])
        }
        Mode::Ecs => (logs::namespace(site), FIRED.metric, Vec::new()),
    };
    let text = "no tick for longer than the schedule's longest gap";
    let alarm = Alarm::above("Tick", ("", metric), 1, text);
    Some(Alarm { namespace, of, statistic: "Sum", period, periods, is_missing: true, ..alarm })
}

/// The longest time between two ticks, over enough ticks to show a year's pattern.
fn longest_gap(schedule: &Schedule) -> Option<u64> {
    const TICKS: usize = 2_000;
    let start = DateTime::<Utc>::from_timestamp(1_767_225_600, 0)?;
    let ticks: Vec<DateTime<Utc>> = schedule.between(start, start + TimeDelta::days(366)).take(TICKS).collect();
    let gaps = ticks.iter().zip(ticks.iter().skip(1)).map(|(one, next)| (*next - *one).num_seconds());
    gaps.max().and_then(|gap| u64::try_from(gap).ok())
}

/// Period and number of periods of an alarm that looks back over a gap and the longest time of a tick. CloudWatch looks back a day by periods
/// of minutes, and a week by hours.
fn look_back(gap: u64) -> Option<(u64, u64)> {
    let whole = gap + HOUR;
    match whole {
        ..=72_000 => Some((PERIOD, whole.div_ceil(PERIOD))),
        72_001..=601_200 => Some((HOUR, whole.div_ceil(HOUR) + 1)),
        _ => None,
    }
}

fn of_functions(deployment: &Deployment<'_>) -> Vec<Alarm> {
    let mut alarms = Vec::new();
    for role in Role::ALL {
        let id = capital(role.name());
        let of = vec![("FunctionName", functions::name(deployment, role))];
        let errors = Alarm::above(
            format!("{id}Error"),
            ("AWS/Lambda", "Errors"),
            0,
            "invocations failed as a whole: see the function's log",
        );
        let throttles = Alarm::above(
            format!("{id}Throttle"),
            ("AWS/Lambda", "Throttles"),
            0,
            "the account's functions are at their limit",
        );
        let slow = Alarm::above(
            format!("{id}Slow"),
            ("AWS/Lambda", "Duration"),
            0,
            "an invocation took nine tenths of its time: give it more, or smaller batches",
        );
        alarms.push(Alarm { of: of.clone(), statistic: "Sum", ..errors });
        alarms.push(Alarm { of: of.clone(), statistic: "Sum", ..throttles });
        alarms.push(Alarm { of, threshold: timeouts::close(role), ..slow });
    }
    alarms
}

/// Each task reports how busy it is once a minute, so the number of samples is the number of tasks.
fn of_services(deployment: &Deployment<'_>) -> Vec<Alarm> {
    let one = |unit: services::Unit| {
        let text = "no task of the service runs: its events and its log say why";
        let alarm = Alarm::above(format!("{}Tasks", capital(unit.name)), ("AWS/ECS", "CPUUtilization"), 1, text);
        let of = vec![("ClusterName", deployment.site.name.clone()), ("ServiceName", service_name(deployment, &unit))];
        Alarm { of, statistic: "SampleCount", periods: 2, is_missing: true, ..alarm }
    };
    services::units(deployment).map(one).collect()
}

/// An alarm, named after what it watches.
struct Alarm {
    id: String,
    namespace: String,
    metric: &'static str,
    /// Dimensions that name one.
    of: Vec<(&'static str, String)>,
    statistic: &'static str,
    period: u64,
    periods: u64,
    threshold: Value,
    /// Whether it watches for something missing: fewer than the threshold in all periods. No data counts as fewer.
    is_missing: bool,
    text: &'static str,
}

impl Alarm {
    fn above(
        id: impl Into<String>,
        (namespace, metric): (&str, &'static str),
        threshold: u32,
        text: &'static str,
    ) -> Self {
        Alarm {
            id: id.into(),
            namespace: namespace.to_owned(),
            metric,
            of: Vec::new(),
            statistic: "Maximum",
            period: PERIOD,
            periods: 1,
            threshold: json!(threshold),
            is_missing: false,
            text,
        }
    }

    fn resource(&self, deployment: &Deployment<'_>) -> Value {
        let of: Vec<Value> = self.of.iter().map(|(name, value)| json!({ "Name": name, "Value": value })).collect();
        let made = json!({ "Fn::If": ["MakesTopic", [{ "Ref": "Alarms" }], { "Ref": "AWS::NoValue" }] });
        let told = json!({ "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopic" }], made] });
        let (comparison, missing) = match self.is_missing {
            true => ("LessThanThreshold", "breaching"),
            false => ("GreaterThanThreshold", "notBreaching"),
        };
        let name = self.of.last().map_or(&deployment.site.name, |(_, name)| name);
        json!({ "Type": "AWS::CloudWatch::Alarm", "Properties": {
            "AlarmDescription": format!("{name}: {}", self.text),
            "Namespace": self.namespace,
            "MetricName": self.metric,
            "Dimensions": of,
            "Statistic": self.statistic,
            "Period": self.period,
            "EvaluationPeriods": self.periods,
            "Threshold": self.threshold,
            "ComparisonOperator": comparison,
            "TreatMissingData": missing,
            "AlarmActions": told,
        } })
    }
}

#[cfg(test)]
mod tests {
    use chrono_tz::Tz;
    use pipeline::schedule::Missed;

    use super::*;

    #[test]
    fn no_tick_is_told_after_the_longest_gap_of_the_schedule() {
        let told = |text: &str| {
            let schedule = Schedule::parse(text, Tz::UTC, Missed::Once).unwrap();
            look_back(longest_gap(&schedule).unwrap())
        };
        assert_eq!(told("* * * * *"), Some((300, 13)));
        assert_eq!(told("0 3 * * *"), Some((3600, 26)));
        // Over a weekend.
        assert_eq!(told("0 3 * * 1-5"), Some((3600, 74)));
        // An alarm looks back at most a week.
        assert_eq!((told("0 3 * * 1"), told("0 3 1 * *")), (None, None));
        for gap in [1, 60, 3_600, 71_000, 72_000, 80_000, 86_400, 500_000, 600_000] {
            let Some((period, periods)) = look_back(gap) else { continue };
            let most = if period < HOUR { 86_400 } else { 604_800 };
            assert!(period * periods > gap && period * periods <= most, "{gap}: {period} {periods}");
        }
    }
}
