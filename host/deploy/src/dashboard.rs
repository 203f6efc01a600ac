//! A dashboard of CloudWatch: waiting work, dead letters, durations, refused records.
//!
//! Does not show records or their cost.

use pipeline::role::Role;
use serde_json::{Value, json};

use super::access::STAGES;
use super::logs::{self, REFUSED, ROLLED_BACK, SUSPENDED};
use super::services::{self, service_name};
use super::{Deployment, Mode, functions};

/// Columns of CloudWatch's grid, and the width of a graph in it.
const WIDE: usize = 24;
const WIDTH: usize = 8;
const HEIGHT: usize = 6;

pub(super) fn resource(deployment: &Deployment<'_>) -> Value {
    let mut graphs = of_queues(deployment);
    graphs.extend(match deployment.layout.mode {
        Mode::Lambda => of_functions(deployment),
        Mode::Ecs => of_services(deployment),
    });
    let namespace = logs::namespace(&deployment.site);
    let plugins = [&REFUSED, &SUSPENDED, &ROLLED_BACK].map(|one| json!([namespace, one.metric]));
    graphs.push(("Plugins", "Sum", plugins.to_vec()));
    let widgets: Vec<Value> = graphs.into_iter().enumerate().map(|graph| widget(deployment, graph)).collect();
    json!({ "Type": "AWS::CloudWatch::Dashboard", "Properties": {
        "DashboardName": deployment.site.name,
        "DashboardBody": json!({ "widgets": widgets }).to_string(),
    } })
}

/// A title, a statistic and metrics.
type Graph = (&'static str, &'static str, Vec<Value>);

fn of_queues(deployment: &Deployment<'_>) -> Vec<Graph> {
    let name = &deployment.site.name;
    let all = |metric: &str, dead: &str| {
        STAGES.map(|stage| json!(["AWS/SQS", metric, "QueueName", format!("{name}-{}{dead}", stage.name())])).to_vec()
    };
    vec![
        ("Age of the oldest message, s", "Maximum", all("ApproximateAgeOfOldestMessage", "")),
        ("Messages that wait", "Maximum", all("ApproximateNumberOfMessagesVisible", "")),
        ("Dead letters", "Maximum", all("ApproximateNumberOfMessagesVisible", "-dead")),
    ]
}

fn of_functions(deployment: &Deployment<'_>) -> Vec<Graph> {
    let all = |metric: &str| {
        Role::ALL.map(|role| json!(["AWS/Lambda", metric, "FunctionName", functions::name(deployment, role)])).to_vec()
    };
    vec![
        ("Invocations", "Sum", all("Invocations")),
        ("Longest invocation, ms", "Maximum", all("Duration")),
        ("Failed invocations", "Sum", all("Errors")),
    ]
}

fn of_services(deployment: &Deployment<'_>) -> Vec<Graph> {
    let cluster = &deployment.site.name;
    let all = |metric: &str| -> Vec<Value> {
        let one = |unit: services::Unit| {
            json!(["AWS/ECS", metric, "ClusterName", cluster, "ServiceName", service_name(deployment, &unit)])
        };
        services::units(deployment).map(one).collect()
    };
    vec![
        ("Tasks (a sample a minute of each)", "SampleCount", all("CPUUtilization")),
        ("Processor, %", "Average", all("CPUUtilization")),
        ("Memory, %", "Maximum", all("MemoryUtilization")),
    ]
}

fn widget(deployment: &Deployment<'_>, (number, (title, statistic, metrics)): (usize, Graph)) -> Value {
    let (x, y) = (number * WIDTH % WIDE, number * WIDTH / WIDE * HEIGHT);
    json!({ "type": "metric", "x": x, "y": y, "width": WIDTH, "height": HEIGHT, "properties": {
        "title": title, "stat": statistic, "metrics": metrics, "period": 300, "region": deployment.site.region,
    } })
}
