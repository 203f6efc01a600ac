//! Alarms: work that grows old, letters that died, functions that fail.
//!
//! Does not say whom to tell: that is a parameter.

use engine::drivers::service::Role;
use serde_json::{Value, json};

use super::access::{STAGES, capital};
use super::template::Resources;
use super::{Deployment, Mode, functions};

/// Work that is older than this waits for something: a quota, a secret, a plugin that was suspended.
const OLD_SECONDS: u32 = 3600;

pub(super) fn resources(deployment: &Deployment<'_>, mode: Mode) -> Resources {
    let mut resources = Resources::new();
    for stage in STAGES {
        let (id, name) = (capital(stage.name()), format!("{}-{}", deployment.site.name, stage.name()));
        let age = Metric {
            of: ("AWS/SQS", "QueueName"),
            named: name.clone(),
            metric: "ApproximateAgeOfOldestMessage",
            statistic: "Maximum",
            above: OLD_SECONDS,
            text: "work has waited for more than an hour: `sluicebox status` says why",
        };
        let dead = Metric {
            named: format!("{name}-dead"),
            metric: "ApproximateNumberOfMessagesVisible",
            above: 0,
            text: "messages were given up: they lie in the queue of dead letters",
            ..age
        };
        resources.push((format!("{id}AgeAlarm"), age.alarm()));
        resources.push((format!("{id}DeadAlarm"), dead.alarm()));
    }
    if mode == Mode::Lambda {
        for role in Role::ALL {
            let id = capital(role.name());
            let errors = Metric {
                of: ("AWS/Lambda", "FunctionName"),
                named: functions::name(deployment, role),
                metric: "Errors",
                statistic: "Sum",
                above: 0,
                text: "invocations failed as a whole: see the function's log",
            };
            let throttles =
                Metric { metric: "Throttles", text: "the account's functions are at their limit", ..errors.clone() };
            resources.push((format!("{id}ErrorAlarm"), errors.alarm()));
            resources.push((format!("{id}ThrottleAlarm"), throttles.alarm()));
        }
    }
    resources
}

#[derive(Clone)]
struct Metric {
    /// Namespace, and the dimension that names one.
    of: (&'static str, &'static str),
    named: String,
    metric: &'static str,
    statistic: &'static str,
    above: u32,
    text: &'static str,
}

impl Metric {
    fn alarm(&self) -> Value {
        let (namespace, dimension) = self.of;
        let actions = json!({ "Fn::If": ["HasAlarmTopic", [{ "Ref": "AlarmTopic" }], { "Ref": "AWS::NoValue" }] });
        json!({ "Type": "AWS::CloudWatch::Alarm", "Properties": {
            "AlarmDescription": format!("{}: {}", self.named, self.text),
            "Namespace": namespace,
            "MetricName": self.metric,
            "Dimensions": [{ "Name": dimension, "Value": self.named }],
            "Statistic": self.statistic,
            "Period": 300,
            "EvaluationPeriods": 1,
            "Threshold": self.above,
            "ComparisonOperator": "GreaterThanThreshold",
            "TreatMissingData": "notBreaching",
            "AlarmActions": actions,
        } })
    }
}
