//! An aggregator's case: rows in, the table out, for several ways to spread the rows over partial results.
//!
//! Does not prove that a merge is associative: it tries the ways that find most mistakes, on the case's own rows.

use arrow::array::RecordBatch;
use bytes::Bytes;
use seams::plugin::Aggregator;
use serde_json::Value;

use super::case::Case;
use super::difference::{Difference, compare};
use crate::json_rows::{self, Row};

/// The plugin's output for the case's rows.
pub(crate) struct Outcome {
    /// The table.
    pub(crate) table: Value,
    /// The first way of spreading the rows that gives another table, and how that table differs.
    pub(crate) unstable: Option<(&'static str, Vec<Difference>)>,
}

/// Aggregates the case's rows in one pass, and then in other ways.
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
    json_rows::open_json_columns(
        &mut rows,
        plugin.descriptor().output.iter().map(|field| (field.name.as_str(), field.ty)),
    );
    Ok(rows.into_iter().map(Value::Object).collect())
}

/// The same rows in other partial results, each way with its name.
async fn spread(
    plugin: &dyn Aggregator,
    batch: &RecordBatch,
    whole: &Bytes,
) -> anyhow::Result<Vec<(&'static str, Vec<Bytes>)>> {
    let empty = plugin.fold(&[batch.slice(0, 0)]).await?;
    let mut singles = Vec::new();
    for row in 0..batch.num_rows() {
        singles.push(plugin.fold(&[batch.slice(row, 1)]).await?);
    }
    let backwards: Vec<RecordBatch> = (0..batch.num_rows()).rev().map(|row| batch.slice(row, 1)).collect();
    let middle = batch.num_rows() / 2;
    let first_half = plugin.fold(&[batch.slice(0, middle)]).await?;
    let second_half = plugin.fold(&[batch.slice(middle, batch.num_rows() - middle)]).await?;
    let mut pairs = Vec::new();
    for pair in singles.chunks(2) {
        pairs.push(plugin.merge(pair).await?);
    }
    Ok(vec![
        ("the rows added last first", vec![plugin.fold(&backwards).await?]),
        ("one partial result a row", singles.clone()),
        ("one partial result a row, last first", singles.into_iter().rev().collect()),
        ("one partial result a row, each two merged before all are", pairs),
        ("two halves, the second first", vec![second_half, first_half]),
        ("an empty partial result before and behind", vec![empty.clone(), whole.clone(), empty]),
    ])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::case;
    use crate::project::PluginCrate;
    use seams::plugin::{ColumnType, Descriptor, Digest, Fault, FaultKind, Field, InputField, Plugin, ScalarType};
    use serde_json::json;

    /// Lists names in alphabetical order, or in the order of the input.
    #[derive(Debug)]
    struct Names {
        sorted: bool,
        descriptor: Descriptor,
        digest: Digest,
        component: Bytes,
    }

    impl Names {
        fn new(sorted: bool) -> Self {
            let ty = ColumnType::Scalar(ScalarType::Utf8);
            let descriptor = Descriptor {
                name: "names".into(),
                version: "1.0.0".into(),
                input: vec![InputField { name: "name".into(), pointer: "/name".into(), ty, nullable: false }],
                output: vec![Field { name: "name".into(), ty, nullable: false }],
                config_schema: "{}".into(),
            };
            Names { sorted, descriptor, digest: Digest::of(b"names"), component: Bytes::from_static(b"names") }
        }

        fn joined(partials: &[Bytes]) -> Result<Vec<Row>, Fault> {
            let mut rows: Vec<Row> = Vec::new();
            for partial in partials {
                rows.extend(serde_json::from_slice::<Vec<Row>>(partial).map_err(Self::fault)?);
            }
            Ok(rows)
        }

        fn fault(error: impl std::fmt::Display) -> Fault {
            let (kind, code) = (FaultKind::BadOutput, "P130");
            Fault { kind, code, message: error.to_string(), backtrace: None, log: Vec::new() }
        }
    }

    impl Plugin for Names {
        fn descriptor(&self) -> &Descriptor {
            &self.descriptor
        }
        fn digest(&self) -> &Digest {
            &self.digest
        }
        fn component(&self) -> &Bytes {
            &self.component
        }
    }

    #[async_trait::async_trait]
    impl Aggregator for Names {
        async fn fold(&self, batches: &[RecordBatch]) -> Result<Bytes, Fault> {
            let mut rows = Vec::new();
            for batch in batches {
                rows.extend(json_rows::from_batch(batch).map_err(Self::fault)?);
            }
            serde_json::to_vec(&rows).map(Bytes::from).map_err(Self::fault)
        }

        async fn merge(&self, partials: &[Bytes]) -> Result<Bytes, Fault> {
            serde_json::to_vec(&Self::joined(partials)?).map(Bytes::from).map_err(Self::fault)
        }

        async fn finish(&self, partials: &[Bytes]) -> Result<RecordBatch, Fault> {
            let mut rows = Self::joined(partials)?;
            if self.sorted {
                rows.sort_by_key(|row| row["name"].to_string());
            }
            json_rows::to_batch(&rows, &self.descriptor.input).map_err(Self::fault)
        }
    }

    async fn outcome(plugin: &Names) -> Outcome {
        let folder = tempfile::tempdir().unwrap();
        let case = folder.path().join("cases/two");
        std::fs::create_dir_all(&case).unwrap();
        std::fs::write(case.join("input.json"), r#"[{"name": "a"}, {"name": "b"}]"#).unwrap();
        let cases = case::of(&PluginCrate::at(folder.path())).unwrap();
        run(plugin, &cases[0]).await.unwrap()
    }

    #[tokio::test]
    async fn a_table_that_depends_on_the_order_of_the_rows_is_found_out() {
        let outcome = outcome(&Names::new(false)).await;
        assert_eq!(outcome.table, json!([{"name": "a"}, {"name": "b"}]));
        let (way, differences) = outcome.unstable.unwrap();
        assert_eq!(way, "the rows added last first");
        assert!(!differences.is_empty());
    }

    #[tokio::test]
    async fn a_table_that_does_not_is_accepted() {
        let outcome = outcome(&Names::new(true)).await;
        assert_eq!(outcome.table, json!([{"name": "a"}, {"name": "b"}]));
        assert!(outcome.unstable.is_none());
    }
}
