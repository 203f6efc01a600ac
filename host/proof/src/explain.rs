//! Explanation: where a record's row comes from, step by step, proved by making it again, and which rows of Gold depend on it.
//!
//! Changes nothing and asks no service.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use engine::census::{Evidence, Place, RecordVersion, Standing};
use engine::difference::{Row, different_bytes, first_difference};
use engine::drivers::service::Service;
use engine::progress::Steps;
use engine::roles::aggregate::{GoldTable, partial_of};
use lake::answers::{AnswerAt, Past};
use lake::bronze::{self, Line, Outcome};
use lake::failure::Failure;
use lake::generations::Generation;
use lake::silver::{BUCKET, KEY, ORD, PLUGIN, SEQ, SOURCE, bucket_of};
use lake::{Lake, LakeError, receipts};
use records::keys::{Key, Record, Tick, ordered};
use seams::plugin::EndpointRequest;
use serde::Serialize;

use crate::remake::{CannotRemake, Remade, RemakeError, Workshop};

mod search;

pub(crate) use search::lines_of;
pub use search::similar;

/// All that is known of a record.
#[derive(Clone, Debug, Serialize)]
pub struct Explanation {
    /// The record.
    pub key: Key,
    /// Its versions, by tick, then place. Only the one whose row stands, if no others were searched for.
    pub versions: Vec<RecordVersion>,
    /// Whether all of Bronze was searched for its versions.
    pub searched: bool,
    /// Its row in Silver, if there is one.
    pub row: Option<Provenance>,
}

impl Explanation {
    /// Whether everything that could be made again came out the same.
    #[must_use]
    pub fn is_proved(&self) -> bool {
        self.row.as_ref().is_none_or(|row| row.document.agrees != Some(false) && row.cleaned.agrees != Some(false))
    }
}

/// Where a row comes from.
#[derive(Clone, Debug, Serialize)]
pub struct Provenance {
    /// The row: columns and values as text. A document may yield several rows.
    pub rows: Vec<Vec<(String, String)>>,
    /// The Bronze object and line.
    pub source: String,
    /// The tick.
    pub seq: Option<Tick>,
    /// The source's record.
    pub record: Record,
    /// The document, as the cleaner got it.
    pub document_text: String,
    /// The answers that the document was made from.
    pub answers: Vec<Answer>,
    /// The plugin that made the document; none if it is the source's record.
    pub enriched_by: Option<Generation>,
    /// The plugin that made the row.
    pub cleaned_by: Option<Generation>,
    /// Whether the document came out again.
    pub document: Proof,
    /// Whether the row came out again.
    pub cleaned: Proof,
    /// The rows of Gold that would differ without it.
    pub feeds: Vec<Fed>,
}

/// A kept answer.
#[derive(Clone, Debug, Serialize)]
pub struct Answer {
    /// Its id.
    pub id: String,
    /// The request, secrets by name; none if the answer is not kept.
    pub request: Option<EndpointRequest>,
    /// The status.
    pub status: Option<u16>,
    /// Bytes of the body.
    pub bytes: Option<usize>,
}

/// The result of making something again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Whether every byte agrees; `None` if it cannot be made again, because a service's answer was not kept.
    pub agrees: Option<bool>,
    /// What differs, or why it could not be made again.
    pub because: Option<String>,
}

impl Proof {
    fn of(difference: Option<String>) -> Self {
        Proof { agrees: Some(difference.is_none()), because: difference }
    }

    fn is_none(reason: &CannotRemake) -> Self {
        Proof { agrees: None, because: Some(format!("it cannot be made again: {reason}")) }
    }
}

/// A row of a Gold table that depends on the record.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Fed {
    /// The table.
    pub table: String,
    /// The row with the record: columns and values as text.
    pub row: Vec<(String, String)>,
}

/// Explains a record; none if the lake holds nothing of it. Its row names its line, so a few requests are enough. `all` also searches
/// for other versions, which may be anywhere in Bronze. Without a row the search is always made.
///
/// # Errors
/// The lake cannot be read.
pub async fn explain(
    service: &Service,
    workshop: &Workshop,
    key: &Key,
    all: bool,
    steps: &Steps,
) -> Result<Option<Explanation>, Failure> {
    let lake = &service.enrich.lake;
    let rows = service.clean.silver.find(key.as_str()).await?;
    let standing = (rows.num_rows() > 0).then(|| Row { batch: &rows, index: 0 }.text(SOURCE));
    let named = match standing.as_deref().filter(|_| !all).and_then(bronze::place) {
        Some(place) => search::line_named(lake, key, place).await?,
        None => None,
    };
    let (found, searched) = match named {
        Some(place) => (vec![place], false),
        None => (lines_of(lake, key, steps).await?, true),
    };
    if found.is_empty() && standing.is_none() {
        return Ok(None);
    }
    let versions = versions(service, key, &found, &rows).await?;
    let row = if standing.is_none() { None } else { Some(provenance(service, workshop, key, &rows).await?) };
    Ok(Some(Explanation { key: key.clone(), versions, searched, row }))
}

async fn versions(
    service: &Service,
    key: &Key,
    found: &[Place],
    rows: &RecordBatch,
) -> Result<Vec<RecordVersion>, Failure> {
    let lake = &service.enrich.lake;
    let mut all = HashMap::new();
    for object in found.iter().map(|place| &place.object).collect::<BTreeSet<_>>() {
        all.extend(receipts::get(lake, object).await?.map(|receipt| (receipt.object.clone(), receipt)));
    }
    let text = |row: usize, column| Row { batch: rows, index: row }.text(column);
    let standing =
        (0..rows.num_rows()).map(|row| (text(row, SOURCE), Standing { key: key.clone(), ord: text(row, ORD) }));
    let evidence = Evidence {
        digests: BTreeMap::new(),
        inventory: bronze::Inventory::default(),
        places: found.to_vec(),
        receipts: all,
        snapshot: service.clean.silver.snapshot().await?,
        standing: standing.collect(),
        damaged: Vec::new(),
    };
    let version = |(place, fate): (&Place, _)| RecordVersion {
        key: key.clone(),
        seq: place.meta.seq,
        source: place.source(),
        fate,
    };
    Ok(found.iter().zip(evidence.fates()).map(version).collect())
}

async fn provenance(
    service: &Service,
    workshop: &Workshop,
    key: &Key,
    rows: &RecordBatch,
) -> Result<Provenance, Failure> {
    let own = |column| Row { batch: rows, index: 0 }.text(column);
    let (source, ord) = (own(SOURCE), ordered(&own(ORD)));
    let shown = (0..rows.num_rows()).map(|index| visible(Row { batch: rows, index })).collect();
    let lake = &service.enrich.lake;
    let line = line_at(lake, &source).await?;
    let mut provenance = Provenance {
        rows: shown,
        source: source.clone(),
        seq: ord.map(|(seq, _, _)| seq),
        record: Record::new(),
        document_text: String::new(),
        answers: Vec::new(),
        enriched_by: ord.and_then(|(_, enrich, _)| workshop.enrich_generation(enrich).ok().cloned()),
        cleaned_by: ord.and_then(|(_, _, clean)| workshop.clean_generation(clean).ok().cloned()),
        document: Proof::of(None),
        cleaned: Proof::of(None),
        feeds: feeds(service, workshop, key).await?,
    };
    match line {
        Ok(line) => {
            provenance.record = line.meta.record.clone();
            provenance.document_text = String::from_utf8_lossy(&line.text).into_owned();
            provenance.answers = kept(lake, &line).await?;
            provenance.document = document_again(workshop, &line).await?;
            provenance.cleaned = Proof::of(rows_again(workshop, &line, rows, ord).await?);
        }
        Err(reason) => {
            provenance.document = Proof::of(Some(reason.clone()));
            provenance.cleaned = Proof::of(Some(reason));
        }
    }
    Ok(provenance)
}

/// The plugin's columns.
fn visible(row: Row<'_>) -> Vec<(String, String)> {
    row.texts().into_iter().filter(|(column, _)| ![KEY, ORD, SEQ, SOURCE, PLUGIN].contains(&column.as_str())).collect()
}

/// The line that a row names, or why there is none.
async fn line_at(lake: &Lake, source: &str) -> Result<Result<Line, String>, Failure> {
    let Some((object, number)) = bronze::place(source) else {
        return Ok(Err(format!("the row names `{source}`, which is no line of bronze")));
    };
    let bytes = match seams::store::read_if_there(&*lake.bronze, &object).await? {
        Some(bytes) => bytes,
        None => return Ok(Err(format!("`{object}` is not in bronze"))),
    };
    Ok(match bronze::lines(&object, &bytes) {
        Ok(lines) => lines.into_iter().nth(number - 1).ok_or_else(|| format!("`{object}` has no line {number}")),
        Err(error) => Err(error.to_string()),
    })
}

async fn kept(lake: &Lake, line: &Line) -> Result<Vec<Answer>, Failure> {
    let (mut all, past) = (Vec::new(), Past::default());
    for id in &line.meta.answers {
        let kept = match past.read(lake, line.meta.seq, &AnswerAt::from_text(id)).await {
            Ok(kept) => kept,
            Err(LakeError::Corrupt { .. }) => None,
            Err(error) => return Err(error.into()),
        };
        let (request, answer) = kept.map_or((None, None), |(request, answer)| (Some(request), Some(answer)));
        all.push(Answer {
            id: id.clone(),
            request,
            status: answer.as_ref().map(|answer| answer.status),
            bytes: answer.as_ref().map(|answer| answer.body.len()),
        });
    }
    Ok(all)
}

async fn document_again(workshop: &Workshop, line: &Line) -> Result<Proof, Failure> {
    Ok(Proof::of(match workshop.document(&line.meta).await {
        Ok(Remade::Document(text)) if line.meta.outcome == Outcome::Document => {
            let again = bronze::line(Some(&text), &line.meta);
            let same = again.strip_suffix(b"\n") == Some(&line.text[..]);
            (!same).then(|| different_bytes(&line.text, &again))
        }
        Ok(other) => Some(format!("made again it is no document: {other:?}")),
        Err(RemakeError::Cannot(reason @ CannotRemake::NotKept(_))) => return Ok(Proof::is_none(&reason)),
        Err(RemakeError::Cannot(reason)) => Some(format!("it cannot be made again: {reason}")),
        Err(RemakeError::Failed(failure)) => return Err(failure),
    }))
}

async fn rows_again(
    workshop: &Workshop,
    line: &Line,
    rows: &RecordBatch,
    ord: Option<(Tick, u32, u32)>,
) -> Result<Option<String>, Failure> {
    let Some((_, _, generation)) = ord else { return Ok(Some(format!("the row's `{ORD}` cannot be read"))) };
    let cleaned = match workshop.rows(generation, std::slice::from_ref(&line.text)).await {
        Ok(Ok(cleaned)) => cleaned,
        Ok(Err(fault)) => {
            return Ok(Some(format!("the clean plugin breaks on it [{}]: {}", fault.code, fault.message)));
        }
        Err(RemakeError::Cannot(reason)) => return Ok(Some(format!("it cannot be cleaned again: {reason}"))),
        Err(RemakeError::Failed(failure)) => return Err(failure),
    };
    let rejected = cleaned.rejects.first().map(|reject| &reject.reason);
    if let Some(reason) = rejected.or_else(|| cleaned.skips.first().map(|skip| &skip.reason)) {
        return Ok(Some(format!("cleaned again it makes no row: {reason}")));
    }
    if cleaned.rows.num_rows() != rows.num_rows() {
        return Ok(Some(format!("{} rows stand, cleaned again it makes {}", rows.num_rows(), cleaned.rows.num_rows())));
    }
    let again = lake::delta::conform("silver", &cleaned.rows, &crate::verify::plugin_columns(rows))?;
    Ok((0..again.num_rows()).find_map(|index| {
        let (there, now) = (Row { batch: rows, index }, Row { batch: &again, index });
        let column = first_difference(there, now, &[BUCKET])?;
        Some(format!("`{column}` is {}, cleaned again {}", there.text(&column), now.text(&column)))
    }))
}

/// The Gold rows that would differ, or be missing, without the record.
async fn feeds(service: &Service, workshop: &Workshop, key: &Key) -> Result<Vec<Fed>, Failure> {
    let mut fed = Vec::new();
    for table in &service.aggregate.tables {
        let number = table.gold.generation().await?;
        let history = table.generations.all().await?;
        let Some(generation) = history.into_iter().find(|one| Some(one.number) == number) else { continue };
        match fed_by(service, workshop, table, &generation, key).await {
            Ok(mut rows) => fed.append(&mut rows),
            Err(RemakeError::Failed(failure)) => return Err(failure),
            Err(RemakeError::Cannot(reason)) => {
                tracing::warn!(table = table.name, %reason, "what the record feeds of this table cannot be told");
            }
        }
    }
    Ok(fed)
}

async fn fed_by(
    service: &Service,
    workshop: &Workshop,
    table: &GoldTable,
    generation: &Generation,
    key: &Key,
) -> Result<Vec<Fed>, RemakeError> {
    use crate::remake::CannotRemake::Fault;
    let plugin = workshop.aggregator(generation).await?;
    let silver = &service.clean.silver;
    let snapshot = silver.snapshot().await.map_err(Failure::from)?;
    let mut columns: Vec<&str> = plugin.descriptor().input.iter().map(|field| field.name.as_str()).collect();
    columns.push(KEY);
    let own = bucket_of(key.as_str(), silver.buckets());
    // The partial results of other buckets are kept, unless Silver has changed since.
    let ids: Vec<_> = snapshot
        .buckets
        .values()
        .map(|files| partial_of(&generation.plugin.digest, &generation.config, files))
        .collect();
    let kept = table.gold.partials(&ids).await.map_err(Failure::from)?;
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for (bucket, kept) in snapshot.buckets.keys().zip(kept) {
        if let Some(partial) = kept.filter(|_| *bucket != own) {
            without.push(partial.clone());
            with.push(partial);
            continue;
        }
        let rows = silver.read(&snapshot, *bucket, Some(&columns)).await.map_err(Failure::from)?;
        let partial = plugin.fold(&rows).await.map_err(Fault)?;
        without.push(if *bucket == own {
            plugin.fold(&less(&rows, key)).await.map_err(Fault)?
        } else {
            partial.clone()
        });
        with.push(partial);
    }
    let (with, without) = (plugin.finish(&with).await.map_err(Fault)?, plugin.finish(&without).await.map_err(Fault)?);
    let texts = |batch: &RecordBatch| -> Vec<Vec<(String, String)>> {
        (0..batch.num_rows()).map(|index| Row { batch, index }.texts()).collect()
    };
    let others: BTreeSet<Vec<(String, String)>> = texts(&without).into_iter().collect();
    let rows = texts(&with).into_iter().filter(|row| !others.contains(row));
    Ok(rows.map(|row| Fed { table: table.name.clone(), row }).collect())
}

/// The rows of all other keys.
fn less(rows: &[RecordBatch], key: &Key) -> Vec<RecordBatch> {
    let others = |batch: &RecordBatch| {
        let keys = batch.column_by_name(KEY)?.as_string_opt::<i32>()?;
        let mask: BooleanArray = keys.iter().map(|one| Some(one != Some(key.as_str()))).collect();
        filter_record_batch(batch, &mask).ok()
    };
    rows.iter().filter_map(others).collect()
}
