//! An aggregator's case: rows in, the table out, however the rows are spread over partial results.
//!
//! Does not prove that a merge is associative: it tries the ways that find most mistakes on the case's own rows.

use arrow::array::RecordBatch;
use bytes::Bytes;
use engine::seams::plugin::Aggregator;
use serde_json::Value;

use super::case::Case;
use super::difference::{Difference, compare};
use crate::json_rows::{self, Row};

/// What the plugin makes of the case's rows.
pub(crate) struct Outcome {
    /// The table.
    pub(crate) table: Value,
    /// The first way of spreading the rows that gives another table, and how that one differs.
    pub(crate) unstable: Option<(&'static str, Vec<Difference>)>,
}

/// Aggregates the case's rows in one go, and then in other ways.
pub(crate) async fn run(plugin: &dyn Aggregator, case: &Case) -> anyhow::Result<Outcome> {
    let rows: Vec<Row> = case.input()?;
    let batch = json_rows::to_batch(&rows, &plugin.descriptor().input)?;
    let whole = plugin.fold(std::slice::from_ref(&batch)).await?;
    let table = table(plugin, std::slice::from_ref(&whole)).await?;
    for (way, partials) in spread(plugin, &batch, &whole).await? {
        let other = self::table(plugin, &partials).await?;
        let differences = compare(&table, &other);
        if !differences.is_empty() {
            return Ok(Outcome { table, unstable: Some((way, differences)) });
        }
    }
    Ok(Outcome { table, unstable: None })
}

async fn table(plugin: &dyn Aggregator, partials: &[Bytes]) -> anyhow::Result<Value> {
    let mut rows = json_rows::from_batch(&plugin.finish(partials).await?)?;
    json_rows::open_json_columns(&mut rows, plugin.descriptor().output.iter().map(|field| (field.name.as_str(), field.ty)));
    Ok(rows.into_iter().map(Value::Object).collect())
}

/// The same rows in other partial results, each way with its name.
async fn spread(plugin: &dyn Aggregator, batch: &RecordBatch, whole: &Bytes) -> anyhow::Result<Vec<(&'static str, Vec<Bytes>)>> {
    let empty = plugin.fold(&[batch.slice(0, 0)]).await?;
    let mut singles = Vec::new();
    for row in 0..batch.num_rows() {
        singles.push(plugin.fold(&[batch.slice(row, 1)]).await?);
    }
    let backwards: Vec<RecordBatch> = (0..batch.num_rows()).rev().map(|row| batch.slice(row, 1)).collect();
    let middle = batch.num_rows() / 2;
    let first_half = plugin.fold(&[batch.slice(0, middle)]).await?;
    let second_half = plugin.fold(&[batch.slice(middle, batch.num_rows() - middle)]).await?;
    Ok(vec![
        ("the rows added last first", vec![plugin.fold(&backwards).await?]),
        ("one partial result a row", singles.clone()),
        ("one partial result a row, last first", singles.into_iter().rev().collect()),
        ("two halves, the second first", vec![second_half, first_half]),
        ("an empty partial result before and behind", vec![empty.clone(), whole.clone(), empty]),
    ])
}
