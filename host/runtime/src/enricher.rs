//! The enricher's seam on wasmtime: one call is one step for one record.
//!
//! Does not judge the requests that a step asks for: the engine's gateway does, before it makes any.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use pipeline::plan::Limits;
use records::document;
use seams::foreign::words;
use seams::http::HttpAnswer;
use seams::plugin::{Descriptor, Digest, EndpointRequest, Enricher, Fault, Plugin, Step};

use crate::bindings::enrich::EnrichOnlyIndices;
use crate::bindings::enrich::exports::sluicebox::plugin::enrich as wit;
use crate::code::Code;
use crate::fault::{bad_output, bytes, host_fault};
use crate::load::Loaded;
use crate::memory::Need;
use crate::threads::Lane;

/// A loaded enricher.
#[derive(Debug)]
pub(crate) struct WasmEnricher {
    bound: Arc<Bound>,
    lane: Lane,
}

struct Bound {
    loaded: Loaded<EnrichOnlyIndices>,
}

impl std::fmt::Debug for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.loaded.fmt(f)
    }
}

impl WasmEnricher {
    pub(crate) fn new(loaded: Loaded<EnrichOnlyIndices>, lane: Lane) -> Self {
        WasmEnricher { bound: Arc::new(Bound { loaded }), lane }
    }
}

impl Plugin for WasmEnricher {
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
impl Enricher for WasmEnricher {
    async fn enrich(&self, entry: &str, answers: &[HttpAnswer]) -> Result<Step, Fault> {
        let (bound, entry) = (Arc::clone(&self.bound), entry.to_owned());
        let given = answers.iter().map(|answer| answer.body.len()).sum::<usize>() + entry.len();
        let answers: Vec<wit::Answer> = answers.iter().map(answer).collect();
        let need = Need::of_call(self.bound.loaded.limits(), given);
        let stepped = self.lane.run(need, move || bound.enrich(&entry, &answers));
        stepped.await.unwrap_or_else(|panic| Err(host_fault(panic)))
    }
}

impl Bound {
    fn enrich(&self, entry: &str, answers: &[wit::Answer]) -> Result<Step, Fault> {
        let Code { callable, exports } = self.loaded.code()?;
        let returned = callable.call(1, |store, instance| {
            let guest = exports.load(&mut *store, instance)?;
            guest.sluicebox_plugin_enrich().call_enrich(&mut *store, entry, answers)
        })?;
        let stepped = step(returned.value).and_then(|step| judged(step, self.loaded.limits()));
        stepped.map_err(|fault| Fault { log: returned.log, ..fault })
    }
}

fn answer(answer: &HttpAnswer) -> wit::Answer {
    wit::Answer { status: answer.status, headers: answer.headers.clone(), body: answer.body.to_vec() }
}

fn step(step: wit::Step) -> Result<Step, Fault> {
    Ok(match step {
        wit::Step::Fetch(requests) if requests.is_empty() => {
            return Err(bad_output("P171", "plugin asked to fetch nothing, expected at least one request"));
        }
        wit::Step::Fetch(requests) => Step::Fetch(requests.into_iter().map(request).collect()),
        wit::Step::Done(text) => Step::Done(text),
        wit::Step::Skip(reason) => Step::Skip(reason),
        wit::Step::Reject(reason) => Step::Reject(reason),
        wit::Step::BackOff(pause) => {
            Step::BackOff { pause: Duration::from_secs(pause.seconds.into()), reason: pause.reason }
        }
    })
}

/// A step within the bounds: its document is valid and small enough, its texts are cut.
pub(crate) fn judged(step: Step, limits: &Limits) -> Result<Step, Fault> {
    Ok(match step {
        Step::Done(text) if text.len() as u64 > limits.document => {
            let message = format!("plugin made a document of {} bytes, limit {}", text.len(), bytes(limits.document));
            return Err(bad_output("P120", message));
        }
        Step::Done(text) => {
            document::check(&text).map_err(|problem| {
                bad_output("P171", words(&format!("plugin returned a wrong document: {problem}")))
            })?;
            Step::Done(text)
        }
        Step::Skip(reason) => Step::Skip(words(&reason)),
        Step::Reject(reason) => Step::Reject(words(&reason)),
        Step::BackOff { pause, reason } => Step::BackOff { pause, reason: words(&reason) },
        Step::Fetch(requests) => Step::Fetch(requests),
    })
}

fn request(request: wit::Request) -> EndpointRequest {
    EndpointRequest { endpoint: request.endpoint, path: request.path, query: request.query, headers: request.headers }
}
