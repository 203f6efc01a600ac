//! Fuzz targets: each takes arbitrary bytes as one kind of outside input and gives them to the code that reads it. A panic, an abort,
//! a hang or too much memory is a finding; an error is not.
//!
//! `cargo xtask fuzz` runs them with libFuzzer. `cargo xtask test` runs the kept inputs and some changed ones. Does not check what
//! valid input means: the tests of each reader do.

mod delta;

use bytes::Bytes;
use engine::roles::source;
use lake::bronze;
use lake::events;
use pipeline::plan::Source;
use pipeline::{Overrides, examine};
use seams::store::Path;
use url::Url;

pub use delta::delta_log;
pub use runtime::fuzzing::{columns, descriptor, frames as worker_frames};

/// A target: its name, and its function.
pub type Target = (&'static str, fn(&[u8]));

/// All targets. Each has a program of its name in `targets/` and a folder in `corpus/`.
pub const TARGETS: [Target; 9] = [
    ("descriptor", descriptor),
    ("columns", columns),
    ("pipeline", pipeline),
    ("source_csv", source_csv),
    ("source_json", source_json),
    ("s3_events", s3_events),
    ("worker_frames", worker_frames),
    ("queue_bodies", queue_bodies),
    ("delta_log", delta_log),
];

/// A `pipeline.toml`.
pub fn pipeline(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    for target in [None, Some("aws".to_owned())] {
        match examine("p.toml", text, &Overrides { target, set: Vec::new() }) {
            Ok(checked) => assert!(checked.plan.describe().starts_with('{')),
            Err(problems) => {
                assert!(!problems.as_slice().is_empty());
                assert!(!problems.to_colored().is_empty());
            }
        }
    }
}

/// A source of CSV. The first byte chooses the settings.
pub fn source_csv(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    let settings = ["", "format = \"csv\"", "delimiter = \";\"", "order_by = \"id\"", "order_by = \"n desc\""];
    read_source("a.csv", chosen(&settings, *choice), data);
}

/// A source of JSON: one document, or one a line. The first byte chooses which.
pub fn source_json(data: &[u8]) {
    let Some((choice, data)) = data.split_first() else { return };
    read_source(chosen(&["a.json", "a.jsonl"], *choice), chosen(&["", "order_by = \"n desc\""], *choice / 2), data);
}

fn chosen<'a>(from: &[&'a str], choice: u8) -> &'a str {
    from.iter().cycle().nth(usize::from(choice)).copied().unwrap_or_default()
}

fn read_source(name: &str, settings: &str, data: &[u8]) {
    let Some(plan) = source_of(name, settings) else { return };
    let bytes = Bytes::copy_from_slice(data);
    let _ = source::columns(&plan, &bytes);
    match source::read(&plan, &bytes) {
        Ok(reading) => assert!(reading.records.len() <= plan.top_n.get()),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// The `[source]` of a pipeline file; none if this version has no such setting.
fn source_of(name: &str, settings: &str) -> Option<Source> {
    let text = format!(
        "[pipeline]\nname = \"orders\"\n[source]\nuri = \"{name}\"\nkey = [\"id\"]\n{settings}\n[clean]\nplugin = \"p\"\n"
    );
    examine("p.toml", &text, &Overrides::default()).ok().map(|checked| checked.plan.source)
}

/// An event of AWS: a batch of SQS with notifications of S3 in it, a tick of a schedule, or one notification.
pub fn s3_events(data: &[u8]) {
    let (Ok(bronze), Ok(silver)) = (Url::parse("s3://acme-lake/bronze"), Url::parse("s3://acme-lake/silver")) else {
        return;
    };
    let _ = aws::events::tick(data);
    let _ = aws::events::notification(data);
    let mut bodies = vec![Bytes::copy_from_slice(data)];
    if let Ok(records) = aws::events::batch(data) {
        bodies.extend(records.into_iter().map(|record| record.body));
    }
    for body in &bodies {
        let _ = aws::events::to_clean(&bronze, body);
        let _ = aws::events::to_aggregate(&silver, body);
    }
}

/// A message's body in each of the queues, and an object of Bronze that it names.
pub fn queue_bodies(data: &[u8]) {
    let body = Bytes::copy_from_slice(data);
    let _ = events::object_of(&body);
    let _ = events::decode::<events::NewObject>(&body);
    let _ = events::decode::<events::NewVersion>(&body);
    let lake = delta::empty_lake();
    let _ = delta::wait(events::enrich_work(&lake, &body));
    let _ = bronze::lines(&Path::from("run=20260101T000000Z/batch=0-a.jsonl"), &body);
}
