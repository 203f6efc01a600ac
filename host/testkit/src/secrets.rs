//! Secrets in a map, with every way in which a place of secrets can fail, and a cache that can be stale.
//!
//! Does not read the environment or a file.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use seams::secrets::{SecretError, SecretRef, SecretString, Secrets};

#[derive(Debug)]
enum Place {
    Holds(SecretString),
    Denies,
    IsDown,
}

#[derive(Debug, Default)]
struct State {
    places: BTreeMap<SecretRef, Place>,
    cache: BTreeMap<SecretRef, SecretString>,
    refreshes: usize,
}

/// [`Secrets`] from a map. `get` answers from a cache once it was asked, as an adapter of a remote service does.
#[derive(Debug, Default)]
pub struct MapSecrets(Mutex<State>);

impl MapSecrets {
    /// These secrets and no others.
    #[must_use]
    pub fn new<'a>(secrets: impl IntoIterator<Item = (SecretRef, &'a str)>) -> Arc<Self> {
        let map = MapSecrets::default();
        secrets.into_iter().for_each(|(reference, value)| map.set(reference, value));
        Arc::new(map)
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a value in its place; a cached one stays until it is refreshed.
    pub fn set(&self, reference: SecretRef, value: &str) {
        self.state().places.insert(reference, Place::Holds(value.to_string().into()));
    }

    /// Removes the secret from its place, and from the cache.
    pub fn remove(&self, reference: &SecretRef) {
        self.state().places.remove(reference);
        self.state().cache.remove(reference);
    }

    /// Refuses the secret from now on.
    pub fn deny(&self, reference: SecretRef) {
        self.state().cache.remove(&reference);
        self.state().places.insert(reference, Place::Denies);
    }

    /// Takes the secret's place down.
    pub fn take_down(&self, reference: SecretRef) {
        self.state().cache.remove(&reference);
        self.state().places.insert(reference, Place::IsDown);
    }

    /// The number of calls of `refresh`.
    #[must_use]
    pub fn refreshes(&self) -> usize {
        self.state().refreshes
    }
}

fn look(state: &mut State, reference: &SecretRef) -> Result<SecretString, SecretError> {
    match state.places.get(reference) {
        Some(Place::Holds(value)) => {
            state.cache.insert(reference.clone(), value.clone());
            Ok(value.clone())
        }
        Some(Place::Denies) => Err(SecretError::Denied(reference.clone(), "the test says so".into())),
        Some(Place::IsDown) => Err(SecretError::Unavailable(reference.clone(), "the test took it down".into())),
        None => Err(SecretError::Missing(reference.clone())),
    }
}

#[async_trait]
impl Secrets for MapSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let mut state = self.state();
        match state.cache.get(reference) {
            Some(value) => Ok(value.clone()),
            None => look(&mut state, reference),
        }
    }

    async fn refresh(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        let mut state = self.state();
        state.refreshes += 1;
        look(&mut state, reference)
    }
}
