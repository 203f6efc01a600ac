//! What one invocation has done, as metrics of CloudWatch: a line of the Embedded Metric Format on stdout, from which CloudWatch Logs makes
//! metrics. So there is nothing to call and nothing to allow.
//!
//! Does not count. Holds the names of pipeline, role and request, and numbers: no key, no record, no secret.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use engine::progress::{Outcome, Progress};
use pipeline::role::Role;
use serde_json::{Map, Value, json};

const NAMESPACE: &str = "Sluicebox";

/// The counters at the start of an invocation.
pub(super) struct Begun {
    at: Instant,
    cold: bool,
    counted: BTreeMap<String, u64>,
}

impl Begun {
    /// An invocation that begins now, the first of its process if `cold`.
    pub(super) fn now(progress: Arc<Progress>, cold: bool) -> Self {
        Begun { at: Instant::now(), cold, counted: counted(&progress) }
    }

    /// What it has done until now. Besides the duration only what is not zero: CloudWatch charges for each metric that it receives in an hour,
    /// and a role does few of the things that can be counted.
    pub(super) fn metrics(self, (pipeline, role): (&str, &str), request: &str, progress: Arc<Progress>) -> Value {
        let before = |name: &String| self.counted.get(name).copied().unwrap_or_default();
        let duration = json!(self.at.elapsed().as_secs_f64() * 1000.0);
        // Another pipeline file starts its counters from zero.
        let done = counted(&progress).into_iter().map(|(name, value)| (value.saturating_sub(before(&name)), name));
        let counts = std::iter::once((u64::from(self.cold), "ColdStart".to_owned())).chain(done);
        let mut metrics = vec![("Duration".to_owned(), "Milliseconds", duration)];
        metrics.extend(counts.filter(|(count, _)| *count > 0).map(|(count, name)| (name, "Count", json!(count))));
        let declared: Vec<Value> =
            metrics.iter().map(|(name, unit, _)| json!({ "Name": name, "Unit": unit })).collect();
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_millis();
        let directive = json!({
            "Namespace": NAMESPACE,
            "Dimensions": [["Pipeline", "Role"]],
            "Metrics": declared,
        });
        let mut line = Map::new();
        line.insert(
            "_aws".to_owned(),
            json!({ "Timestamp": u64::try_from(timestamp).unwrap_or(u64::MAX), "CloudWatchMetrics": [directive] }),
        );
        line.extend(
            [("Pipeline", pipeline), ("Role", role), ("request", request)].map(|(k, v)| (k.to_owned(), v.into())),
        );
        line.extend(metrics.into_iter().map(|(name, _, value)| (name, value)));
        Value::Object(line)
    }
}

/// All counters by the metrics' names.
fn counted(progress: &Progress) -> BTreeMap<String, u64> {
    let counters = Progress::COUNTERS.map(|(name, _, value)| (camel(name), Progress::get(value(progress))));
    let deliveries = Outcome::ALL.map(|outcome| {
        let count = Role::ALL.iter().map(|role| progress.deliveries(role.name(), outcome)).sum();
        (camel(&format!("deliveries_{}", outcome.name())), count)
    });
    counters.into_iter().chain(deliveries).collect()
}

/// `records_taken` as `RecordsTaken`, which is how names are written in CloudWatch.
fn camel(name: &str) -> String {
    let word = |word: &str| {
        let mut letters = word.chars();
        letters.next().map(|first| first.to_ascii_uppercase()).into_iter().chain(letters).collect::<String>()
    };
    name.split('_').map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What the specification asks for: <https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html>.
    #[test]
    fn a_line_is_as_the_specification_has_it_and_counts_what_was_done_since_it_began() {
        let progress = Arc::new(Progress::default());
        Progress::add(&progress.requests, 5);
        let begun = Begun::now(Arc::clone(&progress), true);
        Progress::add(&progress.requests, 3);
        progress.delivered("enrich", Outcome::GivenUp);
        let line = begun.metrics(("orders", "enrich"), "r-1", progress);
        let directive = &line["_aws"]["CloudWatchMetrics"][0];
        assert_eq!(
            (&directive["Namespace"], &directive["Dimensions"]),
            (&json!(NAMESPACE), &json!([["Pipeline", "Role"]]))
        );
        assert!(line["_aws"]["Timestamp"].as_u64().is_some_and(|millis| millis > 1_700_000_000_000));
        let declared = directive["Metrics"].as_array().unwrap();
        assert!(declared.len() <= 100 && declared.iter().all(|one| line[one["Name"].as_str().unwrap()].is_number()));
        let names: Vec<&Value> = declared.iter().map(|one| &one["Name"]).collect();
        let others = line.as_object().unwrap().keys().filter(|name| !names.iter().any(|declared| *declared == *name));
        assert_eq!(others.collect::<Vec<_>>(), ["_aws", "Pipeline", "Role", "request"]);
        let names = ["HttpRequests", "DeliveriesGivenUp", "ColdStart"];
        assert_eq!(names.map(|name| line[name].as_u64().unwrap()), [3, 1, 1]);
        // A count of zero costs nothing.
        assert_eq!(declared.len(), names.len() + 1, "{declared:?}");
        assert_eq!((&line["Pipeline"], &line["Role"]), (&json!("orders"), &json!("enrich")));
    }
}
