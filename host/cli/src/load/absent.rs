//! A substitute for a plugin that cannot be loaded, so that a lake can be read all the same.
//!
//! Does not do a plugin's work: each call says why there is no plugin.

use std::sync::Arc;

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use seams::http::HttpAnswer;
use seams::plugin::{Aggregator, Cleaned, Cleaner, Descriptor, Digest, Enricher, Fault, FaultKind, Plugin, Step};

/// Substitutes for a plugin.
#[derive(Debug)]
pub(crate) struct Absent {
    why: String,
    descriptor: Descriptor,
    digest: Digest,
    component: Bytes,
}

impl Absent {
    /// The substitute for a plugin that cannot be loaded.
    pub(super) fn because(why: String) -> Arc<Self> {
        let (name, version) = ("(cannot be loaded)".to_owned(), "-".to_owned());
        let descriptor =
            Descriptor { name, version, input: Vec::new(), output: Vec::new(), config_schema: "{}".to_owned() };
        Arc::new(Absent { digest: Digest::of(b""), why, descriptor, component: Bytes::new() })
    }

    fn fault<T>(&self) -> Result<T, Fault> {
        let (kind, code) = (FaultKind::Configure, "P011");
        Err(Fault { kind, code, message: self.why.clone(), backtrace: None, log: Vec::new() })
    }
}

impl Plugin for Absent {
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

#[async_trait]
impl Enricher for Absent {
    async fn enrich(&self, _: &str, _: &[HttpAnswer]) -> Result<Step, Fault> {
        self.fault()
    }
}

#[async_trait]
impl Cleaner for Absent {
    async fn clean(&self, _: &[Bytes]) -> Result<Cleaned, Fault> {
        self.fault()
    }
}

#[async_trait]
impl Aggregator for Absent {
    async fn fold(&self, _: &[RecordBatch]) -> Result<Bytes, Fault> {
        self.fault()
    }

    async fn merge(&self, _: &[Bytes]) -> Result<Bytes, Fault> {
        self.fault()
    }

    async fn finish(&self, _: &[Bytes]) -> Result<RecordBatch, Fault> {
        self.fault()
    }
}
