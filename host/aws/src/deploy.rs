//! What a pipeline is in AWS, from its plan alone: a CloudFormation template, the policies in it, and manifests for QuickSight.
//!
//! Pure: asks nobody, reads no clock, and gives equal text for equal plans. Does not load plugins (whoever has their columns hands them
//! over), and does not deploy.

mod access;
mod alarms;
mod buckets;
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
        let mut objections = Vec::new();
        let site = places::site(plan, mode, &mut objections);
        if mode == Mode::Lambda
            && let Some(schedule) = &plan.schedule
            && let Err(why) = cron::to_aws(schedule.expression())
        {
            objections.push(why.objection());
        }
        let Some(site) = site.filter(|_| objections.is_empty()) else { return Err(objections) };
        let deployment = Deployment { plan, site };
        objections.extend(deployment.policies(mode).iter().filter_map(too_long));
        if objections.is_empty() { Ok(deployment) } else { Err(objections) }
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
