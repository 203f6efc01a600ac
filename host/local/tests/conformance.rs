//! Every adapter of this crate through the suite of its seam.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]

use std::num::NonZeroU32;
use std::sync::Arc;
use std::time::Duration;

use local::{DirStore, HttpOptions, LocalSecrets, Proxies, QueueOptions, ReqwestHttp, SqliteQueues, SystemClock};
use seams::clock::Clock;
use seams::secrets::SecretRef;
use testkit::SimClock;
use testkit::conformance::clock::ClockRig;
use testkit::conformance::http::HttpRig;
use testkit::conformance::loopback::Loopback;
use testkit::conformance::queue::QueueRig;
use testkit::conformance::secrets::SecretsRig;
use testkit::conformance::store::StoreRig;
use testkit::conformance::{PassTime, simulated, waited};

async fn queue_rig(clock: Arc<dyn Clock>, pass: PassTime, visibility: Duration) -> QueueRig {
    let folder = tempfile::tempdir().unwrap();
    let queues = SqliteQueues::open(folder.path().join("state/queue.db"), clock).await.unwrap();
    let options = QueueOptions { visibility, max_message: 4096, ..QueueOptions::default() };
    let dead_letters = queues.queue("work-dead", options.clone());
    let max_receives = NonZeroU32::new(3).unwrap();
    let queue = queues.queue("work", QueueOptions { max_receives, dead_letters: Some("work-dead".into()), ..options });
    QueueRig {
        queue: Arc::new(queue),
        dead_letters: Arc::new(dead_letters),
        max_receives: 3,
        max_message: 4096,
        finds_equals: true,
        tells_oldest: true,
        pass,
        keep: Box::new(folder),
    }
}

mod sqlite_queue {
    use super::*;

    testkit::queue_conformance!(async || {
        let clock = Arc::new(SimClock::default());
        let pass = simulated(&clock);
        queue_rig(clock, pass, Duration::from_secs(30)).await
    });
}

/// The same on real time, as it runs outside of tests.
mod sqlite_queue_in_real_time {
    use super::*;

    testkit::queue_conformance!(async || queue_rig(
        Arc::new(SystemClock),
        waited(Arc::new(SystemClock)),
        Duration::from_secs(1)
    )
    .await);
}

mod dir_store {
    use super::*;

    testkit::store_conformance!(async || {
        let folder = tempfile::tempdir().unwrap();
        let store = DirStore::open(folder.path().join("lake/bronze")).unwrap();
        StoreRig { store, keep: Box::new(folder) }
    });
}

mod secrets_in_files {
    use super::*;

    testkit::secrets_conformance!(async || {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key.txt");
        std::fs::write(&file, "the-value\n").unwrap();
        SecretsRig {
            secrets: Arc::new(LocalSecrets::new(folder.path())),
            present: (SecretRef::File("key.txt".into()), "the-value".into()),
            missing: SecretRef::File("no/such.txt".into()),
            unavailable: SecretRef::AwsSecretsManager { name: "prod/key".into(), field: None },
            rotate: Box::new(move |value| std::fs::write(&file, format!("{value}\r\n")).unwrap()),
            keep: Box::new(folder),
        }
    });
}

mod reqwest_http {
    use super::*;

    testkit::http_conformance!(async || {
        let options = HttpOptions { proxies: Proxies::Direct, ..HttpOptions::default() };
        HttpRig { http: Arc::new(ReqwestHttp::new(options)), server: Loopback::start().await }
    });
}

mod system_clock {
    use super::*;

    testkit::clock_conformance!(async || {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        ClockRig { pass: waited(Arc::clone(&clock)), clock, keep: Box::new(()) }
    });
}
