//! Every adapter of this crate through the suite of its seam, against two emulators of AWS: as many tests on each as its embedded twin has.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]

mod real_clock;

use std::sync::Arc;

use aws::{Cloud, ManagerSecrets, S3Options, S3Store, SqsOptions, SqsQueue};
use aws_config::{BehaviorVersion, Region};
use aws_emulator::Emulator;
use aws_sdk_sqs::types::QueueAttributeName;
use real_clock::RealClock;
use seams::clock::Clock;
use seams::secrets::SecretRef;
use testkit::conformance::queue::QueueRig;
use testkit::conformance::secrets::SecretsRig;
use testkit::conformance::store::StoreRig;
use testkit::conformance::waited;
use url::Url;

/// The emulator, and a name that no other test has.
struct Account {
    emulator: Emulator,
    config: aws_config::SdkConfig,
    cloud: Cloud,
    name: String,
}

/// Which emulator.
type Target = fn(&'static str) -> Emulator;

async fn account(target: Target) -> Account {
    let emulator = target(env!("CARGO_TARGET_TMPDIR"));
    let credentials = aws_sdk_s3::config::Credentials::new("test", "test", None, None, "test");
    let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
        .region(Region::new("us-east-1"))
        .endpoint_url(emulator.url())
        .credentials_provider(credentials)
        .load()
        .await;
    let cloud = Cloud::of(config.clone()).unwrap();
    Account { emulator, config, cloud, name: format!("t-{}", uuid::Uuid::new_v4().simple()) }
}

async fn store(target: Target, options: S3Options) -> StoreRig {
    let account = account(target).await;
    let path_style = aws_sdk_s3::config::Builder::from(&account.config).force_path_style(true).build();
    let s3 = aws_sdk_s3::Client::from_conf(path_style);
    s3.create_bucket().bucket(&account.name).send().await.unwrap();
    // Another prefix holds an object as well, which no suite may see.
    let beside = s3.put_object().bucket(&account.name).key("lake/bronze-beside/object");
    beside.body(b"x".to_vec().into()).send().await.unwrap();
    let url = Url::parse(&format!("s3://{}/lake/bronze", account.name)).unwrap();
    let store = S3Store::open_with(&account.cloud, &url, options).unwrap();
    StoreRig { store, keep: Box::new(account.emulator) }
}

async fn made(account: &Account, name: &str, dead: Option<&str>) -> Url {
    let sqs = aws_sdk_sqs::Client::new(&account.config);
    let mut call = sqs
        .create_queue()
        .queue_name(format!("{}-{name}", account.name))
        .attributes(QueueAttributeName::VisibilityTimeout, "1")
        .attributes(QueueAttributeName::MaximumMessageSize, "4096");
    if let Some(dead) = dead {
        let arn = format!("arn:aws:sqs:us-east-1:000000000000:{}-{dead}", account.name);
        let policy = format!(r#"{{"deadLetterTargetArn":"{arn}","maxReceiveCount":"3"}}"#);
        call = call.attributes(QueueAttributeName::RedrivePolicy, policy);
    }
    Url::parse(call.send().await.unwrap().queue_url().unwrap()).unwrap()
}

async fn queue(target: Target) -> QueueRig {
    let account = account(target).await;
    let clock: Arc<dyn Clock> = Arc::new(RealClock);
    let dead = made(&account, "work-dead", None).await;
    let live = made(&account, "work", Some("work-dead")).await;
    let open = async |url: &Url, received_before| {
        let options = SqsOptions { received_before };
        SqsQueue::open(&account.cloud, url, options, Arc::clone(&clock)).await.unwrap()
    };
    QueueRig {
        queue: Arc::new(open(&live, 0).await),
        dead_letters: Arc::new(open(&dead, 3).await),
        max_receives: 3,
        max_message: 4096,
        finds_equals: false,
        tells_oldest: false,
        pass: waited(clock),
        keep: Box::new(account.emulator),
    }
}

async fn secrets(target: Target, field: Option<&'static str>) -> SecretsRig {
    let account = account(target).await;
    let manager = aws_sdk_secretsmanager::Client::new(&account.config);
    let held = move |value: &str| match field {
        Some(field) => format!(r#"{{"{field}": "{value}", "other": "of no concern"}}"#),
        None => value.to_owned(),
    };
    manager.create_secret().name(&account.name).secret_string(held("the-value")).send().await.unwrap();
    let reference = |name: &str| SecretRef::AwsSecretsManager { name: name.into(), field: field.map(str::to_owned) };
    let name = account.name.clone();
    let rotate = move |value: &str| {
        let call = manager.put_secret_value().secret_id(&name).secret_string(held(value));
        let put = async { call.send().await.map(drop).unwrap() };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(put));
    };
    SecretsRig {
        secrets: Arc::new(ManagerSecrets::new(&account.cloud, Arc::new(RealClock))),
        present: (reference(&account.name), "the-value".into()),
        missing: reference("no/such"),
        unavailable: SecretRef::Env("OF_THIS_MACHINE".into()),
        rotate: Box::new(rotate),
        keep: Box::new(account.emulator),
    }
}

/// All suites on one emulator.
macro_rules! suites {
    ($name:ident, $target:expr) => {
        mod $name {
            mod s3_store {
                use crate::*;

                testkit::store_conformance!(async || store($target, S3Options::default()).await);
            }

            mod sqs_queue {
                use crate::*;

                testkit::queue_conformance!(async || queue($target).await);
            }

            mod manager_secrets {
                use crate::*;

                testkit::secrets_conformance!(async || secrets($target, None).await);

                /// The same for a field of a JSON object.
                mod field {
                    use crate::*;

                    testkit::secrets_conformance!(async || secrets($target, Some("key")).await);
                }
            }
        }
    };
}

/// The same with every body in parts, but for the smallest. The second emulator heeds no `If-Match` of a body in parts.
mod in_parts {
    use crate::*;

    testkit::store_conformance!(async || store(Emulator::shared, S3Options { in_parts_above: 3, part: 5 << 20 }).await);
}

suites!(ministack, Emulator::shared);
suites!(moto, Emulator::moto);
