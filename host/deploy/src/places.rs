//! Where a pipeline is in AWS: account and region, the buckets of its layers, its queues; or every reason why it cannot be there.
//!
//! Does not check whether anything exists.

use std::path::{Component, Path as FilePath};

use object_store::path::Path;
use pipeline::plan::{Location, Plan, PluginRef, SecretRef};
use pipeline::{Objection, code, sqs};
use url::Url;

use super::{Mode, pseudo};

/// The suffix of AWS's host names, in every partition.
const URL_SUFFIX: &str = "${AWS::URLSuffix}";
/// The most characters of a queue's name, without `-aggregate-dead`. A function's, without `-aggregate`, is shorter.
const LONGEST_NAME: usize = 54;

/// A pipeline's places.
#[derive(Clone, Debug)]
pub struct Site {
    /// `aws`, `aws-cn` or `aws-us-gov`: the beginning of ARNs. If the pipeline names no account, this and the next two hold CloudFormation's
    /// pseudo parameters.
    pub(super) partition: &'static str,
    pub(super) region: String,
    pub(super) account: String,
    /// Whether the pipeline names no account, and so fits every one.
    pub(super) is_free: bool,
    /// The base of the names of the queues and of everything else.
    pub name: String,
    /// Where Bronze is.
    pub bronze: Layer,
    /// Where Silver is.
    pub silver: Layer,
    pub(super) gold: Layer,
}

/// Where a layer is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layer {
    /// `bronze`, `silver` or `gold`.
    pub name: &'static str,
    /// The bucket's name.
    pub bucket: String,
    /// Empty for a whole bucket.
    prefix: String,
}

impl Layer {
    /// The key of the object or folder `below` in the layer.
    #[must_use]
    pub fn key(&self, below: &str) -> String {
        match self.prefix.as_str() {
            "" => below.to_owned(),
            prefix => format!("{prefix}/{below}"),
        }
    }

    /// The URL of the object or folder `below` in the layer.
    pub(super) fn url(&self, below: &str) -> String {
        format!("s3://{}/{}", self.bucket, self.key(below))
    }

    /// Its key in `pipeline.toml`.
    pub(super) fn said(&self) -> String {
        format!("lake.{}", self.name)
    }
}

impl Site {
    /// An ARN of the account.
    pub(super) fn arn(&self, service: &str, resource: &str) -> String {
        format!("arn:{}:{service}:{}:{}:{resource}", self.partition, self.region, self.account)
    }

    /// The ARN of a bucket, or of objects in it.
    pub(super) fn bucket_arn(&self, bucket: &str) -> String {
        format!("arn:{}:s3:::{bucket}", self.partition)
    }

    /// The region, if the pipeline names it.
    #[must_use]
    pub fn said_region(&self) -> Option<&str> {
        (!self.is_free).then_some(self.region.as_str())
    }

    /// The name of the log group of `unit`.
    pub(super) fn log_group(&self, unit: &str, mode: Mode) -> String {
        match mode {
            Mode::Lambda => format!("/aws/lambda/{}-{unit}", self.name),
            Mode::Ecs => format!("/ecs/{}-{unit}", self.name),
        }
    }

    /// The queue of ticks that were given up.
    pub(super) fn missed_name(&self) -> String {
        format!("{}-ingest-dead", self.name)
    }

    /// Its ARN.
    pub(super) fn missed(&self) -> String {
        self.arn("sqs", &self.missed_name())
    }

    /// The URL of the queues, in every account.
    pub(super) fn queues(&self) -> String {
        format!("https://sqs.{}.{URL_SUFFIX}/{}/{}", self.region, self.account, self.name)
    }

    /// The layers in the order in which records pass them.
    pub(super) fn layers(&self) -> [&Layer; 3] {
        [&self.bronze, &self.silver, &self.gold]
    }

    /// The buckets, each with its layers.
    #[must_use]
    pub fn buckets(&self) -> Vec<(&str, Vec<&Layer>)> {
        let mut buckets: Vec<(&str, Vec<&Layer>)> = Vec::new();
        for layer in self.layers() {
            match buckets.iter_mut().find(|(bucket, _)| *bucket == layer.bucket) {
                Some((_, layers)) => layers.push(layer),
                None => buckets.push((&layer.bucket, vec![layer])),
            }
        }
        buckets
    }

    /// The name with `_` for characters that databases do not take.
    pub(super) fn database(&self) -> String {
        identifier(&self.name)
    }
}

/// A name as databases take it.
pub(super) fn identifier(name: &str) -> String {
    name.to_lowercase().replace('-', "_")
}

/// The places of `plan`, as far as it has them; an objection names each that is missing.
pub(super) fn site(plan: &Plan, mode: Mode, objections: &mut Vec<Objection>) -> Option<Site> {
    let queues = queues(plan, objections);
    let layer = |name, location, objections: &mut Vec<Objection>| layer(name, location, objections);
    let bronze = layer("bronze", &plan.lake.bronze, objections);
    let silver = layer("silver", &plan.lake.silver, objections);
    let gold = layer("gold", &plan.lake.gold, objections);
    source(plan, objections);
    secrets(plan, objections);
    if mode == Mode::Lambda {
        plugins(plan, objections);
    }
    let Queues { partition, region, account, name, is_free } = queues?;
    Some(Site { partition, region, account, is_free, name, bronze: bronze?, silver: silver?, gold: gold? })
}

fn objection(about: impl Into<String>, message: impl Into<String>, expected: &str, hint: &str) -> Objection {
    let (expected, hint) = (Some(expected.to_owned()), Some(hint.to_owned()));
    Objection { about: about.into(), code: code::NOT_IN_AWS, message: message.into(), expected, hint }
}

fn layer(name: &'static str, location: &Location, objections: &mut Vec<Objection>) -> Option<Layer> {
    let about = format!("lake.{name}");
    let (expected, hint) =
        ("`s3://BUCKET/PREFIX`", "name its place in AWS in a `[target.NAME]`, and deploy with `--target NAME`");
    let Location::Remote(url) = location else {
        objections.push(objection(about, format!("layer {name} is on this machine: `{location}`"), expected, hint));
        return None;
    };
    let prefix = Path::from_url_path(url.path()).ok()?.to_string();
    // S3 wants these escaped in filters and policies, each in its own way: they are refused, so that no pipeline depends on that.
    if let Some(odd) = prefix.chars().find(|letter| !letter.is_ascii_alphanumeric() && !"/-_.".contains(*letter)) {
        let message = format!("`{}` in the place of layer {name}", odd.escape_default());
        let hint = "notifications and policies take it for something else: choose another prefix";
        objections.push(objection(about, message, "a prefix of `a-z`, `A-Z`, `0-9`, `/`, `-`, `_` and `.`", hint));
        return None;
    }
    Some(Layer { name, bucket: url.host_str()?.to_owned(), prefix })
}

/// What `queue.url` says.
struct Queues {
    partition: &'static str,
    region: String,
    account: String,
    name: String,
    is_free: bool,
}

fn queues(plan: &Plan, objections: &mut Vec<Objection>) -> Option<Queues> {
    let expected = "`https://sqs.REGION.amazonaws.com/ACCOUNT/NAME`, or `sqs://NAME` for any account and region";
    let Some(url) = &plan.queue.url else {
        let hint = "`queue.url` says how the queues are called, and may say in which account and region";
        objections.push(objection("queue.url", "the queues are on this machine", expected, hint));
        return None;
    };
    let Some(parts) = queue_parts(url) else {
        let hint = "the queues are made by the stack: their name is yours to choose";
        objections.push(objection("queue.url", format!("`{url}` is no queue of SQS"), expected, hint));
        return None;
    };
    if parts.name.len() > LONGEST_NAME {
        let message = format!("the name `{}` has {} letters", parts.name, parts.name.len());
        let hint = "functions are named from it, and may have 64 letters";
        let expected = format!("at most {LONGEST_NAME}");
        objections.push(Objection { code: code::NOT_DEPLOYABLE, ..objection("queue.url", message, &expected, hint) });
        return None;
    }
    Some(parts)
}

fn queue_parts(url: &Url) -> Option<Queues> {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '-' | '_');
    if let Some(name) = sqs::named(url) {
        let (region, account) = (pseudo::REGION.to_owned(), pseudo::ACCOUNT.to_owned());
        let queues = Queues { partition: pseudo::PARTITION, region, account, name: name.to_owned(), is_free: true };
        return name.chars().all(fits).then_some(queues);
    }
    let host = url.host_str()?.strip_prefix("sqs.")?;
    let region = host.strip_suffix(".amazonaws.com").or_else(|| host.strip_suffix(".amazonaws.com.cn"))?;
    let partition = pseudo::partition(region);
    let (account, name) = url.path().trim_matches('/').split_once('/')?;
    let is_account = account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit());
    let is_name = !name.is_empty() && name.chars().all(fits) && !region.contains('.');
    let (region, account, name) = (region.to_owned(), account.to_owned(), name.to_owned());
    (is_account && is_name).then_some(Queues { partition, region, account, name, is_free: false })
}

fn source(plan: &Plan, objections: &mut Vec<Objection>) {
    if let Location::Local(path) = &plan.source.location {
        let hint = "functions and tasks see no file of yours: upload it, and name it in the target";
        let message = format!("the source is on this machine: `{path}`");
        objections.push(objection("source.uri", message, "`s3://BUCKET/KEY` or `https://…`", hint));
    }
}

fn secrets(plan: &Plan, objections: &mut Vec<Objection>) {
    for (name, secret) in &plan.secrets {
        let what = match secret {
            SecretRef::Env(_) => "an environment variable",
            SecretRef::File(_) => "a file",
            SecretRef::AwsSecretsManager { .. } => continue,
        };
        let hint =
            "who may see a function's settings would see it: put it into Secrets Manager, and name that in the target";
        let message = format!("secret `{name}` is in {what}");
        objections.push(objection(format!("secrets.{name}"), message, "`aws-secretsmanager:NAME#FIELD`", hint));
    }
}

/// Every plugin of the bundle must be within the project.
fn plugins(plan: &Plan, objections: &mut Vec<Objection>) {
    for (stage, settings) in plan.stages() {
        let PluginRef::File(Location::Local(path)) = &settings.plugin else { continue };
        if FilePath::new(path).components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
            continue;
        }
        let message = format!("the plugin of stage `{stage}` is outside of the project: `{path}`");
        let hint = "the bundle holds what is below the folder of the pipeline's file";
        let about = format!("{}.plugin", stage.replace(' ', "."));
        objections.push(objection(about, message, "a relative path without `..`, or `s3://BUCKET/KEY.wasm`", hint));
    }
}
