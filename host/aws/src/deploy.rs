//! What a pipeline is in AWS, from its plan alone: a CloudFormation template, the policies in it, and manifests for QuickSight.
//!
//! Pure: asks nobody, reads no clock, and gives equal text for equal plans. Does not load plugins (whoever has their columns hands them
//! over), and does not deploy.

mod access;
mod advice;
mod alarms;
mod buckets;
mod cost;
pub mod cron;
mod functions;
mod places;
mod policy;
mod queues;
mod quicksight;
mod schedules;
mod services;
mod tables;
mod template;

use std::collections::BTreeMap;

use engine::drivers::service::Role;
use engine::pipeline::plan::Plan;
use engine::pipeline::{Objection, code};
use engine::seams::plugin::Field;
use serde_json::{Value, json};

pub(crate) use self::access::STAGES;
pub use self::advice::advice;
pub use self::cost::{Month, Share, records_of};
use self::places::Site;
pub use self::policy::Statement;

/// What the roles run as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// A function a role, invoked by a schedule and by the queues.
    Lambda,
    /// A service a role on Fargate, which takes from the queues by itself.
    Ecs,
}

/// The processor that the program is built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arch {
    /// Intel's and AMD's.
    X86_64,
    /// Graviton.
    Arm64,
}

/// Everything beside the plan that a template depends on.
#[derive(Clone, Debug)]
pub struct Options {
    /// What the roles run as.
    pub mode: Mode,
    /// For which processor.
    pub arch: Arch,
    /// The target whose section was laid over the file: the program is told to do the same.
    pub target: Option<String>,
    /// What was set on the command line, likewise.
    pub set: Vec<String>,
    /// The columns of the tables, as far as they are known.
    pub columns: Columns,
}

/// What the plugins make. Without them tables are declared without columns, and QuickSight gets no data set.
#[derive(Clone, Debug, Default)]
pub struct Columns {
    /// The clean plugin's.
    pub silver: Vec<Field>,
    /// The aggregate plugins', by the table's name.
    pub gold: BTreeMap<String, Vec<Field>>,
}

/// A role of AWS for one of ours.
#[derive(Clone, Debug)]
pub struct RolePolicy {
    /// Our role.
    pub role: Role,
    /// What it may do.
    pub statements: Vec<Statement>,
}

impl RolePolicy {
    /// The policy document.
    #[must_use]
    pub fn document(&self) -> Value {
        policy::document(&self.statements)
    }
}

/// The most characters of a role's inline policies, white space not counted.
const MOST_POLICY: usize = 10_240;

/// A plan that can be deployed.
#[derive(Clone, Debug)]
pub struct Deployment<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) site: Site,
}

impl<'p> Deployment<'p> {
    /// The deployment of `plan`.
    ///
    /// # Errors
    /// Everything for which it cannot be deployed.
    pub fn of(plan: &'p Plan, mode: Mode) -> Result<Self, Vec<Objection>> {
        match Deployment::look(plan, mode) {
            (Some(deployment), objections) if objections.is_empty() => Ok(deployment),
            (_, objections) => Err(objections),
        }
    }

    /// As much as there is of a deployment of `plan`, for who only looks at its places; and everything for which it cannot be deployed.
    #[must_use]
    pub fn look(plan: &'p Plan, mode: Mode) -> (Option<Self>, Vec<Objection>) {
        let mut objections = Vec::new();
        let site = places::site(plan, mode, &mut objections);
        if mode == Mode::Lambda
            && let Some(schedule) = &plan.schedule
            && let Err(why) = cron::to_aws(schedule.expression())
        {
            objections.push(why.objection());
        }
        if mode == Mode::Lambda {
            objections.extend(advice::too_slow(plan));
        }
        let Some(site) = site else { return (None, objections) };
        let deployment = Deployment { plan, site };
        objections.extend(deployment.policies(mode).iter().filter_map(too_long));
        (Some(deployment), objections)
    }

    /// What a month costs that brings `records`, with messages of `batch_size` records.
    #[must_use]
    pub fn month(&self, mode: Mode, records: f64, batch_size: usize) -> Month {
        let made = alarms::resources(self, mode);
        let alarms = made.iter().filter(|(_, made)| made.get("Type") == Some(&json!("AWS::CloudWatch::Alarm"))).count();
        cost::month(self.plan, mode, alarms, records, batch_size)
    }

    /// What each role may do, and nothing else.
    #[must_use]
    pub fn policies(&self, mode: Mode) -> Vec<RolePolicy> {
        let of = |role| RolePolicy { role, statements: access::statements(self.plan, &self.site, role, mode) };
        Role::ALL.map(of).into()
    }

    /// For how long what a stage's queue hands out must stay invisible, in seconds.
    pub(crate) fn visibility(&self, mode: Mode, stage: Role) -> u64 {
        queues::visibility(self.plan, mode, stage)
    }

    /// The template.
    #[must_use]
    pub fn template(&self, options: &Options) -> Value {
        template::template(self, options)
    }

    /// For each Gold table, by name, what QuickSight is to be uploaded to read the table's CSV file by itself.
    #[must_use]
    pub fn manifests(&self) -> Vec<(String, Value)> {
        let manifest = |name: &String| {
            let file = self.site.gold.url(&format!("{name}.csv"));
            let settings = json!({ "format": "CSV", "delimiter": ",", "containsHeader": "true" });
            (name.clone(), json!({ "fileLocations": [{ "URIs": [file] }], "globalUploadSettings": settings }))
        };
        self.plan.aggregates.iter().map(|aggregate| manifest(&aggregate.name)).collect()
    }
}

fn too_long(policy: &RolePolicy) -> Option<Objection> {
    let length = policy.document().to_string().chars().filter(|letter| !letter.is_whitespace()).count();
    (length > MOST_POLICY).then(|| Objection {
        about: "aggregate".to_owned(),
        code: code::NOT_DEPLOYABLE,
        message: format!("the policy of role `{}` has {length} characters", policy.role.name()),
        expected: Some(format!("at most {MOST_POLICY}")),
        hint: Some("each aggregate adds its folders: deploy some of them as a pipeline of their own".to_owned()),
    })
}

#[cfg(test)]
mod tests {
    use engine::pipeline::{Overrides, check};

    use super::*;

    fn plan(more: &str) -> Plan {
        let text = format!(
            "[pipeline]\nname = \"orders\"\n[source]\nuri = \"s3://acme-in/orders.csv\"\nkey = [\"id\"]\n[clean]\nplugin = \"c\"\n\
             [queue]\nurl = \"https://sqs.eu-central-1.amazonaws.com/123456789012/orders\"\n\
             [lake]\nbronze = \"s3://acme-raw\"\nsilver = \"s3://acme-lake/orders/silver\"\ngold = \"s3://acme-lake/orders/gold\"\n{more}"
        );
        check("p.toml", &text, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn tables(count: usize) -> String {
        let one = |number| format!("[[aggregate]]\nname = \"table-{number}\"\nplugin = \"a\"\n");
        (0..count).map(one).collect()
    }

    fn allowed(plan: &Plan, role: Role) -> Vec<String> {
        let deployment = Deployment::of(plan, Mode::Lambda).unwrap();
        let policies = deployment.policies(Mode::Lambda);
        let policy = policies.iter().find(|policy| policy.role == role).unwrap();
        let of = |statement: &Statement| -> Vec<String> {
            let pairs = statement.actions.iter().flat_map(|action| {
                statement
                    .resources
                    .iter()
                    .map(move |resource| format!("{action} {}", resource.rsplit(':').next().unwrap()))
            });
            pairs.collect()
        };
        policy.statements.iter().flat_map(of).collect()
    }

    #[test]
    fn a_role_may_do_what_it_does_and_no_more() {
        let plan = plan(&(tables(1) + "[swap]\nwatch = false\n"));
        let has = |role, what: &str| allowed(&plan, role).iter().any(|one| one == what);
        assert!(
            has(Role::Ingest, "s3:GetObject acme-in/orders.csv")
                && !has(Role::Clean, "s3:GetObject acme-in/orders.csv")
        );
        assert!(has(Role::Enrich, "s3:PutObject acme-raw/run=*") && !has(Role::Clean, "s3:PutObject acme-raw/run=*"));
        let silver = "s3:PutObject acme-lake/orders/silver/_bucket=*";
        assert!(has(Role::Clean, silver) && !has(Role::Aggregate, silver) && !has(Role::Ingest, silver));
        let csv = "s3:PutObject acme-lake/orders/gold/table-0.csv";
        assert!(has(Role::Aggregate, csv) && !has(Role::Clean, csv));
        let deleted = |role| allowed(&plan, role).iter().filter(|one| one.starts_with("s3:DeleteObject")).count();
        assert_eq!(Role::ALL.map(deleted), [5, 1, 3, 3]);
        // A function opens those queues that it tells something, each with its dead letters.
        let of = |role, action| allowed(&plan, role).iter().filter(|one| one.starts_with(action)).count();
        assert_eq!(Role::ALL.map(|role| of(role, "sqs:SendMessage")), [3, 1, 0, 0]);
        assert_eq!(Role::ALL.map(|role| of(role, "sqs:GetQueueAttributes")), [6, 2, 0, 0]);
    }

    #[test]
    fn a_watch_is_what_lets_a_role_try_a_plugin() {
        let reads = |more: &str| allowed(&plan(&(tables(1) + more)), Role::Aggregate);
        let inputs = "s3:GetObject acme-raw/run=*".to_owned();
        assert!(reads("").contains(&inputs) && !reads("[swap]\nwatch = false\n").contains(&inputs));
        let decides = |role| allowed(&plan(&tables(1)), role).contains(&"s3:PutObject acme-raw/_swaps/*".to_owned());
        assert_eq!(Role::ALL.map(decides), [false, true, true, true], "who only fires ticks decides on no plugin");
    }

    #[test]
    fn twenty_tables_fit_and_what_does_not_is_told() {
        assert!(Deployment::of(&plan(&tables(20)), Mode::Ecs).is_ok());
        let told = Deployment::of(&plan(&tables(100)), Mode::Lambda).unwrap_err();
        let of = told.iter().map(|one| (one.about.as_str(), one.code)).collect::<Vec<_>>();
        assert!(of.contains(&("aggregate", "C071")), "{told:?}");
    }

    #[test]
    fn a_layer_in_a_bucket_of_its_own_is_told_of_by_that_bucket() {
        let plan = plan(&tables(1));
        let columns = Columns::default();
        let options = Options {
            mode: Mode::Lambda,
            arch: Arch::Arm64,
            target: None,
            set: vec!["a=1".into(), "b=2".into()],
            columns,
        };
        let template = Deployment::of(&plan, Mode::Lambda).unwrap().template(&options);
        let told = |bucket: &str| {
            template["Resources"][bucket]["Properties"]["NotificationConfiguration"]["QueueConfigurations"].clone()
        };
        let prefix = |bucket: &str| told(bucket)[0]["Filter"]["S3Key"]["Rules"][0]["Value"].clone();
        assert_eq!(
            (prefix("BronzeBucket"), prefix("SilverBucket")),
            (json!("run"), json!("orders/silver/_delta_log/"))
        );
        assert_eq!(template["Resources"]["GoldBucket"], Value::Null);
        let function = &template["Resources"]["CleanFunction"]["Properties"];
        assert_eq!(function["Environment"]["Variables"]["SLUICEBOX_SET"], "a=1\nb=2");
        // Without columns there is nothing to show.
        assert_eq!(template["Resources"]["QuickSightDashboard"], Value::Null);
        // Without a rate nothing bounds how many functions enrich.
        assert_eq!(template["Resources"]["EnrichMapping"]["Properties"]["ScalingConfig"], Value::Null);
    }
}
