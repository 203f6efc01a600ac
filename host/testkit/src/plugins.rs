//! Plugins made of closures, loaded from bytes as real ones are.
//!
//! Does not limit what a closure does: deadlines and memory are the real runtime's.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::array::RecordBatch;
use async_trait::async_trait;
use bytes::Bytes;
use seams::http::HttpAnswer;
use seams::plugin::{
    Aggregator, Cleaned, Cleaner, Descriptor, Digest, Enricher, Fault, FaultKind, Grants, LoadError, Plugin, Plugins,
    Step,
};

/// The bytes that stand for the component of a closure plugin; its digest is the digest of these bytes.
#[must_use]
pub fn component(name: &str, version: &str) -> Bytes {
    Bytes::from(format!("closure plugin {name} {version}"))
}

/// A fault as a plugin's trap makes it.
#[must_use]
pub fn trap(message: &str) -> Fault {
    Fault { kind: FaultKind::Trap, code: "P101", message: message.into(), backtrace: None, log: Vec::new() }
}

type EnrichFn = dyn Fn(&str, &str, &[HttpAnswer]) -> Result<Step, Fault> + Send + Sync;
type CleanFn = dyn Fn(&str, &[Bytes]) -> Result<Cleaned, Fault> + Send + Sync;
type FoldFn = dyn Fn(&str, &[RecordBatch]) -> Result<Bytes, Fault> + Send + Sync;
type MergeFn = dyn Fn(&str, &[Bytes]) -> Result<Bytes, Fault> + Send + Sync;
type FinishFn = dyn Fn(&str, &[Bytes]) -> Result<RecordBatch, Fault> + Send + Sync;

macro_rules! closure_plugin {
    ($(#[$doc:meta])* $name:ident { $($part:ident: $ty:ty),* }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name {
            descriptor: Descriptor,
            digest: Digest,
            component: Bytes,
            config: String,
            $($part: Arc<$ty>,)*
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({} {})", stringify!($name), self.descriptor.name, self.descriptor.version)
            }
        }

        impl Plugin for $name {
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
    };
}

closure_plugin! {
    /// An [`Enricher`] from `(config, entry, answers) → step`.
    ClosureEnricher { enrich: EnrichFn }
}
closure_plugin! {
    /// A [`Cleaner`] from `(config, documents) → cleaned`.
    ClosureCleaner { clean: CleanFn }
}
closure_plugin! {
    /// An [`Aggregator`] from `(config, rows) → partial`, `(config, partials) → partial` and `(config, partials) → table`.
    ClosureAggregator { fold: FoldFn, merge: MergeFn, finish: FinishFn }
}

fn component_of(descriptor: &Descriptor) -> Bytes {
    component(&descriptor.name, &descriptor.version)
}

fn digest_of(descriptor: &Descriptor) -> Digest {
    Digest::of(&component_of(descriptor))
}

impl ClosureEnricher {
    /// An enricher that needs no loading; its configuration is `{}`.
    #[must_use]
    pub fn new<E>(descriptor: Descriptor, enrich: E) -> Self
    where
        E: Fn(&str, &str, &[HttpAnswer]) -> Result<Step, Fault> + Send + Sync + 'static,
    {
        ClosureEnricher {
            digest: digest_of(&descriptor),
            component: component_of(&descriptor),
            config: "{}".into(),
            enrich: Arc::new(enrich),
            descriptor,
        }
    }
}

impl ClosureCleaner {
    /// A cleaner that needs no loading; its configuration is `{}`.
    #[must_use]
    pub fn new<C>(descriptor: Descriptor, clean: C) -> Self
    where
        C: Fn(&str, &[Bytes]) -> Result<Cleaned, Fault> + Send + Sync + 'static,
    {
        ClosureCleaner {
            digest: digest_of(&descriptor),
            component: component_of(&descriptor),
            config: "{}".into(),
            clean: Arc::new(clean),
            descriptor,
        }
    }
}

impl ClosureAggregator {
    /// An aggregator that needs no loading; its configuration is `{}`.
    #[must_use]
    pub fn new<F, M, G>(descriptor: Descriptor, fold: F, merge: M, finish: G) -> Self
    where
        F: Fn(&str, &[RecordBatch]) -> Result<Bytes, Fault> + Send + Sync + 'static,
        M: Fn(&str, &[Bytes]) -> Result<Bytes, Fault> + Send + Sync + 'static,
        G: Fn(&str, &[Bytes]) -> Result<RecordBatch, Fault> + Send + Sync + 'static,
    {
        let (digest, component) = (digest_of(&descriptor), component_of(&descriptor));
        ClosureAggregator {
            digest,
            component,
            config: "{}".into(),
            fold: Arc::new(fold),
            merge: Arc::new(merge),
            finish: Arc::new(finish),
            descriptor,
        }
    }
}

#[async_trait]
impl Enricher for ClosureEnricher {
    async fn enrich(&self, entry: &str, answers: &[HttpAnswer]) -> Result<Step, Fault> {
        (self.enrich)(&self.config, entry, answers)
    }
}

#[async_trait]
impl Cleaner for ClosureCleaner {
    async fn clean(&self, documents: &[Bytes]) -> Result<Cleaned, Fault> {
        (self.clean)(&self.config, documents)
    }
}

#[async_trait]
impl Aggregator for ClosureAggregator {
    async fn fold(&self, rows: &[RecordBatch]) -> Result<Bytes, Fault> {
        (self.fold)(&self.config, rows)
    }

    async fn merge(&self, partials: &[Bytes]) -> Result<Bytes, Fault> {
        (self.merge)(&self.config, partials)
    }

    async fn finish(&self, partials: &[Bytes]) -> Result<RecordBatch, Fault> {
        (self.finish)(&self.config, partials)
    }
}

#[derive(Clone, Debug)]
enum Known {
    Enricher(ClosureEnricher),
    Cleaner(ClosureCleaner),
    Aggregator(ClosureAggregator),
}

/// [`Plugins`] that loads the closure plugins it knows, by [`component`]'s bytes.
#[derive(Debug, Default)]
pub struct ClosurePlugins(Mutex<HashMap<Digest, Known>>);

impl ClosurePlugins {
    /// Makes the enricher loadable; returns its component.
    pub fn add_enricher(&self, plugin: ClosureEnricher) -> Bytes {
        self.add(plugin.descriptor.clone(), Known::Enricher(plugin))
    }

    /// Makes the cleaner loadable; returns its component.
    pub fn add_cleaner(&self, plugin: ClosureCleaner) -> Bytes {
        self.add(plugin.descriptor.clone(), Known::Cleaner(plugin))
    }

    /// Makes the aggregator loadable; returns its component.
    pub fn add_aggregator(&self, plugin: ClosureAggregator) -> Bytes {
        self.add(plugin.descriptor.clone(), Known::Aggregator(plugin))
    }

    fn add(&self, descriptor: Descriptor, plugin: Known) -> Bytes {
        let known = &mut self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.insert(digest_of(&descriptor), plugin);
        component(&descriptor.name, &descriptor.version)
    }

    fn find(&self, component: &Bytes) -> Result<Known, LoadError> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&Digest::of(component)).cloned().ok_or_else(|| LoadError {
            code: "P011",
            message: format!("`{}` is not the component of a known closure plugin", String::from_utf8_lossy(component)),
            hint: Some("add the plugin to `ClosurePlugins` first".into()),
        })
    }
}

fn wrong_world(expected: &str, found: &Known) -> LoadError {
    let message = format!("expected a component of the world `{expected}`, got {found:?}");
    LoadError { code: "P022", message, hint: None }
}

#[async_trait]
impl Plugins for ClosurePlugins {
    async fn enricher(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Enricher>, LoadError> {
        match self.find(&component)? {
            Known::Enricher(plugin) => Ok(Arc::new(ClosureEnricher { config: grants.config.clone(), ..plugin })),
            other => Err(wrong_world("enricher", &other)),
        }
    }

    async fn cleaner(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Cleaner>, LoadError> {
        match self.find(&component)? {
            Known::Cleaner(plugin) => Ok(Arc::new(ClosureCleaner { config: grants.config.clone(), ..plugin })),
            other => Err(wrong_world("cleaner", &other)),
        }
    }

    async fn aggregator(&self, component: Bytes, grants: &Grants) -> Result<Arc<dyn Aggregator>, LoadError> {
        match self.find(&component)? {
            Known::Aggregator(plugin) => Ok(Arc::new(ClosureAggregator { config: grants.config.clone(), ..plugin })),
            other => Err(wrong_world("aggregator", &other)),
        }
    }
}
