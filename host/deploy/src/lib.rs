//! What a pipeline is in AWS, from its plan alone: a CloudFormation template, the policies in it, and manifests for QuickSight.
//!
//! Pure: calls no service, reads no clock, and gives equal text for equal plans. Does not load plugins (the caller passes their columns), and
//! does not deploy.

mod access;
mod advice;
mod alarms;
mod buckets;
mod condition;
mod cost;
pub mod cron;
mod dashboard;
mod deployment;
mod functions;
mod keys;
mod layout;
mod logs;
mod options;
mod parameters;
mod places;
mod policy;
mod pseudo;
mod queues;
mod quicksight;
mod resources;
mod roles;
mod scaling;
mod schedules;
mod services;
mod tables;
mod template;
mod timeouts;

use pipeline::Objection;
use pipeline::plan::Plan;
use pipeline::role::Role;
use serde_json::{Value, json};

pub use self::access::STAGES;
pub use self::advice::advice;
pub use self::cost::{Month, Share, records_of};
pub use self::deployment::Deployment;
pub use self::layout::{Layout, Mode};
pub use self::options::{Arch, Columns, Options};
pub use self::places::{Layer, Site};
pub use self::policy::Statement;
pub use self::pseudo::in_account;
pub use self::roles::RolePolicy;

impl<'p> Deployment<'p> {
    /// The deployment of `plan`.
    ///
    /// # Errors
    /// Every reason why it cannot be deployed.
    pub fn of(plan: &'p Plan, layout: impl Into<Layout>) -> Result<Self, Vec<Objection>> {
        match Deployment::look(plan, layout) {
            (Some(deployment), objections) if objections.is_empty() => Ok(deployment),
            (_, objections) => Err(objections),
        }
    }

    /// As much as there is of a deployment of `plan`, for a caller that only looks at its places; and every reason why it cannot be deployed.
    #[must_use]
    pub fn look(plan: &'p Plan, layout: impl Into<Layout>) -> (Option<Self>, Vec<Objection>) {
        let (layout, mut objections) = (layout.into(), Vec::new());
        let site = places::site(plan, layout.mode, &mut objections);
        if layout.mode == Mode::Lambda
            && let Some(schedule) = &plan.schedule
            && let Err(why) = cron::to_aws(schedule.expression())
        {
            objections.push(why.objection());
        }
        if layout.mode == Mode::Lambda {
            objections.extend(advice::too_slow(plan));
        }
        let Some(site) = site else { return (None, objections) };
        let deployment = Deployment { plan, site, layout };
        objections.extend(deployment.policies().iter().filter_map(roles::too_long));
        (Some(deployment), objections)
    }

    /// The cost of a month with `records` records and messages of `batch_size` records.
    #[must_use]
    pub fn month(&self, records: f64, batch_size: usize) -> Month {
        let made = alarms::resources(self);
        let alarms = made.iter().filter(|(_, made)| made.get("Type") == Some(&json!("AWS::CloudWatch::Alarm"))).count();
        cost::month(self.plan, self.layout.mode, alarms, records, batch_size)
    }

    /// The actions that each role may take, and no others. Folders of Gold are named by their tables. If there are too many for one policy,
    /// they are named by the files in them.
    #[must_use]
    pub fn policies(&self) -> Vec<RolePolicy> {
        roles::policies(self)
    }

    /// How long a message of a stage's queue must stay invisible, in seconds.
    pub fn visibility(&self, mode: Mode, stage: Role) -> u64 {
        timeouts::visibility(self.plan, mode, stage)
    }

    /// The template.
    #[must_use]
    pub fn template(&self, options: &Options) -> Value {
        template::template(self, options)
    }

    /// For each Gold table, by name, the manifest with which QuickSight reads the table's CSV file.
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use pipeline::{Overrides, check};

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
        let policies = deployment.policies();
        let policy = policies.iter().find(|policy| policy.name == role.name()).unwrap();
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
        assert_eq!(Role::ALL.map(deleted), [6, 1, 3, 3]);
        // A function opens the queues that it sends to, each with its dead letters; Lambda reports a tick that was given up.
        let of = |role, action| allowed(&plan, role).iter().filter(|one| one.starts_with(action)).count();
        assert_eq!(Role::ALL.map(|role| of(role, "sqs:SendMessage")), [4, 1, 0, 0]);
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
    fn any_number_of_tables_fits_into_a_policy() {
        let all = Layout { mode: Mode::Ecs, own_buckets: true, service_per_role: false };
        for layout in [Mode::Lambda.into(), Mode::Ecs.into(), all] {
            for count in [20, 400] {
                assert!(Deployment::of(&plan(&tables(count)), layout).is_ok(), "{layout:?} {count}");
            }
        }
        let few = allowed(&plan(&tables(3)), Role::Aggregate);
        assert!(few.contains(&"s3:PutObject acme-lake/orders/gold/table-2.csv".to_owned()), "{few:?}");
        let plan = plan(&tables(400));
        let many = allowed(&plan, Role::Aggregate);
        assert!(many.contains(&"s3:PutObject acme-lake/orders/gold/*.csv".to_owned()), "{many:?}");
        // A role that only deletes old objects may not touch notes and partial results.
        let sweeps = allowed(&plan, Role::Ingest);
        let deletes = sweeps.iter().filter(|one| one.starts_with("s3:DeleteObject acme-lake/orders/gold"));
        let places: Vec<&str> = deletes.filter_map(|one| one.split_once("gold/")).map(|(_, place)| place).collect();
        assert_eq!(places, ["*.parquet", "*/_delta_log/*"]);
    }

    #[test]
    fn a_process_with_all_roles_may_what_each_of_them_may() {
        let plan = plan(&tables(2));
        let of = |layout: Layout| -> BTreeMap<(String, String), ()> {
            let policies = Deployment::of(&plan, layout).unwrap().policies();
            let statements = policies.iter().flat_map(|policy| &policy.statements);
            let pairs = statements.flat_map(|one| {
                one.actions.iter().flat_map(|action| one.resources.iter().map(|on| ((*action).to_owned(), on.clone())))
            });
            pairs.map(|pair| (pair, ())).collect()
        };
        let each = of(Layout { mode: Mode::Ecs, own_buckets: false, service_per_role: true });
        let all = of(Mode::Ecs.into());
        let covers = |(action, on): &(String, String)| {
            let whole = ["acme-raw/*", "acme-lake/orders/silver/*", "acme-lake/orders/gold/*"];
            let mut within = whole.iter().map(|one| format!("arn:aws:s3:::{one}"));
            all.contains_key(&(action.clone(), on.clone()))
                || within
                    .any(|one| on.starts_with(one.trim_end_matches('*')) && all.contains_key(&(action.clone(), one)))
        };
        let missing: Vec<_> = each.keys().filter(|pair| !covers(pair)).collect();
        assert!(missing.is_empty(), "{missing:?}");
        assert!(!all.contains_key(&("s3:DeleteObject".to_owned(), "arn:aws:s3:::acme-raw/*".to_owned())));
        for policy in Deployment::of(&plan, Mode::Ecs).unwrap().policies() {
            let mut sids: Vec<&String> = policy.statements.iter().map(|one| &one.sid).collect();
            let count = sids.len();
            sids.sort();
            sids.dedup();
            assert_eq!(sids.len(), count, "{sids:?}");
        }
    }

    #[test]
    fn a_queue_without_an_account_fits_every_account() {
        let text = "[pipeline]\nname = \"orders\"\n[source]\nuri = \"s3://acme-in/o.csv\"\nkey = [\"id\"]\n[clean]\nplugin = \"c\"\n\
             [queue]\nurl = \"sqs://orders\"\n[lake]\nbronze = \"s3://a-b/b\"\nsilver = \"s3://a-b/s\"\ngold = \"s3://a-b/g\"\n";
        let plan = check("p.toml", text, &Overrides::default()).unwrap_or_else(|problems| panic!("{problems}"));
        let template = Deployment::of(&plan, Mode::Lambda).unwrap().template(&options());
        assert_eq!(template["Rules"], Value::Null);
        let variables = &template["Resources"]["CleanFunction"]["Properties"]["Environment"]["Variables"];
        let url = "queue.url=\"https://sqs.${AWS::Region}.${AWS::URLSuffix}/${AWS::AccountId}/orders\"";
        assert_eq!(variables["SLUICEBOX_SET"]["Fn::Sub"], format!("a=1\nb=2\n{url}"));
        // Names of the account are inside `Fn::Sub` only.
        fn bare(value: &Value, inside: bool) -> bool {
            match value {
                Value::String(text) => !inside && text.contains("${AWS::"),
                Value::Array(all) => all.iter().any(|one| bare(one, false)),
                Value::Object(all) => all.iter().any(|(name, one)| bare(one, name == "Fn::Sub")),
                _ => false,
            }
        }
        assert!(!bare(&template, false), "{template}");
    }

    fn options() -> Options {
        let set = vec!["a=1".into(), "b=2".into()];
        Options { arch: Arch::Arm64, target: None, set, columns: Columns::default() }
    }

    #[test]
    fn a_layer_in_a_bucket_of_its_own_is_told_of_by_that_bucket() {
        let plan = plan(&tables(1));
        let template = Deployment::of(&plan, Mode::Lambda).unwrap().template(&options());
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
        // Without a rate there is no bound on the functions that enrich, unless the operator sets one.
        assert_eq!(template["Parameters"]["EnrichConcurrency"]["Default"], 0);
        assert_eq!(template["Parameters"]["CleanConcurrency"]["Default"], 2);
    }
}
