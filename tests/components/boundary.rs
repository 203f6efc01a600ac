//! The cost of the sandbox: components through the runtime against the very same rules compiled natively, in one run, the two taking
//! turns, medians of both. `cargo bench -p runtime`, with `-- --quick` in under a minute.
//!
//! The native baseline is what a Rust program without a sandbox would do: `serde_json` into a typed struct that borrows, the same
//! rules, the same columns at the end. Not here: networks, files and tables, which cost the same with and without a sandbox.

// A benchmark measures time and reads its components from disk; what is broken ends it.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::unwrap_used, missing_docs)]

mod measure;

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;

use aggregate_genres::rules as genres;
use arrow::array::RecordBatch;
use bytes::Bytes;
use cleaner_rules::rules;
use measure::{bytes, document, median, one, taking_turns, timed};
use pipeline::plan::Limits;
use runtime::{Cache, Options, Trust, WasmPlugins};
use seams::plugin::{Aggregator, Cleaner, Enricher, Grants, Plugins};
use serde::Deserialize;
use serde_json::value::RawValue;
use sluicebox_sdk::columns::{Batch, Column, Values};
use sluicebox_sdk::{Aggregate, Input, JsonRef, NoConfig, Output};
use tokio::runtime::Runtime;

/// How long and how much.
struct Scale {
    rounds: usize,
    documents: usize,
    rows: usize,
    loads: usize,
}

fn main() {
    let quick = std::env::args().any(|argument| argument == "--quick");
    let scale = if quick {
        Scale { rounds: 7, documents: 4_000, rows: 100_000, loads: 3 }
    } else {
        Scale { rounds: 41, documents: 20_000, rows: 1_000_000, loads: 11 }
    };
    let tokio = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    println!("{:<58} {:>14} {:>14} {:>8}", "", "component", "native", "ratio");
    let silver = clean(&tokio, &scale);
    aggregate(&tokio, &scale, silver);
    calls_and_loads(&tokio, &scale);
}

fn row(what: &str, count: usize, (component, native): (f64, f64)) {
    let rate = |seconds: f64| format!("{:.3} M/s", count as f64 / seconds / 1e6);
    println!("{what:<58} {:>14} {:>14} {:>8.2}", rate(component), rate(native), native / component);
}

fn runtime(cache: Option<&std::path::Path>) -> WasmPlugins {
    WasmPlugins::new(Options { cache: cache.map(kept_in), guest_threads: 2, ..Options::default() }).expect("a runtime")
}

/// A cache in `folder`, with its key.
fn kept_in(folder: &std::path::Path) -> Cache {
    Cache { dir: folder.join("cache"), trust: Trust::Key(folder.join("key")) }
}

fn grants() -> Grants {
    let limits = Limits { memory: 1 << 30, deadline: Duration::from_secs(60), output: 1 << 30, ..Limits::default() };
    Grants { config: "{}".into(), limits }
}

// -- clean ---------------------------------------------------------------------------------------------------------------------------

/// A document as a typed struct, as one would write it natively.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Typed<'a> {
    #[serde(borrow)]
    title: Option<Cow<'a, str>>,
    #[serde(borrow)]
    year: Option<Cow<'a, str>>,
    #[serde(borrow)]
    rated: Option<Cow<'a, str>>,
    #[serde(borrow)]
    released: Option<Cow<'a, str>>,
    #[serde(borrow)]
    runtime: Option<Cow<'a, str>>,
    #[serde(borrow)]
    genre: Option<Cow<'a, str>>,
    #[serde(borrow)]
    director: Option<Cow<'a, str>>,
    #[serde(borrow)]
    writer: Option<Cow<'a, str>>,
    #[serde(borrow)]
    actors: Option<Cow<'a, str>>,
    #[serde(borrow)]
    language: Option<Cow<'a, str>>,
    #[serde(borrow)]
    country: Option<Cow<'a, str>>,
    #[serde(borrow)]
    ratings: Option<&'a RawValue>,
    #[serde(borrow)]
    metascore: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "imdbRating")]
    imdb_rating: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "imdbVotes")]
    imdb_votes: Option<Cow<'a, str>>,
    #[serde(borrow, rename = "imdbID")]
    imdb_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    r#type: Option<Cow<'a, str>>,
    #[serde(borrow)]
    box_office: Option<Cow<'a, str>>,
    #[serde(borrow)]
    budget: Option<Cow<'a, str>>,
    #[serde(borrow)]
    worldwide_gross: Option<Cow<'a, str>>,
    #[serde(borrow)]
    response: Option<Cow<'a, str>>,
}

impl Typed<'_> {
    fn film(&self) -> rules::Film<'_> {
        rules::Film {
            title: self.title.as_deref(),
            year: self.year.as_deref(),
            rated: self.rated.as_deref(),
            released: self.released.as_deref(),
            runtime: self.runtime.as_deref(),
            genre: self.genre.as_deref(),
            director: self.director.as_deref(),
            writer: self.writer.as_deref(),
            actors: self.actors.as_deref(),
            language: self.language.as_deref(),
            country: self.country.as_deref(),
            ratings: self.ratings.map(|raw| JsonRef::from_text(raw.get())),
            metascore: self.metascore.as_deref(),
            imdb_rating: self.imdb_rating.as_deref(),
            imdb_votes: self.imdb_votes.as_deref(),
            imdb_id: self.imdb_id.as_deref(),
            r#type: self.r#type.as_deref(),
            box_office: self.box_office.as_deref(),
            budget: self.budget.as_deref(),
            worldwide_gross: self.worldwide_gross.as_deref(),
            response: self.response.as_deref(),
        }
    }
}

/// In parts that stay in the processor's cache, because that is how one would write it.
fn clean_natively(config: &rules::Config, documents: &[Bytes]) -> Vec<Batch> {
    let part = |documents: &[Bytes]| {
        let parsed: Result<Vec<Typed<'_>>, _> =
            documents.iter().map(|document| serde_json::from_slice(document)).collect();
        let typed = parsed.expect("documents");
        let mut rows = <rules::Row<'_> as Output>::builders(typed.len());
        for document in &typed {
            rules::clean(config, document.film()).expect("a row").push(&mut rows);
        }
        <rules::Row<'_> as Output>::finish(rows)
    };
    documents.chunks(500).map(part).collect()
}

/// Returns the rows both as the host holds them and as the plugin holds them.
fn clean(tokio: &Runtime, scale: &Scale) -> (RecordBatch, Vec<Batch>) {
    let documents: Vec<Bytes> = (0..scale.documents).map(document).collect();
    let cleaner: Arc<dyn Cleaner> =
        tokio.block_on(runtime(None).cleaner(bytes(artifacts::clean_movies()), &grants())).expect("a cleaner");
    let config = rules::Config::default();
    let rows = tokio.block_on(cleaner.clean(&documents)).expect("rows").rows;
    let native = clean_natively(&config, &documents);
    let native_rows: u32 = native.iter().map(|batch| batch.rows).sum();
    let made = (rows.num_rows(), native_rows as usize);
    assert_eq!(made, (scale.documents, scale.documents), "both ways make the same rows");
    let result = taking_turns(
        scale.rounds,
        || timed(|| tokio.block_on(cleaner.clean(&documents)).expect("rows")).0,
        || timed(|| clean_natively(&config, &documents)).0,
    );
    let what = format!(
        "clean, {} documents of {} bytes, {} fields",
        documents.len(),
        documents[0].len(),
        rules::Film::FIELDS.len()
    );
    row(&what, documents.len(), result);
    (rows, native)
}

// -- aggregate -----------------------------------------------------------------------------------------------------------------------

/// The columns that the aggregate reads, as the host would hand them over.
fn read_by_aggregate(silver: &Batch) -> Batch {
    let fields = <rules::Row<'_> as Output>::FIELDS;
    let wanted = <genres::Film<'_> as Input<'_>>::FIELDS;
    let (mut columns, mut items): (Vec<Column>, Vec<Column>) = (Vec::new(), Vec::new());
    for field in wanted {
        let at = fields.iter().position(|output| output.name == field.name).expect("a column of Silver");
        let mut column = silver.columns[at].clone();
        if let Values::ListOf(list) = &mut column.values {
            items.push(silver.columns[list.child as usize].clone());
            list.child = u32::try_from(wanted.len() + items.len() - 1).unwrap();
        }
        columns.push(column);
    }
    columns.append(&mut items);
    Batch { rows: silver.rows, columns }
}

fn aggregate(tokio: &Runtime, scale: &Scale, (rows, silver): (RecordBatch, Vec<Batch>)) {
    let aggregator: Arc<dyn Aggregator> = tokio
        .block_on(runtime(None).aggregator(bytes(artifacts::aggregate_genres()), &grants()))
        .expect("an aggregator");
    let read: Vec<Batch> = silver.iter().map(read_by_aggregate).collect();
    let times = scale.rows / scale.documents;
    let many = vec![rows; times];
    let natively = || {
        let mut state = genres::Genres::default();
        for _ in 0..times {
            for batch in &read {
                sluicebox_sdk::aggregator::add(&mut state, &NoConfig {}, batch);
            }
        }
        state.finish(&NoConfig {})
    };
    let through = || {
        let partial = tokio.block_on(aggregator.fold(&many)).expect("a partial result");
        tokio.block_on(aggregator.finish(&[partial])).expect("a table")
    };
    assert_eq!(through().num_rows(), natively().len(), "both ways make the same table");
    let result = taking_turns(scale.rounds, || timed(through).0, || timed(natively).0);
    let columns = <genres::Film<'_> as Input<'_>>::FIELDS.len();
    row(&format!("aggregate, {} rows of {columns} columns", scale.documents * times), scale.documents * times, result);
}

// -- calls and loads -----------------------------------------------------------------------------------------------------------------

fn calls_and_loads(tokio: &Runtime, scale: &Scale) {
    let component = bytes(artifacts::clean_movies());
    let enricher: Arc<dyn Enricher> =
        tokio.block_on(runtime(None).enricher(bytes(artifacts::echo_enricher()), &grants())).expect("an enricher");
    let calls = scale.rounds * 50;
    let smallest =
        (0..calls).map(|_| timed(|| tokio.block_on(enricher.enrich("{}", &[])).expect("a step")).0).collect();
    one("smallest whole call: thread, instance, configure, call", median(smallest));

    let load = |plugins: &WasmPlugins| {
        timed(|| tokio.block_on(plugins.cleaner(component.clone(), &grants())).expect("a cleaner")).0
    };
    let folder = tempfile::tempdir().expect("a folder");
    // Fills the cache; each runtime below is a new one, so that nothing is found in memory.
    load(&runtime(Some(folder.path())));
    let (compiled, cached) = taking_turns(scale.loads, || load(&runtime(None)), || load(&runtime(Some(folder.path()))));
    one(&format!("load {} KiB, compiling", component.len() >> 10), compiled);
    one("load it again from the compile cache", cached);
    println!("{:<58} {:>38.0}", "  compiling ÷ cached", compiled / cached);
}
