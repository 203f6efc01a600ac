//! A cleaner's case: documents in; rows, rejects and skips out, each with the index of its document.
//!
//! Does not check conservation: the runtime does, for every call.

use bytes::Bytes;
use lake::instants::within_calendar;
use records::record;
use seams::plugin::{Cleaned, Cleaner, RejectedBy};
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::case::Case;
use crate::json_rows::{self, Row};

/// The plugin's output for the case's documents.
pub(crate) async fn run(plugin: &dyn Cleaner, case: &Case) -> anyhow::Result<Value> {
    // As they are written in the case, with every digit: a cleaner gets the lake's own text.
    let documents: Vec<Box<RawValue>> = case.input()?;
    let documents: Vec<Bytes> =
        documents.into_iter().map(|document| Bytes::from(record::compact(document).get().to_owned())).collect();
    let cleaned = within_calendar(plugin.clean(&documents).await?);
    let columns = plugin.descriptor().output.iter().map(|field| (field.name.as_str(), field.ty));
    let mut rows = json_rows::from_batch(&cleaned.rows)?;
    json_rows::open_json_columns(&mut rows, columns);
    Ok(document(rows, &cleaned))
}

fn document(rows: Vec<Row>, cleaned: &Cleaned) -> Value {
    let numbered = rows.into_iter().zip(&cleaned.row_of).map(|(row, document)| {
        let mut numbered = Row::from_iter([("document".to_owned(), json!(document))]);
        numbered.extend(row);
        Value::Object(numbered)
    });
    let rejects = cleaned.rejects.iter().map(|reject| match reject.by {
        RejectedBy::Plugin => json!({ "document": reject.index, "reason": reject.reason }),
        RejectedBy::Projection => json!({ "document": reject.index, "reason": reject.reason, "by": "projection" }),
        RejectedBy::Range => json!({ "document": reject.index, "reason": reject.reason, "by": "range" }),
    });
    let skips = cleaned.skips.iter().map(|skip| json!({ "document": skip.index, "reason": skip.reason }));
    json!({
        "rows": numbered.collect::<Vec<_>>(),
        "rejects": rejects.collect::<Vec<_>>(),
        "skips": skips.collect::<Vec<_>>(),
    })
}
