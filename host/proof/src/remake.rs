//! Making things again with the plugin that made them: from its component, its configuration and the recorded input.
//!
//! Does not compare what comes out with what is there, and writes nothing: `verify` and `explain` compare.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use lake::answers::{AnswerAt, Past};
use lake::bronze::Meta;
use lake::failure::Failure;
use lake::generations::{Generation, Generations};
use lake::{Lake, LakeError, components};
use pipeline::plan::Limits;
use records::keys::Tick;
use seams::http::HttpAnswer;
use seams::plugin::{Aggregator, Cleaned, Cleaner, Enricher, Fault, Grants, LoadError, Plugins, Step};
use thiserror::Error;
use tokio::sync::Mutex;

/// Why something cannot be made again.
#[derive(Debug, Error)]
pub enum CannotRemake {
    /// No generation of that number is recorded.
    #[error("generation {number} of the {stage} plugin is not recorded")]
    NoGeneration {
        /// The stage.
        stage: String,
        /// The number.
        number: u32,
    },
    /// The component is not kept in the lake.
    #[error("the component {0} is not in the lake")]
    NoComponent(String),
    /// The component cannot be loaded any more.
    #[error("the component {digest} cannot be loaded: {error}")]
    Load {
        /// Its digest.
        digest: String,
        /// Why.
        error: LoadError,
    },
    /// An answer that the document was made from is not kept.
    #[error("the kept answer `{0}` is missing")]
    NoAnswer(String),
    /// An answer that the document was made from was not worth keeping: it does not answer the request.
    #[error("an answer of the service was not kept (status {0})")]
    NotKept(u16),
    /// The plugin makes another request than is recorded: it did not make the document, or it is not pure.
    #[error("the plugin asks for {asked}, recorded is {recorded}")]
    AsksOtherwise {
        /// The request.
        asked: String,
        /// What was answered.
        recorded: String,
    },
    /// The plugin traps or returns something invalid.
    #[error("the plugin breaks [{}]: {}", .0.code, .0.message)]
    Fault(Fault),
    /// The plugin has broken so often that it is not called any more.
    #[error("{0}")]
    GivenUp(String),
    /// An object of the lake does not hold what it should.
    #[error("{0}")]
    Corrupt(String),
}

/// What an enrich plugin makes of a record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remade {
    /// The document.
    Document(String),
    /// Nothing.
    Skipped(String),
    /// Nothing, and the record is refused.
    Refused(String),
}

/// Why the attempt itself failed, or why it has no result.
#[derive(Debug, Error)]
pub enum RemakeError {
    /// The lake lacks what is needed.
    #[error(transparent)]
    Cannot(#[from] CannotRemake),
    /// The lake could not be read.
    #[error(transparent)]
    Failed(#[from] Failure),
}

impl From<LakeError> for RemakeError {
    fn from(error: LakeError) -> Self {
        match error {
            LakeError::Corrupt { .. } => RemakeError::Cannot(CannotRemake::Corrupt(error.to_string())),
            other => RemakeError::Failed(other.into()),
        }
    }
}

type Cache<T> = Mutex<HashMap<(String, String), Arc<T>>>;

/// Loads the plugins that made the lake, each once.
pub struct Workshop {
    lake: Lake,
    plugins: Arc<dyn Plugins>,
    limits: Limits,
    answers: Past,
    enrich: BTreeMap<u32, Generation>,
    clean: BTreeMap<u32, Generation>,
    enrichers: Cache<dyn Enricher>,
    cleaners: Cache<dyn Cleaner>,
    aggregators: Cache<dyn Aggregator>,
}

impl Workshop {
    /// Opens the history of the lake's plugins. `limits` bound each call; they must not be narrower than those of the run.
    pub async fn open(lake: &Lake, plugins: Arc<dyn Plugins>, limits: Limits) -> Result<Self, Failure> {
        let numbered = |all: Vec<Generation>| all.into_iter().map(|one| (one.number, one)).collect();
        Ok(Workshop {
            lake: lake.clone(),
            plugins,
            limits,
            answers: Past::default(),
            enrich: numbered(Generations::of_enrich(lake).all().await?),
            clean: numbered(Generations::of_clean(lake).all().await?),
            enrichers: Mutex::default(),
            cleaners: Mutex::default(),
            aggregators: Mutex::default(),
        })
    }

    /// The generation of the enrich plugin.
    pub fn enrich_generation(&self, number: u32) -> Result<&Generation, CannotRemake> {
        find(&self.enrich, "enrich", number)
    }

    /// The generation of the clean plugin.
    pub fn clean_generation(&self, number: u32) -> Result<&Generation, CannotRemake> {
        find(&self.clean, "clean", number)
    }

    /// What the recorded enrich plugin makes of a line's record and recorded answers.
    pub async fn document(&self, meta: &Meta) -> Result<Remade, RemakeError> {
        let text = serde_json::to_string(&meta.record).unwrap_or_default();
        if meta.generation == 0 {
            return Ok(Remade::Document(text));
        }
        if let Some(status) = meta.unkept.first() {
            return Err(CannotRemake::NotKept(*status).into());
        }
        let generation = self.enrich_generation(meta.generation)?;
        let plugin = self.enricher(generation).await?;
        let mut given: Vec<HttpAnswer> = Vec::new();
        // Each round asks for more, so there is at most one round for each answer, and one that decides.
        for _ in 0..=meta.answers.len() {
            match plugin.enrich(&text, &given).await.map_err(CannotRemake::Fault)? {
                Step::Done(document) => return Ok(Remade::Document(document)),
                Step::Skip(reason) => return Ok(Remade::Skipped(reason)),
                Step::Reject(reason) => return Ok(Remade::Refused(reason)),
                Step::BackOff { reason, .. } => return Ok(Remade::Refused(reason)),
                Step::Fetch(requests) => {
                    for request in requests {
                        let at = meta.answers.get(given.len()).map(|text| AnswerAt::from_text(text));
                        given.push(self.answer(meta.seq, at, &request).await?);
                    }
                }
            }
        }
        Err(CannotRemake::AsksOtherwise { asked: "ever more".into(), recorded: "no more answer".into() }.into())
    }

    async fn answer(
        &self,
        tick: Tick,
        at: Option<AnswerAt>,
        request: &seams::plugin::EndpointRequest,
    ) -> Result<HttpAnswer, RemakeError> {
        let asked = || format!("`{}` of endpoint `{}`", request.path, request.endpoint);
        let Some(at) = at else {
            return Err(CannotRemake::AsksOtherwise { asked: asked(), recorded: "no more answer".into() }.into());
        };
        let kept = self.answers.read(&self.lake, tick, &at).await?;
        let Some((recorded, answer)) = kept else { return Err(CannotRemake::NoAnswer(at.to_string()).into()) };
        let same = recorded.endpoint == request.endpoint
            && recorded.path == request.path
            && request.query.iter().all(|parameter| recorded.query.contains(parameter));
        if same {
            Ok(answer)
        } else {
            let recorded = format!("`{}` of endpoint `{}`", recorded.path, recorded.endpoint);
            Err(CannotRemake::AsksOtherwise { asked: asked(), recorded }.into())
        }
    }

    /// What a generation of the clean plugin makes of these documents.
    pub async fn rows(&self, number: u32, documents: &[Bytes]) -> Result<Result<Cleaned, Fault>, RemakeError> {
        let generation = self.clean_generation(number)?;
        Ok(self.cleaner(generation).await?.clean(documents).await.map(lake::instants::within_calendar))
    }

    async fn enricher(&self, of: &Generation) -> Result<Arc<dyn Enricher>, RemakeError> {
        let mut cache = self.enrichers.lock().await;
        if let Some(plugin) = cache.get(&name(of)) {
            return Ok(Arc::clone(plugin));
        }
        let (component, grants) = self.component(of).await?;
        let loaded = self.plugins.enricher(component, &grants).await.map_err(|error| load_error(of, error))?;
        cache.insert(name(of), Arc::clone(&loaded));
        Ok(loaded)
    }

    /// The cleaner of a generation.
    pub async fn cleaner(&self, of: &Generation) -> Result<Arc<dyn Cleaner>, RemakeError> {
        let mut cache = self.cleaners.lock().await;
        if let Some(plugin) = cache.get(&name(of)) {
            return Ok(Arc::clone(plugin));
        }
        let (component, grants) = self.component(of).await?;
        let loaded = self.plugins.cleaner(component, &grants).await.map_err(|error| load_error(of, error))?;
        cache.insert(name(of), Arc::clone(&loaded));
        Ok(loaded)
    }

    /// The aggregator of a generation.
    pub async fn aggregator(&self, of: &Generation) -> Result<Arc<dyn Aggregator>, RemakeError> {
        let mut cache = self.aggregators.lock().await;
        if let Some(plugin) = cache.get(&name(of)) {
            return Ok(Arc::clone(plugin));
        }
        let (component, grants) = self.component(of).await?;
        let loaded = self.plugins.aggregator(component, &grants).await.map_err(|error| load_error(of, error))?;
        cache.insert(name(of), Arc::clone(&loaded));
        Ok(loaded)
    }

    async fn component(&self, of: &Generation) -> Result<(Bytes, Grants), RemakeError> {
        let digest = &of.plugin.digest;
        let component = components::get(&self.lake, digest).await?;
        let component = component.ok_or_else(|| CannotRemake::NoComponent(digest.clone()))?;
        Ok((component, Grants { config: of.config.clone(), limits: self.limits }))
    }
}

fn name(of: &Generation) -> (String, String) {
    (of.plugin.digest.clone(), of.config.clone())
}

fn load_error(of: &Generation, error: LoadError) -> RemakeError {
    CannotRemake::Load { digest: of.plugin.digest.clone(), error }.into()
}

fn find<'a>(all: &'a BTreeMap<u32, Generation>, stage: &str, number: u32) -> Result<&'a Generation, CannotRemake> {
    all.get(&number).ok_or_else(|| CannotRemake::NoGeneration { stage: stage.to_owned(), number })
}
