//! The shipped plugins and the echoing enricher through the seam: documents to rows, rows to tables, records to steps.
//!
//! Does not test the plugins' rules: their own crates do, natively.

// Tests read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

#[path = "../../host/runtime/tests/support/mod.rs"]
mod support;

use std::sync::Arc;
use std::time::Duration;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use bytes::Bytes;
use pipeline::plan::Limits;
use seams::http::HttpAnswer;
use seams::plugin::{Aggregator, Enricher, FaultKind, Grants, Plugins, Step};
use support::{component, grants, plugins, said};

async fn echo(config: &str) -> Arc<dyn Enricher> {
    plugins().enricher(component(artifacts::echo_enricher()), &grants(config)).await.unwrap()
}

#[tokio::test]
async fn an_enricher_asks_and_then_hands_over_a_document() {
    let enricher = echo(r#"{"ask":true}"#).await;
    let Step::Fetch(requests) = enricher.enrich(r#"{"k":1}"#, &[]).await.unwrap() else { panic!("no request") };
    assert_eq!((requests[0].endpoint.as_str(), requests[0].path.as_str()), ("echo", "a/b"));
    assert_eq!(requests[0].query, [("q".to_owned(), r#"{"k":1}"#.to_owned())]);
    let body = Bytes::from_static(br#"{"answer":42}"#);
    let answer = HttpAnswer { status: 200, headers: vec![("content-type".into(), "application/json".into())], body };
    assert_eq!(enricher.enrich("{}", &[answer]).await.unwrap(), Step::Done(r#"{"answer":42}"#.into()));
}

#[tokio::test]
async fn a_document_that_is_none_is_bad_output() {
    let deep = format!("{{\"a\":{}{}}}", "[".repeat(200_000), "]".repeat(200_000));
    let cases = [
        ("[]", "found a list, expected an object"),
        ("{", "EOF"),
        (r#"{"_meta":1}"#, "column `_meta` has a name that is reserved"),
        (r#"{"a":1,"a":2}"#, "there twice"),
        (&deep, "levels"),
    ];
    let enricher = echo("{}").await;
    for (document, part) in cases {
        let fault = enricher.enrich(document, &[]).await.unwrap_err();
        assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P171"), "{}", said(&fault));
        assert!(fault.message.contains(part), "{}", said(&fault));
    }
}

fn document(title: &str, year: u32, votes: &str, genres: &str, director: &str) -> Bytes {
    Bytes::from(format!(
        r#"{{"Title":"{title}","Year":"{year}","Runtime":"142 min","Genre":"{genres}","Director":"{director}","imdbRating":"8.1",
            "imdbVotes":"{votes}","Type":"movie","Response":"True","_meta":{{"key":"x"}}}}"#
    ))
}

fn documents(count: u32) -> Vec<Bytes> {
    let genres = ["Drama", "Drama, Crime", "Comedy, Romance", "N/A"];
    let one =
        |n: u32| document(&format!("T{n}"), 1950 + n % 70, "1,234", genres[(n % 4) as usize], &format!("D{}", n % 7));
    (0..count).map(one).collect()
}

async fn silver(count: u32) -> RecordBatch {
    let cleaner = plugins().cleaner(component(artifacts::clean_movies()), &grants("{}")).await.unwrap();
    let cleaned = cleaner.clean(&documents(count)).await.unwrap();
    assert_eq!((cleaned.rows.num_rows(), cleaned.rejects.len()), (count as usize, 0));
    cleaned.rows
}

#[tokio::test]
async fn a_cleaner_refuses_a_document_in_its_own_words_and_cleans_the_others() {
    let cleaner = plugins().cleaner(component(artifacts::clean_movies()), &grants("{}")).await.unwrap();
    let mut documents = documents(2);
    documents.push(document("Bad", 1999, "many", "Drama", "D"));
    documents.push(Bytes::from_static(br#"{"Title":7}"#));
    let cleaned = cleaner.clean(&documents).await.unwrap();
    assert_eq!(cleaned.row_of, [0, 1]);
    assert_eq!(cleaned.rejects.iter().map(|reject| reject.index).collect::<Vec<_>>(), [2, 3]);
    assert!(cleaned.rejects[0].reason.contains("imdbVotes"), "{}", cleaned.rejects[0].reason);
    assert!(cleaned.rejects[1].reason.contains("expected utf8, found number 7"), "{}", cleaned.rejects[1].reason);
    assert_eq!(cleaned.rows.schema(), cleaner.descriptor().output_schema());
    let votes = cleaned.rows.column_by_name("imdb_votes").unwrap();
    assert_eq!(votes.as_primitive::<arrow::datatypes::Int64Type>().values(), &[1234, 1234]);
}

async fn aggregators() -> Vec<Arc<dyn Aggregator>> {
    let plugins = plugins();
    let mut loaded = Vec::new();
    for path in [artifacts::aggregate_genres(), artifacts::aggregate_directors(), artifacts::aggregate_decades()] {
        loaded.push(plugins.aggregator(component(path), &grants("{}")).await.unwrap());
    }
    loaded
}

#[tokio::test]
async fn aggregates_do_not_depend_on_how_the_rows_are_divided() {
    let rows = silver(1000).await;
    for aggregator in aggregators().await {
        let whole = aggregator.finish(&[aggregator.fold(std::slice::from_ref(&rows)).await.unwrap()]).await.unwrap();
        assert!(whole.num_rows() > 0, "{:?}", aggregator.descriptor().name);
        let mut partials = vec![aggregator.fold(&[]).await.unwrap()];
        for (start, length) in [(0, 1), (1, 500), (501, 0), (501, 499)] {
            partials.push(aggregator.fold(&[rows.slice(start, length)]).await.unwrap());
        }
        assert_eq!(aggregator.finish(&partials).await.unwrap(), whole);
        let halves = [rows.slice(0, 333), rows.slice(333, 667)];
        assert_eq!(aggregator.finish(&[aggregator.fold(&halves).await.unwrap()]).await.unwrap(), whole);
    }
}

#[tokio::test]
async fn a_batch_longer_than_a_chunk_is_folded_whole() {
    let rows = silver(1000).await;
    let long = concat_batches(&rows.schema(), vec![&rows; 150]).unwrap();
    let [genres, ..] = &aggregators().await[..] else { panic!("no aggregators") };
    let partial = genres.fold(std::slice::from_ref(&long)).await.unwrap();
    let table = genres.finish(&[partial]).await.unwrap();
    let apart = genres.finish(&vec![genres.fold(&[rows]).await.unwrap(); 150]).await.unwrap();
    assert_eq!(table.column(0), apart.column(0));
    assert_eq!(table.column(1), apart.column(1), "counts");
}

#[tokio::test]
async fn merged_in_groups_partial_results_make_the_same_table() {
    for aggregator in aggregators().await {
        let rows = silver(100).await;
        let mut partials = Vec::new();
        for start in (0..rows.num_rows()).step_by(7) {
            let part = rows.slice(start, 7.min(rows.num_rows() - start));
            partials.push(aggregator.fold(&[part]).await.unwrap());
        }
        let mut groups = vec![aggregator.merge(&[]).await.unwrap()];
        for group in partials.chunks(4) {
            groups.push(aggregator.merge(group).await.unwrap());
        }
        let halves = [aggregator.merge(&groups[..2]).await.unwrap(), aggregator.merge(&groups[2..]).await.unwrap()];
        let flat = aggregator.finish(&partials).await.unwrap();
        assert!(flat.num_rows() > 0);
        assert_eq!(aggregator.finish(&groups).await.unwrap(), flat, "{}", aggregator.descriptor().name);
        assert_eq!(aggregator.finish(&halves).await.unwrap(), flat, "{}", aggregator.descriptor().name);
    }
}

#[tokio::test]
async fn nothing_at_all_makes_an_empty_table() {
    for aggregator in aggregators().await {
        let empty = aggregator.finish(&[]).await.unwrap();
        assert_eq!((empty.num_rows(), empty.schema()), (0, aggregator.descriptor().output_schema()));
    }
}

#[tokio::test]
async fn a_damaged_partial_result_is_a_fault_that_names_it() {
    let [genres, ..] = &aggregators().await[..] else { panic!("no aggregators") };
    let good = genres.fold(&[silver(10).await]).await.unwrap();
    let fault = genres.finish(&[good, Bytes::from_static(b"\xff\xff\xff")]).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P172"), "{}", said(&fault));
    assert!(fault.message.contains("partial result 1 of 2"), "{}", said(&fault));
    let fault = genres.merge(&[Bytes::from_static(b"\xff\xff\xff")]).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P172"), "{}", said(&fault));
}

#[tokio::test]
async fn rows_without_the_columns_that_a_plugin_reads_are_the_hosts_fault() {
    let [genres, ..] = &aggregators().await[..] else { panic!("no aggregators") };
    let rows = silver(10).await;
    let fault = genres.fold(&[rows.project(&[0]).unwrap()]).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Host, "P900"), "{}", said(&fault));
    assert!(fault.message.contains("there is no column"), "{}", said(&fault));
}

#[tokio::test]
async fn equal_input_gives_equal_output_in_another_runtime() {
    let (first, second) = (silver(500).await, silver(500).await);
    assert_eq!(first, second);
    assert!(first.columns().iter().all(|column| column.to_data().validate_full().is_ok()));
}

#[tokio::test]
async fn a_batch_too_large_for_the_memory_limit_is_a_fault_and_a_part_of_it_is_none() {
    let limits = Limits { memory: 4 << 20, deadline: Duration::from_secs(60), ..Limits::default() };
    let cleaner =
        plugins().cleaner(component(artifacts::clean_movies()), &Grants { config: "{}".into(), limits }).await.unwrap();
    let many = documents(50_000);
    let fault = cleaner.clean(&many).await.unwrap_err();
    assert_eq!((fault.kind, fault.code), (FaultKind::Memory, "P110"), "{}", said(&fault));
    assert_eq!(cleaner.clean(&many[..100]).await.unwrap().rows.num_rows(), 100);
}
