//! Lines of a source that are no record, digits on their way through the lake, and lakes that hold unreadable text.

use std::sync::Arc;

use engine::drivers::service::Service;
use engine::progress::Steps;
use lake::bronze;
use lake::failure::Failure;
use lake::quarantine::{self, REFUSED_LINE};
use pipeline::plan::{OrderBy, SourceFormat};
use proof::repair::repair;
use records::keys::{Key, Tick};
use seams::store::{Path, read, replace};
use testkit::http::ScriptedHttp;

use crate::world::{Options, TICK, World, good};

/// A host that reads JSON Lines and has no enrich plugin: the record is the document.
async fn host(world: &World, lines: &str) -> Service {
    let options = Options { source: lines.to_owned(), ..Options::default() };
    let http = ScriptedHttp::new(|request, _| Ok(good(&request.url)));
    let mut service = world.host(&options, http).await;
    Arc::get_mut(&mut service.ingest).unwrap().source.format = SourceFormat::JsonLines;
    Arc::get_mut(&mut service.enrich).unwrap().plugin = None;
    service
}

fn order(n: usize) -> String {
    format!("{{\"id\":\"o{n}\",\"group\":\"g{}\",\"n\":{n}}}\n", n % 3)
}

async fn objects(world: &World) -> Vec<(Path, String)> {
    let tick = Tick::parse(TICK).unwrap();
    let mut all = Vec::new();
    for object in bronze::inventory(&world.lake, Some(tick)).await.unwrap().objects {
        let bytes = read(&*world.lake.bronze, &object).await.unwrap();
        all.push((object, String::from_utf8(bytes.to_vec()).unwrap()));
    }
    all
}

#[tokio::test(start_paused = true)]
async fn a_bad_line_waits_in_quarantine_with_its_number_and_text_and_the_others_flow() {
    let world = World::new(&Options::default());
    let deep = format!("{{\"id\":\"o9\",\"j\":{}{}}}", "[".repeat(125), "]".repeat(125));
    let bad = ["{\"id\":\"o7\",\"n\":NaN}", "{\"id\":\"o8\",\"_meta\":{\"source\":\"crm\"}}", deep.as_str()];
    let text = format!("{}{}\n{}\n{}\n{}", order(0), bad[0], bad[1], bad[2], order(1));
    let service = host(&world, &text).await;
    let ended = world.once(&service, TICK).await.unwrap();
    assert!(ended.left.missing.is_nothing());
    assert_eq!((ended.fired.records, ended.fired.refused, ended.fired.total), (2, 3, Some(2)));
    let mut refused = quarantine::all(&world.lake).await.unwrap();
    refused.sort_by_key(|one| one.line.as_ref().unwrap().number);
    let found: Vec<_> = refused.iter().map(|one| (one.line.as_ref().unwrap().number, one.code.as_str())).collect();
    assert_eq!(found, [(2, "R006"), (3, "R006"), (4, "R006")]);
    for (one, text) in refused.iter().zip(bad) {
        assert_eq!(one.line.as_ref().unwrap().text, text);
        assert!(one.key.is_none() && one.record.is_empty() && one.reason.starts_with("line "), "{one:?}");
    }
    assert_eq!(world.sums(&service).await.values().sum::<i64>(), 1);
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn a_source_with_too_many_bad_lines_fails_its_tick_keeps_nothing_and_the_mended_one_is_taken() {
    let world = World::new(&Options::default());
    let line = |n: usize| if n.is_multiple_of(4) { "{\"id\":\n".to_owned() } else { order(n) };
    let text: String = (0..80).map(line).collect();
    let service = host(&world, &text).await;
    let failure = world.once(&service, TICK).await.unwrap_err();
    assert!(
        matches!(&failure, Failure::Fatal(text) if text.contains("20 of 80 lines") && text.contains("hint: ")),
        "{failure}"
    );
    assert!(objects(&world).await.is_empty() && quarantine::ids(&world.lake).await.unwrap().is_empty());
    let service = host(&world, &(0..80).map(order).collect::<String>()).await;
    assert_eq!(world.once(&service, TICK).await.unwrap().fired.records, 80);
}

#[tokio::test(start_paused = true)]
async fn digits_are_in_bronze_as_the_source_has_them_and_tell_keys_apart() {
    let world = World::new(&Options::default());
    let ids = [
        "9007199254740993",
        "9007199254740992",
        "18446744073709551616",
        "18446744073709551617",
        "100000000000000000001",
    ];
    let line = |id: &&str| {
        format!("{{\"id\":{id},\"group\":\"g0\",\"n\":1,\"j\":[0.12345678901234567890, 1e-400,-0.0,1.10]}}\n")
    };
    let service = host(&world, &ids.iter().map(line).collect::<String>()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty());
    let all = objects(&world).await;
    for id in ids {
        let found = service.clean.silver.find(Key::from_text(id).as_str()).await.unwrap();
        assert_eq!(found.num_rows(), 1, "{id}");
        let values = "\"group\":\"g0\",\"n\":1,\"j\":[0.12345678901234567890,1e-400,-0.0,1.10]";
        let (document, record) =
            (format!("{{\"id\":{id},{values},\"_meta\""), format!("\"record\":{{\"id\":{id},{values}}}"));
        assert!(all.iter().any(|(_, text)| text.contains(&document) && text.contains(&record)), "{all:?}");
    }
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn records_are_ordered_by_every_digit_and_words_are_counted() {
    let world = World::new(&Options::default());
    let line = |n: &str| format!("{{\"id\":\"{n}\",\"group\":\"g0\",\"n\":1,\"v\":{n}}}\n");
    let text: String = ["9007199254740992", "9007199254740993"].map(line).concat();
    let text = format!("{text}{}", "{\"id\":\"w\",\"group\":\"g0\",\"n\":1,\"v\":\"n/a\"}\n");
    let mut service = host(&world, &text).await;
    let source = &mut Arc::get_mut(&mut service.ingest).unwrap().source;
    source.order_by = Some(OrderBy { column: "v".into(), descending: true });
    source.top_n = std::num::NonZeroUsize::MIN;
    let fired = world.once(&service, TICK).await.unwrap().fired;
    assert_eq!((fired.records, fired.total, fired.not_numbers), (1, Some(3), 1));
    assert!(objects(&world).await[0].1.contains("\"id\":\"9007199254740993\""));
}

/// A lake as an earlier host left it: a document with a `_meta` of its own, in front of the host's.
async fn spoilt(world: &World) -> Service {
    let service = host(world, &(0..4).map(order).collect::<String>()).await;
    service.ingest.fire(Tick::parse(TICK).unwrap()).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let (object, text) = objects(world).await.remove(0);
    let spoilt = text.replacen(",\"_meta\":", ",\"_meta\":{\"source\":\"crm\"},\"_meta\":", 1);
    assert_ne!(spoilt, text);
    replace(&*world.lake.bronze, &object, spoilt.into()).await.unwrap();
    service
}

#[tokio::test(start_paused = true)]
async fn a_lake_with_a_line_that_nobody_reads_is_repaired_and_works_again() {
    let world = World::new(&Options::default());
    let service = spoilt(&world).await;
    let report = world.verify(&service).await;
    assert!(
        report.findings.iter().any(|finding| finding.message.contains("`sluicebox repair`")),
        "{:?}",
        report.findings
    );
    let steps = Steps::default();
    let found = repair(&service, false, &steps).await.unwrap();
    assert_eq!((found.unreadable.len(), found.other.len()), (1, 0));
    assert_eq!(found.unreadable[0].key, Some(Key::from_text("o0")));
    assert!(quarantine::ids(&world.lake).await.unwrap().is_empty(), "looking changes nothing");
    repair(&service, true, &steps).await.unwrap();
    assert!(repair(&service, false, &steps).await.unwrap().is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!((refused.len(), refused[0].id.as_str()), (1, found.unreadable[0].id.as_str()));
    assert!(refused[0].line.as_ref().unwrap().text.contains("\"_meta\":{\"source\":\"crm\"}"));
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{:?}", report.findings);
    assert_eq!(world.sums(&service).await.values().sum::<i64>(), 1 + 2 + 3);
}

#[tokio::test(start_paused = true)]
async fn lines_that_are_cut_off_come_back_from_what_the_tick_took() {
    let world = World::new(&Options::default());
    let service = host(&world, &(0..3).map(order).collect::<String>()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let (object, text) = objects(&world).await.remove(0);
    let cut = text.find('\n').unwrap() + 20;
    replace(&*world.lake.bronze, &object, text[..cut].to_owned().into()).await.unwrap();
    let found = repair(&service, true, &Steps::default()).await.unwrap();
    let keys: Vec<_> = found.unreadable.iter().map(|line| (line.line, line.key.clone().unwrap().to_string())).collect();
    assert_eq!(keys, [(2, "o1".to_owned()), (3, "o2".to_owned())]);
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{:?}", report.findings);
}

#[tokio::test(start_paused = true)]
async fn a_deep_record_of_an_earlier_host_is_read() {
    let world = World::new(&Options::default());
    let service = host(&world, &(0..3).map(order).collect::<String>()).await;
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let (object, text) = objects(&world).await.remove(0);
    // 126 levels passed at the door then, and within `_meta.record` no reader took them.
    let deep = format!("{}{}", "[".repeat(126), "]".repeat(126));
    let text = text.replace("\"n\":0", &format!("\"n\":0,\"j\":{deep}"));
    replace(&*world.lake.bronze, &object, text.into()).await.unwrap();
    let lines = bronze::lines(&object, &read(&*world.lake.bronze, &object).await.unwrap()).unwrap();
    assert_eq!(lines[0].meta.record.get("j").unwrap().get(), deep);
    let service = host(&world, &(0..3).map(order).collect::<String>()).await;
    assert!(world.once(&service, "20260101T040000Z").await.unwrap().left.missing.is_nothing());
}

#[tokio::test(start_paused = true)]
async fn what_a_queue_still_holds_of_an_earlier_host_is_refused_and_not_written() {
    let world = World::new(&Options::default());
    let service = host(&world, &order(1)).await;
    let record = serde_json::from_str(r#"{"id":"o2","group":"g0","n":2,"_meta":{"source":"crm"}}"#).unwrap();
    let entry = bronze::Entry { key: Key::from_text("o2"), record };
    let tick = Tick::parse(TICK).unwrap();
    let message = bronze::Message::new("orders", tick, 7, vec![entry]);
    let (messages, _) = bronze::keep_snapshot(&world.lake, tick, "old", vec![message]).await.unwrap();
    engine::roles::ingest::send(&world.lake, &*world.queues.enrich.live, messages).await.unwrap();
    assert!(world.once(&service, TICK).await.unwrap().left.missing.is_nothing());
    let refused = quarantine::all(&world.lake).await.unwrap();
    assert_eq!((refused.len(), refused[0].code.as_str()), (1, REFUSED_LINE));
    assert!(refused[0].reason.contains("`_meta` has a name that is reserved"), "{}", refused[0].reason);
    let report = world.verify(&service).await;
    assert!(report.is_clean(), "{:?}", report.findings);
}
