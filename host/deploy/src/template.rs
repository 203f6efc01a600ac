//! The template put together: parameters, conditions, mappings, resources in our own order, outputs.
//!
//! Does not know any one resource.

use serde_json::{Map, Value, json};

use super::access::{STAGES, capital};
use super::pseudo::substituted;
use super::{
    Deployment, Mode, Options, alarms, buckets, dashboard, functions, parameters, queues, quicksight, scaling,
    schedules, services, tables, timeouts,
};

pub(super) fn template(deployment: &Deployment<'_>, options: &Options) -> Value {
    let (plan, site, mode) = (deployment.plan, &deployment.site, deployment.layout.mode);
    let mut resources = queues::resources(deployment);
    resources.extend(buckets::resources(deployment));
    match mode {
        Mode::Lambda => {
            resources.extend(functions::resources(deployment, options));
            resources.extend(schedules::resources(deployment));
        }
        Mode::Ecs => {
            resources.extend(services::resources(deployment, options));
            resources.extend(scaling::resources(deployment));
        }
    }
    resources.extend(alarms::resources(deployment));
    resources.push(("Overview".to_owned(), dashboard::resource(deployment)));
    resources.extend(tables::resources(deployment, &options.columns));
    resources.extend(quicksight::resources(deployment, &options.columns));
    let (parameters, conditions) = parameters::declared(deployment, options);
    let mut template = Map::new();
    let mut add = |name: &str, value: Value| template.insert(name.to_owned(), value);
    add("AWSTemplateFormatVersion", json!("2010-09-09"));
    add("Description", json!(format!("The pipeline {}, by sluicebox deploy", plan.name)));
    add("Parameters", Value::Object(parameters));
    if mode == Mode::Lambda {
        add("Mappings", json!({ timeouts::TABLE: timeouts::table(plan) }));
    }
    if !site.is_free {
        let here = |name: &str, value: &str, text: String| json!({ "Assert": { "Fn::Equals": [{ "Ref": name }, value] }, "AssertDescription": text });
        add(
            "Rules",
            json!({ "WhereThePipelineSays": { "Assertions": [
            here("AWS::AccountId", &site.account, format!("queue.url names the account {}", site.account)),
            here("AWS::Region", &site.region, format!("queue.url names the region {}", site.region)),
        ] } }),
        );
    }
    add("Conditions", Value::Object(conditions));
    add("Resources", Value::Object(resources.into_iter().collect()));
    add("Outputs", Value::Object(outputs(deployment)));
    substituted(Value::Object(template))
}

fn outputs(deployment: &Deployment<'_>) -> Map<String, Value> {
    let Deployment { site, layout, .. } = deployment;
    let mut outputs = Map::new();
    let mut add = |name: String, value: Value| outputs.insert(name, json!({ "Value": value }));
    for layer in site.layers() {
        let bucket =
            if layout.own_buckets { json!(layer.bucket) } else { json!({ "Ref": buckets::bucket_of(site, layer) }) };
        add(format!("{}Bucket", capital(layer.name)), bucket);
    }
    for stage in STAGES {
        let id = capital(stage.name());
        add(format!("{id}Queue"), json!({ "Ref": format!("{id}Queue") }));
        add(format!("{id}DeadQueue"), json!({ "Ref": format!("{id}DeadQueue") }));
    }
    for (name, _) in layout.units() {
        let id = capital(name);
        match layout.mode {
            Mode::Lambda => add(format!("{id}Function"), json!({ "Ref": format!("{id}Function") })),
            Mode::Ecs => add(format!("{id}Service"), json!({ "Fn::GetAtt": [format!("{id}Service"), "Name"] })),
        };
    }
    add("Workgroup".to_owned(), json!({ "Ref": "Workgroup" }));
    add("Database".to_owned(), json!({ "Ref": "Database" }));
    outputs
}
