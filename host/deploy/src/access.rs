//! What each role does in the account, as the code of the engine and the adapters does it: the one table of each role's access.
//!
//! Does not write policies.
//!
//! A role that may write may read: after a lost reply the object itself says whose it is. All roles may list the layers, since for a missing
//! object S3 says 404 only to a caller that may list, and 403 to any other. S3 checks that without a prefix, hence `IfExists`.

use std::collections::BTreeSet;

use pipeline::plan::{Location, Plan, PluginRef, SecretRef, TemplatePart};
use pipeline::role::Role;
use pipeline::s3;
use serde_json::json;

use super::places::{Layer, Site};
use super::policy::Statement;
use super::{Deployment, Mode};

/// Folders of a layer, and the actions there: `r`eads, `w`rites, `d`eletes. `NAME` stands for each Gold table: a policy has room for some
/// thirty of them, so they are named only where a table is written, and where a sweep deletes.
type Touched = (Place, &'static str, &'static str);

/// What stands for a table in a folder's name.
const TABLE: &str = "NAME";

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Bronze,
    Silver,
    Gold,
}
use Place::{Bronze, Gold, Silver};

/// Every process, at its start: whose the lake is, whether a plugin was taken back, and which one serves in its place.
const START: &[Touched] = &[(Bronze, "_lake.json", "r"), (Bronze, "_swaps/*", "r"), (Bronze, "_plugins/*", "r")];
/// A process that looks at the tables: it makes each one that does not exist yet.
const TABLES: &[Touched] = &[
    (Silver, "_delta_log/*", "r"),
    (Silver, "_delta_log/00000000000000000000.json", "w"),
    (Gold, "*/_delta_log/*", "r"),
    (Gold, "*/_delta_log/00000000000000000000.json", "w"),
];
/// A process that watches what is published: a new plugin is tried on the latest inputs, and Silver gets its new columns.
const WATCH: &[Touched] =
    &[(Bronze, "run=*", "r"), (Bronze, "_answers/*", "r"), (Silver, "_bucket=*", "r"), (Silver, "_delta_log/*", "w")];
/// A process that runs plugins notes what became of those that were published, and takes back one that is worse. A process that only fires
/// ticks does neither.
const DECIDE: &[Touched] = &[(Bronze, "_swaps/*", "rw")];
/// The records that a plugin refused before it was taken back are made again.
const MEND: &[Touched] = &[
    (Bronze, "_generations/*", "r"),
    (Bronze, "_kept_out/*", "r"),
    (Bronze, "_quarantine/*", "rd"),
    (Bronze, "_receipts/*", "r"),
    (Silver, "_generations/*", "r"),
    (Silver, "_receipts/*", "r"),
];
/// A process that writes a layer tests once whether its store heeds conditions, and notes the result beside the layer.
const ASK_BRONZE: Touched = (Bronze, "_store/*", "rw");
/// The lake is claimed for the pipeline; keys that stay forgotten are left out; the columns of the ticks are noted.
const TICK: &[Touched] = &[
    ASK_BRONZE,
    (Bronze, "run=*", "rw"),
    (Bronze, "_lake.json", "rw"),
    (Bronze, "_columns.json", "rw"),
    (Bronze, "_kept_out/*", "r"),
    (Bronze, "_open/*", "rw"),
    (Bronze, "_closed/*", "r"),
    (Bronze, "_sweep.json", "r"),
    (Bronze, "_quarantine/*", "rw"),
];
/// Lost work is found, old objects go, and finished ticks are closed.
const SWEEP: &[Touched] = &[
    (Bronze, "run=*", "rw"),
    (Bronze, "_open/*", "rwd"),
    (Bronze, "_closed/*", "rw"),
    (Bronze, "_sweep.json", "rw"),
    (Silver, "_receipts/*", "r"),
    (Silver, "_bucket=*", "d"),
    (Silver, "_delta_log/*", "d"),
    (Silver, "_retracted/*", "rd"),
    (Gold, "NAME/*", "d"),
    (Gold, "_generations/*", "r"),
    (Gold, "_suspended/*", "r"),
];
const ENRICH: &[Touched] = &[ASK_BRONZE, (Bronze, "run=*", "rw"), (Bronze, "_quarantine/*", "rwd")];
const ENRICH_BY_PLUGIN: &[Touched] = &[
    (Bronze, "_answers/*", "rwd"),
    (Bronze, "_generations/*", "rw"),
    (Bronze, "_open/*", "rw"),
    (Bronze, "_plugins/*", "rw"),
    (Bronze, "_receipts/*", "rw"),
    (Bronze, "_suspended/*", "rwd"),
];
const CLEAN: &[Touched] = &[
    (Bronze, "run=*", "r"),
    (Bronze, "_open/*", "rw"),
    (Bronze, "_plugins/*", "rw"),
    (Bronze, "_quarantine/*", "rwd"),
    (Silver, "_bucket=*", "rw"),
    (Silver, "_delta_log/*", "rwd"),
    (Silver, "_generations/*", "rw"),
    (Silver, "_chain/*", "rw"),
    (Silver, "_receipts/*", "rw"),
    (Silver, "_retracted/*", "rw"),
    (Silver, "_store/*", "rw"),
    (Silver, "_suspended/*", "rwd"),
];
const AGGREGATE: &[Touched] = &[
    (Bronze, "_plugins/*", "rw"),
    (Silver, "_bucket=*", "r"),
    (Gold, "NAME/*", "rw"),
    (Gold, "*/_delta_log/*", "d"),
    (Gold, "NAME.parquet", "rw"),
    (Gold, "NAME.csv", "rw"),
    (Gold, "_partials/*", "rwd"),
    (Gold, "_store/*", "rw"),
    (Gold, "_suspended/*", "rwd"),
    (Gold, "_generations/*", "rw"),
];

/// A process with all roles: it writes to every folder of a layer, and deletes in every folder of Silver and Gold. To name them would add
/// nothing. The folders of Bronze in which it may delete are named.
const WHOLE: &[Touched] = &[(Bronze, EVERYTHING, "rw"), (Silver, EVERYTHING, "rwd"), (Gold, EVERYTHING, "rwd")];
const EVERYTHING: &str = "*";

/// What a stage waits for is noted beside its layer. A function waits for nothing.
fn waits(role: Role) -> &'static [Touched] {
    match role {
        Role::Ingest => &[],
        Role::Enrich => &[(Bronze, "_waiting/*", "rwd")],
        Role::Clean => &[(Silver, "_waiting/*", "rwd")],
        Role::Aggregate => &[(Gold, "_waiting/*", "rwd")],
    }
}

/// How folders of Gold's tables are named in a policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tables {
    /// Each by its name.
    Named,
    /// By what the files of every table are called: for more tables than a policy can name.
    Any,
}

/// A set of folders that is touched: the reason, the key that asks for it beside the layer's own, and the set.
type Reason = (&'static str, Option<&'static str>, &'static [Touched]);

/// The reasons why some roles touch folders.
fn reasons(plan: &Plan, roles: &[Role], mode: Mode) -> Vec<Reason> {
    let mut reasons: Vec<Reason> = Vec::new();
    if roles.len() == Role::ALL.len() {
        reasons.push(("Whole", None, WHOLE));
    }
    reasons.push(("Start", None, START));
    let sweeps = roles.iter().any(|role| sweeps(*role, mode));
    let looks = sweeps || roles.contains(&Role::Aggregate);
    if looks || plan.swap.watch {
        reasons.push(("Look", (!looks).then_some("swap.watch"), TABLES));
    }
    if plan.swap.watch {
        reasons.push(("Watch", Some("swap.watch"), WATCH));
        if roles.iter().any(|role| *role != Role::Ingest) {
            reasons.push(("Decide", Some("swap.watch"), DECIDE));
        }
        reasons.push(("Mend", Some("swap.watch"), MEND));
    }
    if sweeps {
        reasons.push(("Mend", None, MEND));
        reasons.push(("Sweep", None, SWEEP));
    }
    for role in roles {
        if mode == Mode::Ecs {
            reasons.push(("Wait", None, waits(*role)));
        }
        reasons.push(match role {
            Role::Ingest => ("Tick", None, TICK),
            Role::Enrich => ("Enrich", None, ENRICH),
            Role::Clean => ("Clean", None, CLEAN),
            Role::Aggregate => ("Aggregate", None, AGGREGATE),
        });
        if *role == Role::Enrich && plan.enrich.is_some() {
            reasons.push(("Plugin", Some("enrich.plugin"), ENRICH_BY_PLUGIN));
        }
    }
    reasons
}

/// A function sweeps after its tick; a server does so in every role.
fn sweeps(role: Role, mode: Mode) -> bool {
    mode == Mode::Ecs || role == Role::Ingest
}

/// What a process with these roles may do.
pub(super) fn statements(deployment: &Deployment<'_>, roles: &[Role], tables: Tables) -> Vec<Statement> {
    let Deployment { plan, site, layout } = deployment;
    // Fargate writes a container's log.
    let functions = roles.iter().filter(|_| layout.mode == Mode::Lambda);
    let mut statements: Vec<Statement> = functions.map(|role| log(site, *role)).collect();
    statements.extend(site.layers().map(|layer| listing(site, layer)));
    let mut given = BTreeSet::new();
    for (why, asked_by, touched) in reasons(plan, roles, layout.mode) {
        for (place, layer) in [(Bronze, &site.bronze), (Silver, &site.silver), (Gold, &site.gold)] {
            let mut by_verbs: Vec<(String, Vec<String>)> = Vec::new();
            for (_, folder, verbs) in touched.iter().filter(|(there, ..)| *there == place) {
                for folder in folders(plan, folder, tables) {
                    let fresh = verbs.chars().filter(|verb| {
                        let whole = (*verb, layer.name, EVERYTHING.to_owned());
                        !given.contains(&whole) && given.insert((*verb, layer.name, folder.clone()))
                    });
                    let fresh: String = fresh.collect();
                    let arn = site.bucket_arn(&format!("{}/{}", layer.bucket, layer.key(&folder)));
                    match by_verbs.iter_mut().find(|(verbs, _)| *verbs == fresh) {
                        Some((_, resources)) => resources.push(arn),
                        None => by_verbs.push((fresh, vec![arn])),
                    }
                }
            }
            for (verbs, resources) in by_verbs.into_iter().filter(|(verbs, _)| !verbs.is_empty()) {
                let words: String = verbs.chars().map(|verb| verb_of(verb).0).collect();
                let actions: Vec<&str> = verbs.chars().flat_map(|verb| verb_of(verb).1).copied().collect();
                let sid = format!("{why}{}{words}", capital(layer.name));
                let mut statement = Statement::new(sid, &actions, resources, layer.said());
                statement.said.extend(asked_by.map(str::to_owned));
                if place == Gold && touched.iter().any(|(_, folder, _)| folder.contains(TABLE)) {
                    statement.said.extend(plan.aggregates.iter().map(|one| format!("aggregate.{}", one.name)));
                }
                statements.push(statement);
            }
        }
    }
    statements.extend(foreign(plan, site, roles));
    statements.extend(queues(deployment, roles));
    statements
}

/// A verb's word, and its actions. A failed upload in parts is not aborted: the bucket's lifecycle does that.
fn verb_of(verb: char) -> (&'static str, &'static [&'static str]) {
    match verb {
        'r' => ("Read", &["s3:GetObject"]),
        'w' => ("Write", &["s3:PutObject"]),
        _ => ("Delete", &["s3:DeleteObject"]),
    }
}

fn folders(plan: &Plan, folder: &str, tables: Tables) -> Vec<String> {
    if !folder.contains(TABLE) {
        return vec![folder.to_owned()];
    }
    match (tables, folder.strip_prefix(TABLE)) {
        (Tables::Named, _) => plan.aggregates.iter().map(|one| folder.replace(TABLE, &one.name)).collect(),
        // A table is files of Parquet and a log.
        (Tables::Any, Some("/*")) => vec!["*.parquet".to_owned(), "*/_delta_log/*".to_owned()],
        (Tables::Any, _) => vec![folder.replace(TABLE, "*")],
    }
}

fn listing(site: &Site, layer: &Layer) -> Statement {
    let condition = json!({ "StringLikeIfExists": { "s3:prefix": [layer.key("*")] } });
    let sid = format!("List{}", capital(layer.name));
    let bucket = vec![site.bucket_arn(&layer.bucket)];
    Statement { condition: Some(condition), ..Statement::new(sid, &["s3:ListBucket"], bucket, layer.said()) }
}

fn log(site: &Site, role: Role) -> Statement {
    let group = site.arn("logs", &format!("log-group:{}:*", site.log_group(role.name(), Mode::Lambda)));
    Statement::new("Log", &["logs:CreateLogStream", "logs:PutLogEvents"], vec![group], "pipeline.name")
}

/// A key in a policy with `*`, `?` and `$` escaped: they have a meaning there ("policy variables" in the user guide of IAM).
fn literal(key: &str) -> String {
    let escaped = |letter| if "*?$".contains(letter) { format!("${{{letter}}}") } else { String::from(letter) };
    key.chars().map(escaped).collect()
}

/// What does not belong to the pipeline alone: its source, plugins, secrets.
fn foreign(plan: &Plan, site: &Site, roles: &[Role]) -> Vec<Statement> {
    let mut statements = Vec::new();
    let object =
        |url: &url::Url| site.bucket_arn(&format!("{}/{}", url.host_str().unwrap_or_default(), literal(&s3::key(url))));
    if roles.contains(&Role::Ingest)
        && let Location::Remote(url) = &plan.source.location
        && url.scheme() == "s3"
    {
        statements.push(Statement::new("Source", &["s3:GetObject"], vec![object(url)], "source.uri"));
    }
    let mut plugins = Statement::new("Plugins", &["s3:GetObject"], Vec::new(), "");
    plugins.said.clear();
    for (stage, settings) in plan.stages() {
        let PluginRef::File(Location::Remote(url)) = &settings.plugin else { continue };
        let component = object(url);
        let signature = (!plan.trusted_keys.is_empty()).then(|| format!("{component}.sig"));
        plugins.resources.extend([component].into_iter().chain(signature));
        plugins.said.push(format!("{}.plugin", stage.replace(' ', ".")));
    }
    plugins.resources.sort();
    plugins.resources.dedup();
    statements.extend(Some(plugins).filter(|plugins| !plugins.resources.is_empty()));
    if roles.contains(&Role::Enrich) && plan.enrich.is_some() {
        statements.extend(secrets(plan, site));
    }
    statements
}

/// The secrets that an endpoint sends. In its ARN a secret's name ends in six more letters.
fn secrets(plan: &Plan, site: &Site) -> Option<Statement> {
    let templates = plan.endpoints.values().flat_map(|endpoint| endpoint.query.iter().chain(&endpoint.headers));
    let used: BTreeSet<&String> = templates
        .flat_map(|(_, template)| &template.0)
        .filter_map(|part| match part {
            TemplatePart::Secret(name) => Some(name),
            TemplatePart::Text(_) => None,
        })
        .collect();
    let mut resources = BTreeSet::new();
    for secret in used.iter().filter_map(|name| plan.secrets.get(*name)) {
        let SecretRef::AwsSecretsManager { name, .. } = secret else { continue };
        if name.starts_with("arn:") {
            resources.extend([name.clone(), format!("{name}-??????")]);
        } else {
            resources.insert(site.arn("secretsmanager", &format!("secret:{name}-??????")));
        }
    }
    let said = used.iter().map(|name| format!("secrets.{name}")).collect();
    let resources: Vec<String> = resources.into_iter().collect();
    let statement = Statement::new("Secrets", &["secretsmanager:GetSecretValue"], resources, "");
    (!used.is_empty()).then_some(Statement { said, ..statement })
}

/// The stages that have queues.
pub const STAGES: [Role; 3] = [Role::Enrich, Role::Clean, Role::Aggregate];

fn queues(deployment: &Deployment<'_>, roles: &[Role]) -> Vec<Statement> {
    let Deployment { site, layout, .. } = deployment;
    let live = |stage: Role| site.arn("sqs", &format!("{}-{}", site.name, stage.name()));
    let dead = |stage: Role| format!("{}-dead", live(stage));
    let statement = |sid, actions: &[&'static str], resources| Statement::new(sid, actions, resources, "queue.url");
    let mut statements = Vec::new();
    let takers: Vec<Role> = STAGES.into_iter().filter(|stage| roles.contains(stage)).collect();
    if !takers.is_empty() {
        let own = takers.iter().flat_map(|stage| match layout.mode {
            Mode::Lambda => vec![live(*stage)],
            // A server gives dead letters a last try.
            Mode::Ecs => vec![live(*stage), dead(*stage)],
        });
        let actions = ["sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:ChangeMessageVisibility"];
        statements.push(statement("Take", &actions, own.collect()));
    }
    let told: Vec<Role> =
        STAGES.into_iter().filter(|stage| roles.iter().any(|role| tells(deployment, *role, *stage))).collect();
    let mut tells: Vec<String> = told.iter().map(|stage| live(*stage)).collect();
    if layout.mode == Mode::Lambda && roles.contains(&Role::Ingest) {
        // Lambda itself, in the function's name: a tick that was given up.
        tells.push(site.missed());
    }
    if !told.is_empty() {
        // A function opens the queues that it sends to, with their dead letters; a server looks at all of them.
        let opened = told.iter().flat_map(|stage| [live(*stage), dead(*stage)]).collect();
        statements.push(statement("Open", &["sqs:GetQueueAttributes"], opened));
        statements.push(statement("Tell", &["sqs:SendMessage"], tells));
    }
    statements
}

/// Whether a role sends messages to a stage's queue.
fn tells(deployment: &Deployment<'_>, role: Role, stage: Role) -> bool {
    let Deployment { plan, layout, .. } = deployment;
    let next = match role {
        // What it makes again line by line. Whole objects are notified by S3, or by the role.
        Role::Enrich => stage == Role::Clean,
        Role::Clean => stage == Role::Aggregate && !layout.notifies(),
        Role::Ingest | Role::Aggregate => false,
    };
    // Work that the plugin before does again, or the one that is new to a table.
    let again = match role {
        Role::Ingest => false,
        Role::Enrich | Role::Clean => stage != Role::Aggregate,
        Role::Aggregate => true,
    };
    next || sweeps(role, layout.mode) || (plan.swap.watch && again)
}

/// The word with its first letter in upper case.
pub(super) fn capital(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_ascii_uppercase().to_string() + letters.as_str()).unwrap_or_default()
}
