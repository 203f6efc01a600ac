//! Frames of a worker process, from arbitrary bytes: what the host makes of an answer, and a worker of a request.
//!
//! Does not start a process.

use std::sync::Arc;

use arrow::datatypes::Schema;
use pipeline::plan::Limits;
use seams::plugin::{ColumnType, Field, ScalarType};

use super::frames::read;
use super::wire::{Load, Output, Ready, Reply, Request, cleaned};
use crate::columns::record_batch;
use crate::world::World;

/// Bytes of a frame that are read here. The host's own bound is larger, and is checked the same way.
const MOST: u64 = 1 << 20;
/// Documents that the worker was given.
const DOCUMENTS: usize = 4;

/// Reads `data` as each kind of frame, and checks what an answer holds.
pub fn frames(data: &[u8]) {
    let _ = read::<Load>(&mut &*data, MOST);
    let _ = read::<Request>(&mut &*data, MOST);
    if let Ok(Some(ready)) = read::<Ready>(&mut &*data, MOST) {
        let _ = ready.loaded(World::Cleaner);
    }
    let field = |name: &str, ty| Field { name: name.to_owned(), ty, nullable: true };
    let fields = [
        field("n", ColumnType::Scalar(ScalarType::Int64)),
        field("s", ColumnType::Scalar(ScalarType::Utf8)),
        field("l", ColumnType::List(ScalarType::Float64)),
    ];
    let arrow = |field: &Field| arrow::datatypes::Field::new(&field.name, field.ty.arrow(), field.nullable);
    let schema = Arc::new(Schema::new(fields.iter().map(arrow).collect::<Vec<_>>()));
    match read::<Reply>(&mut &*data, MOST).map(|reply| reply.map(|reply| reply.outcome)) {
        Ok(Some(Ok(output @ Output::Cleaned { .. }))) => {
            drop(cleaned(output, DOCUMENTS, (&fields, &schema), &Limits::default()))
        }
        Ok(Some(Ok(Output::Table(columns)))) => drop(record_batch(columns, &fields, &schema)),
        _ => {}
    }
}
