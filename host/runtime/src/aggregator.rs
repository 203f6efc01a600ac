//! The aggregator's seam on wasmtime: rows to a partial result, partial results to one of them or to a table.
//!
//! Does not keep partial results, and does not check that merging is associative: the engine does both.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use seams::foreign;
use seams::plugin::{Aggregator, Descriptor, Digest, Fault, Plugin};
use wasmtime::AsContextMut;
use wasmtime::component::ResourceAny;

use crate::bindings::aggregate::AggregateOnlyIndices;
use crate::bindings::aggregate::exports::sluicebox::plugin::aggregate::GuestAggregation;
use crate::code::Code;
use crate::columns::{batch_of, record_batch};
use crate::fault::{bad_output, host_fault};
use crate::limits::check_rows;
use crate::load::Loaded;
use crate::memory::Need;
use crate::threads::Lane;

/// Rows that are passed at once: enough to make the crossing cheap, few enough to fit a small memory limit.
const CHUNK: usize = 65_536;

/// A loaded aggregator.
#[derive(Debug)]
pub(crate) struct WasmAggregator {
    bound: Arc<Bound>,
    lane: Lane,
}

struct Bound {
    loaded: Loaded<AggregateOnlyIndices>,
    schema: SchemaRef,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.loaded.fmt(f)
    }
}

impl WasmAggregator {
    pub(crate) fn new(loaded: Loaded<AggregateOnlyIndices>, lane: Lane) -> Self {
        let schema = loaded.descriptor.output_schema();
        WasmAggregator { bound: Arc::new(Bound { loaded, schema }), lane }
    }

    fn need(&self, given: usize) -> Need {
        Need::of_call(self.bound.loaded.limits(), given)
    }
}

impl Plugin for WasmAggregator {
    fn descriptor(&self) -> &Descriptor {
        &self.bound.loaded.descriptor
    }

    fn digest(&self) -> &Digest {
        self.bound.loaded.digest()
    }

    fn component(&self) -> &Bytes {
        self.bound.loaded.component()
    }

    fn prepare(&self) {
        let bound = Arc::clone(&self.bound);
        // A failure is reported by the first call, which tries it again.
        self.lane.begin(move || drop(bound.loaded.code()));
    }
}

#[async_trait]
impl Aggregator for WasmAggregator {
    async fn fold(&self, rows: &[RecordBatch]) -> Result<Bytes, Fault> {
        let (bound, rows) = (Arc::clone(&self.bound), rows.to_vec());
        let given = rows.iter().map(RecordBatch::get_array_memory_size).sum();
        let folded = self.lane.run(self.need(given), move || bound.fold(&rows));
        folded.await.unwrap_or_else(|panic| Err(host_fault(panic)))
    }

    async fn merge(&self, partials: &[Bytes]) -> Result<Bytes, Fault> {
        let (bound, partials) = (Arc::clone(&self.bound), partials.to_vec());
        let given = partials.iter().map(Bytes::len).sum();
        let merged = self.lane.run(self.need(given), move || bound.merge(&partials));
        merged.await.unwrap_or_else(|panic| Err(host_fault(panic)))
    }

    async fn finish(&self, partials: &[Bytes]) -> Result<RecordBatch, Fault> {
        let (bound, partials) = (Arc::clone(&self.bound), partials.to_vec());
        let given = partials.iter().map(Bytes::len).sum();
        let finished = self.lane.run(self.need(given), move || bound.finish(&partials));
        finished.await.unwrap_or_else(|panic| Err(host_fault(panic)))
    }
}

impl Bound {
    fn fold(&self, batches: &[RecordBatch]) -> Result<Bytes, Fault> {
        let rows = batches.iter().map(RecordBatch::num_rows).sum();
        let Code { callable, exports } = self.loaded.code()?;
        let returned = callable.call(rows, |store, instance| {
            let guest = exports.load(&mut *store, instance)?;
            let aggregation = guest.sluicebox_plugin_aggregate().aggregation();
            let state = aggregation.call_constructor(&mut *store)?;
            for batch in batches {
                for start in (0..batch.num_rows()).step_by(CHUNK) {
                    let chunk = batch.slice(start, CHUNK.min(batch.num_rows() - start));
                    let rows = batch_of(&chunk, &self.loaded.descriptor.input).map_err(wasmtime::Error::new)?;
                    aggregation.call_add(&mut *store, state, &rows)?;
                }
            }
            aggregation.call_save(&mut *store, state)
        })?;
        Ok(Bytes::from(returned.value))
    }

    fn merge(&self, partials: &[Bytes]) -> Result<Bytes, Fault> {
        let Code { callable, exports } = self.loaded.code()?;
        let returned = callable.call(partials.len(), |store, instance| {
            let guest = exports.load(&mut *store, instance)?;
            let aggregation = guest.sluicebox_plugin_aggregate().aggregation();
            let state = merged(&aggregation, &mut *store, partials)?;
            aggregation.call_save(&mut *store, state)
        })?;
        Ok(Bytes::from(returned.value))
    }

    fn finish(&self, partials: &[Bytes]) -> Result<RecordBatch, Fault> {
        let Code { callable, exports } = self.loaded.code()?;
        let returned = callable.call(partials.len(), |store, instance| {
            let guest = exports.load(&mut *store, instance)?;
            let aggregation = guest.sluicebox_plugin_aggregate().aggregation();
            let state = merged(&aggregation, &mut *store, partials)?;
            aggregation.call_finish(&mut *store, state)
        })?;
        let table = check_rows(u64::from(returned.value.rows), self.loaded.limits())
            .and_then(|()| record_batch(returned.value, &self.loaded.descriptor.output, &self.schema));
        table.map_err(|fault| Fault { log: returned.log, ..fault })
    }
}

/// A new aggregation of all of these.
fn merged(
    aggregation: &GuestAggregation<'_>,
    mut store: impl AsContextMut,
    partials: &[Bytes],
) -> wasmtime::Result<ResourceAny> {
    let state = aggregation.call_constructor(&mut store)?;
    for (index, partial) in partials.iter().enumerate() {
        if let Err(words) = aggregation.call_merge(&mut store, state, partial)? {
            let message = format!(
                "plugin cannot merge partial result {index} of {}, which it saved itself: {}",
                partials.len(),
                foreign::words(&words)
            );
            return Err(wasmtime::Error::new(bad_output("P172", message)));
        }
    }
    Ok(state)
}
