//! The logs of roles, and the metrics that CloudWatch makes from their lines: refused, suspended or taken back, for functions and
//! servers alike.
//!
//! Does not write lines: a test checks that the host logs each of these messages.

use pipeline::role::Role;
use serde_json::json;

use super::access::capital;
use super::places::Site;
use super::resources::Resources;
use super::{Deployment, Mode, keys};

/// A metric, the messages that it counts, and the roles that log them.
pub(super) struct Counted {
    pub(super) metric: &'static str,
    messages: &'static [&'static str],
    roles: &'static [Role],
}

const PLUGINS: &[Role] = &[Role::Enrich, Role::Clean, Role::Aggregate];

/// Records that went into quarantine.
pub(super) const REFUSED: Counted =
    Counted { metric: "Refused", messages: &["refused"], roles: &[Role::Ingest, Role::Enrich, Role::Clean] };
/// Stages and tables that are suspended.
pub(super) const SUSPENDED: Counted = Counted {
    metric: "Suspended",
    messages: &["suspended, its messages stay queued", "its plugin failed, the table stays as it is"],
    roles: PLUGINS,
};
/// Plugins that the host took back.
pub(super) const ROLLED_BACK: Counted = Counted {
    metric: "RolledBack",
    messages: &["the new plugin is worse, the one before it serves again"],
    roles: PLUGINS,
};
/// Ticks of a server; for a function its invocations count.
pub(super) const FIRED: Counted = Counted { metric: "TicksFired", messages: &["tick fired"], roles: &[Role::Ingest] };

/// The namespace of a pipeline's metrics.
pub(super) fn namespace(site: &Site) -> String {
    format!("Sluicebox/{}", site.name)
}

/// The log of a unit with these roles, and its metrics.
pub(super) fn resources(deployment: &Deployment<'_>, unit: &str, roles: &[Role]) -> Resources {
    let (site, mode, id) = (&deployment.site, deployment.layout.mode, capital(unit));
    let log = json!({ "Type": "AWS::Logs::LogGroup", "Properties": {
        "LogGroupName": site.log_group(unit, mode), "RetentionInDays": { "Ref": "LogDays" }, "KmsKeyId": keys::reference(),
    } });
    let mut resources = vec![(format!("{id}Log"), log)];
    let mut counted = vec![&REFUSED, &SUSPENDED, &ROLLED_BACK];
    counted.extend((mode == Mode::Ecs).then_some(&FIRED));
    for one in counted.into_iter().filter(|one| one.roles.iter().any(|role| roles.contains(role))) {
        let messages: Vec<String> = one.messages.iter().map(|text| format!("($.message = \"{text}\")")).collect();
        let filter = json!({ "Type": "AWS::Logs::MetricFilter", "Properties": {
            "LogGroupName": { "Ref": format!("{id}Log") },
            "FilterPattern": format!("{{ {} }}", messages.join(" || ")),
            "MetricTransformations": [{ "MetricNamespace": namespace(site), "MetricName": one.metric, "MetricValue": "1" }],
        } });
        resources.push((format!("{id}{}", one.metric), filter));
    }
    resources
}
