//! A plugin in worker processes, as the engine sees it: each call is one frame there and one back.
//!
//! Does not look into the input: the worker's runtime projects it and checks the output, and the host checks again
//! only what could harm it.

use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use bytes::Bytes;
use seams::http::HttpAnswer;
use seams::plugin::{
    Aggregator, Cleaned, Cleaner, Descriptor, Digest, Enricher, Fault, Grants, LoadError, Plugin, Step,
};

use super::pool::Pool;
use super::program::WorkerProgram;
use super::wire::{self, Load, Output, Request, unlike};
use crate::columns::record_batch;
use crate::enricher::judged;
use crate::fault::host_fault;
use crate::limits::check_rows;
use crate::memory::Need;
use crate::threads::Lane;
use crate::world::World;

/// A plugin of any world.
pub(crate) struct Remote {
    pool: Arc<Pool>,
    lane: Lane,
    descriptor: Descriptor,
    schema: SchemaRef,
    component: Bytes,
}

impl std::fmt::Debug for Remote {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Remote").field("plugin", &self.descriptor.name).finish_non_exhaustive()
    }
}

impl Remote {
    /// Starts a worker with the plugin. Blocks: must be called on a guest thread.
    pub(crate) fn start(
        program: WorkerProgram,
        code: Vec<u8>,
        world: World,
        component: &Bytes,
        grants: &Grants,
        lane: Lane,
    ) -> Result<Self, LoadError> {
        let load = Load { world, component: component.to_vec(), config: grants.config.clone(), limits: grants.limits };
        let (pool, descriptor) = Pool::start(program, load, code)?;
        let schema = descriptor.output_schema();
        Ok(Remote { pool: Arc::new(pool), lane, descriptor, schema, component: component.clone() })
    }

    /// `given`: the size of the call's input in bytes.
    async fn call(&self, given: usize, request: Request) -> Result<Output, Fault> {
        let permit = self.pool.permits.acquire().await;
        let pool = Arc::clone(&self.pool);
        let need = Need::of_remote_call(pool.limits(), given);
        let output = self.lane.run(need, move || pool.call(&request)).await;
        drop(permit);
        output.unwrap_or_else(|panic| Err(host_fault(panic)))
    }
}

impl Plugin for Remote {
    fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    fn digest(&self) -> &Digest {
        self.pool.digest()
    }

    fn component(&self) -> &Bytes {
        &self.component
    }
}

#[async_trait]
impl Enricher for Remote {
    async fn enrich(&self, entry: &str, answers: &[HttpAnswer]) -> Result<Step, Fault> {
        let given = answers.iter().map(|answer| answer.body.len()).sum::<usize>() + entry.len();
        let answers = answers.iter().map(Into::into).collect();
        let request = Request::Enrich { entry: entry.to_owned(), answers };
        match self.call(given, request).await? {
            Output::Step(step) => judged(step, self.pool.limits()),
            _ => Err(unlike("another kind of answer")),
        }
    }
}

#[async_trait]
impl Cleaner for Remote {
    async fn clean(&self, documents: &[Bytes]) -> Result<Cleaned, Fault> {
        let request = Request::Clean { documents: documents.iter().map(|document| document.to_vec()).collect() };
        let output = self.call(documents.iter().map(Bytes::len).sum(), request).await?;
        wire::cleaned(output, documents.len(), (&self.descriptor.output, &self.schema), self.pool.limits())
    }
}

#[async_trait]
impl Aggregator for Remote {
    async fn fold(&self, rows: &[RecordBatch]) -> Result<Bytes, Fault> {
        let rows = rows.iter().map(wire::write_batch).collect::<Result<Vec<_>, _>>();
        let rows = rows.map_err(|error| host_fault(error.to_string()))?;
        match self.call(rows.iter().map(Vec::len).sum(), Request::Fold { rows }).await? {
            Output::Partial(partial) => Ok(partial.into()),
            _ => Err(unlike("another kind of answer")),
        }
    }

    async fn merge(&self, partials: &[Bytes]) -> Result<Bytes, Fault> {
        let given = partials.iter().map(Bytes::len).sum();
        let partials = partials.iter().map(|partial| partial.to_vec()).collect();
        match self.call(given, Request::Merge { partials }).await? {
            Output::Partial(partial) => Ok(partial.into()),
            _ => Err(unlike("another kind of answer")),
        }
    }

    async fn finish(&self, partials: &[Bytes]) -> Result<RecordBatch, Fault> {
        let given = partials.iter().map(Bytes::len).sum();
        let partials = partials.iter().map(|partial| partial.to_vec()).collect();
        match self.call(given, Request::Finish { partials }).await? {
            Output::Table(table) => {
                let table = record_batch(table, &self.descriptor.output, &self.schema)?;
                check_rows(table.num_rows() as u64, self.pool.limits()).map(|()| table)
            }
            _ => Err(unlike("another kind of answer")),
        }
    }
}
