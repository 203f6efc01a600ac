//! Values at the ends of their types: a record's costs the record, an aggregate's costs its table's next version, and nothing more.
//!
//! Does not test which instants count as such: `lake/instants.rs` does.

use std::sync::Arc;

use bytes::Bytes;
use engine::drivers::service::Service;
use engine::progress::Steps;
use lake::quarantine;
use pipeline::plan::Limits;
use proof::remake::Workshop;
use proof::verify::{Invariant, Report, verify};
use seams::plugin::{Cleaned, ColumnType, Descriptor, ScalarType};
use serde_json::{Value, json};
use testkit::ScriptedHttp;
use testkit::http::answer;
use testkit::plugins::{ClosureAggregator, ClosureCleaner, ClosurePlugins};
use testkit::rows;

use super::world::{Options, TICK, World, orders};

const NEXT: &str = "20260102T030000Z";

/// A cleaner of a date and an instant, both as the document has them.
fn cleaner() -> ClosureCleaner {
    let column = |name: &str, scalar| rows::output(name, ColumnType::Scalar(scalar));
    let descriptor = Descriptor {
        output: vec![
            column("group", ScalarType::Utf8),
            column("n", ScalarType::Int64),
            column("day", ScalarType::Date32),
            column("at", ScalarType::Timestamp),
        ],
        ..rows::descriptor("clean-dated", "1.0.0")
    };
    ClosureCleaner::new(descriptor.clone(), move |_, documents| {
        let made: Vec<Value> = documents.iter().map(|document| serde_json::from_slice(document).unwrap()).collect();
        let row_of = (0..made.len()).collect();
        Ok(Cleaned { rows: rows::batch(&descriptor, &made), row_of, rejects: Vec::new(), skips: Vec::new() })
    })
}

/// An aggregator of the greatest day, or of none that there is when an order is number 77.
fn latest() -> ClosureAggregator {
    use arrow::array::AsArray;
    let column = |name: &str, scalar| rows::output(name, ColumnType::Scalar(scalar));
    let input = |name: &str, scalar| rows::input(name, ColumnType::Scalar(scalar));
    let descriptor = Descriptor {
        input: vec![input("n", ScalarType::Int64)],
        output: vec![column("day", ScalarType::Date32)],
        ..rows::descriptor("latest", "1.0.0")
    };
    let greatest = |partials: &[Bytes]| {
        let all = partials.iter().map(|partial| String::from_utf8_lossy(partial).parse::<i64>().unwrap());
        all.max().unwrap_or_default()
    };
    ClosureAggregator::new(
        descriptor.clone(),
        |_, batches| {
            let values = batches.iter().flat_map(|batch| {
                let n = batch.column_by_name("n").unwrap().as_primitive::<arrow::datatypes::Int64Type>();
                n.iter().flatten().collect::<Vec<_>>()
            });
            Ok(Bytes::from(values.max().unwrap_or_default().to_string()))
        },
        move |_, partials| Ok(Bytes::from(greatest(partials).to_string())),
        move |_, partials| {
            let day = if greatest(partials) == 77 { i64::from(i32::MIN) } else { 19_000 };
            Ok(rows::batch(&descriptor, &[json!({ "day": day })]))
        },
    )
}

/// A host with these plugins, and a service whose orders are at the ends: o3 by its date, o4 by its instant.
async fn host(world: &World, source: &str) -> Service {
    let http = ScriptedHttp::new(|request, _| {
        let id = request.url.path().trim_start_matches("/orders/").to_owned();
        let n: i64 = id.trim_start_matches('o').parse().unwrap();
        let day = if n == 3 { i64::from(i32::MIN) } else { 19_000 };
        let at = if n == 4 { i64::MIN } else { 1_700_000_000_000_000 };
        Ok(answer(200, json!({ "id": id, "group": "g", "n": n, "day": day, "at": at }).to_string()))
    });
    let tables = vec![("latest", latest())];
    let options = Options { source: source.into(), cleaner: Some(cleaner()), tables, ..Options::default() };
    world.host(&options, http).await
}

async fn verified(world: &World, service: &Service) -> Report {
    let plugins = ClosurePlugins::default();
    plugins.add_cleaner(cleaner());
    plugins.add_aggregator(latest());
    plugins.add_enricher(super::world::enricher("1.0.0", false));
    let workshop = Workshop::open(&world.lake, Arc::new(plugins), Limits::default()).await.unwrap();
    verify(service, workshop, &Steps::default()).await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn a_date_at_its_types_end_costs_its_record_and_in_gold_the_table_keeps_its_last_version() {
    let world = World::new(&Options::default());
    let service = host(&world, &orders(6)).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(ended.left.is_nothing(), "{ended:?}");
    let refused = quarantine::all(&world.lake).await.unwrap();
    let mut told: Vec<(String, String, String)> =
        refused.into_iter().map(|one| (one.key.unwrap().to_string(), one.code, one.reason)).collect();
    told.sort();
    assert_eq!(
        told.iter().map(|(key, code, _)| (key.as_str(), code.as_str())).collect::<Vec<_>>(),
        [("o3", "P171"), ("o4", "P171")]
    );
    assert!(told[0].2.contains("column `day`") && told[1].2.contains("column `at`"), "{told:?}");
    assert_eq!(service.clean.silver.snapshot().await.unwrap().rows, 4);
    assert_eq!(verified(&world, &service).await.findings, []);
    let gold = &service.aggregate.tables[0].gold;
    let good = gold.current().await.unwrap();

    // An order comes for which the aggregator makes no date that there is.
    let more = "id,group,n\no77,g,77\n";
    let later = host(&world, more).await;
    let ended = world.once(&later, NEXT).await.unwrap();
    let told = &ended.left.tables_behind["latest"];
    assert!(told.contains("P171") && told.contains("column `day`") && ended.left.missing.is_nothing(), "{ended:?}");
    assert_eq!(later.aggregate.tables[0].gold.current().await.unwrap(), good, "the last good version stays");
    let report = verified(&world, &later).await;
    assert!(report.findings.iter().all(|one| one.invariant == Invariant::V9 && one.at == "gold latest"), "{report:?}");
    assert_eq!(report.findings.len(), 1, "{report:?}");
    // And it starts again, to the same end.
    let again = host(&world, more).await;
    assert!(world.once(&again, NEXT).await.unwrap().left.tables_behind.contains_key("latest"));
}
