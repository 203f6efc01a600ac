//! The columns of a source at a tick: one that is read and missing stops it, unless that may be meant.
//!
//! Does not test which columns are near which: `contract::columns` does.

use std::sync::Arc;

use engine::contract::columns::Reader;
use engine::drivers::service::Service;
use engine::roles::ingest::earlier;
use lake::failure::Failure;
use pipeline::plan::SourceFormat;
use seams::plugin::{ColumnType, ScalarType};
use testkit::{ScriptedHttp, rows};

use super::world::{Options, TICK, World, good};

const NEXT: &str = "20260102T030000Z";

/// A host that reads these columns of a source.
async fn host(world: &World, source: &str, format: SourceFormat, reads: &[&str], optional: &[&str]) -> Service {
    let options = Options { source: source.to_owned(), ..Options::default() };
    let mut service = world.host(&options, ScriptedHttp::new(|request, _| Ok(good(&request.url)))).await;
    let mut descriptor = rows::descriptor("tidy", "1.0.0");
    descriptor.input = reads.iter().map(|name| rows::input(name, ColumnType::Scalar(ScalarType::Utf8))).collect();
    let ingest = Arc::get_mut(&mut service.ingest).unwrap();
    ingest.source.format = format;
    ingest.source.optional = optional.iter().map(|name| (*name).to_owned()).collect();
    ingest.reads.set(Reader::cleaner(&descriptor));
    service
}

#[track_caller]
fn refused(outcome: Result<impl std::fmt::Debug, Failure>) -> String {
    match outcome {
        Err(Failure::Fatal(words)) => words,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn a_column_that_earlier_ticks_had_stops_the_tick_and_what_is_new_is_named() {
    let world = World::new(&Options::default());
    let reads = ["id", "group", "n"];
    let first = host(&world, "id,group,n\no1,g1,1\n", SourceFormat::Csv, &reads, &[]).await;
    world.once(&first, TICK).await.unwrap();
    assert_eq!(earlier(&world.lake).await.unwrap().into_iter().collect::<Vec<_>>(), ["group", "id", "n"]);

    let renamed = "id,team,n\no1,g1,1\n";
    let next = host(&world, renamed, SourceFormat::Csv, &reads, &[]).await;
    let words = refused(next.ingest.fire(NEXT.parse_tick()).await);
    assert!(words.contains("column `group`") && words.contains("new since then is `team`"), "{words}");
    assert!(words.contains("optional = [\"group\"]"), "{words}");
    assert_eq!(next.last_tick().await.unwrap().unwrap().to_string(), TICK, "nothing was taken");

    let meant = host(&world, renamed, SourceFormat::Csv, &reads, &["group"]).await;
    assert_eq!(meant.ingest.fire(NEXT.parse_tick()).await.unwrap().records, 1);
}

#[tokio::test(start_paused = true)]
async fn a_column_of_another_case_or_with_a_blank_stops_the_first_tick() {
    for (header, near) in [("id,Group,n", "`Group`"), ("id, group,n", "` group` (with a blank in front)")] {
        let world = World::new(&Options::default());
        let source = format!("{header}\no1,g1,1\n");
        let service = host(&world, &source, SourceFormat::Csv, &["id", "group"], &[]).await;
        let words = refused(service.ingest.fire(TICK.parse_tick()).await);
        assert!(words.contains(&format!("did you mean {near}?")), "{words}");
        let looked = refused(service.ingest.look().await);
        assert_eq!(looked, words, "who only looks is told the same");
    }
}

#[tokio::test(start_paused = true)]
async fn of_json_a_field_that_no_record_has_counts_and_one_that_a_few_lack_does_not() {
    let world = World::new(&Options::default());
    let some = "{\"id\":\"o1\",\"n\":\"1\"}\n{\"id\":\"o2\",\"group\":\"g\"}\n";
    let service = host(&world, some, SourceFormat::JsonLines, &["id", "group", "n"], &[]).await;
    assert_eq!(service.ingest.look().await.unwrap().1, []);
    let none = "{\"id\":\"o1\",\"Group\":\"1\"}\n{\"id\":\"o2\",\"Group\":\"g\"}\n";
    let service = host(&world, none, SourceFormat::JsonLines, &["id", "group"], &[]).await;
    assert!(refused(service.ingest.look().await).contains("did you mean `Group`?"));
    let empty = host(&world, "id,group\n", SourceFormat::Csv, &["id", "group"], &[]).await;
    assert_eq!(empty.ingest.look().await.unwrap().1, [], "a header is enough");
}

#[tokio::test(start_paused = true)]
async fn a_column_that_was_never_there_is_told_and_the_tick_goes_on() {
    let world = World::new(&Options::default());
    let service = host(&world, "id,n\no1,1\n", SourceFormat::Csv, &["id", "remarks"], &[]).await;
    let (_, missing) = service.ingest.look().await.unwrap();
    assert_eq!(missing[0].columns, ["remarks"]);
    assert_eq!(service.ingest.fire(TICK.parse_tick()).await.unwrap().records, 1);
}

trait ParseTick {
    fn parse_tick(&self) -> records::keys::Tick;
}

impl ParseTick for str {
    fn parse_tick(&self) -> records::keys::Tick {
        records::keys::Tick::parse(self).unwrap()
    }
}
