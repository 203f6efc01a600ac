//! The declared secrets: read where `[secrets]` says, put into templates, and known to the redactor before any service is sent one.
//!
//! Does not send anything.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use lake::failure::Failure;
use pipeline::plan::{Endpoint, Template, TemplatePart};
use seams::clock::Clock;
use seams::secrets::{ExposeSecret, SecretError, SecretRef, SecretString, Secrets};
use sha2::{Digest as _, Sha256};

use crate::redaction::Redactor;

/// The pause before another look for a secret that could not be read and that nothing is sent with.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// The pause before secrets are read past their caches again, to see whether one has changed.
const LOOK_FRESH: Duration = Duration::from_secs(30);
/// Rounds of a digest of secrets: guesses cost the more.
const ROUNDS: u32 = 2_000;
/// Bytes of it that are kept: few enough that many thousands of wrong guesses fit as well.
const KEPT: usize = 2;

/// The secrets of one pipeline.
#[derive(Debug)]
pub struct Keys {
    references: BTreeMap<String, SecretRef>,
    secrets: Arc<dyn Secrets>,
    clock: Arc<dyn Clock>,
    redactor: Redactor,
    /// Secrets that were not read yet, and when that is tried.
    unread: Mutex<BTreeMap<String, DateTime<Utc>>>,
    /// When all secrets were last read at their places, past every cache.
    looked: Mutex<DateTime<Utc>>,
}

impl Keys {
    pub(super) fn new(
        references: &BTreeMap<String, SecretRef>,
        secrets: Arc<dyn Secrets>,
        clock: Arc<dyn Clock>,
        redactor: Redactor,
    ) -> Self {
        let unread = references.keys().map(|name| (name.clone(), DateTime::UNIX_EPOCH)).collect();
        Keys {
            references: references.clone(),
            secrets,
            clock,
            redactor,
            unread: Mutex::new(unread),
            looked: Mutex::default(),
        }
    }

    /// What knows every value that was read here.
    #[must_use]
    pub fn redactor(&self) -> &Redactor {
        &self.redactor
    }

    /// The declared secrets by name, and the names of those that cannot be read now.
    pub async fn all(&self) -> (Vec<(String, SecretString)>, Vec<String>) {
        self.read_all(false).await
    }

    async fn read_all(&self, fresh: bool) -> (Vec<(String, SecretString)>, Vec<String>) {
        let (mut had, mut absent) = (Vec::new(), Vec::new());
        for name in self.references.keys() {
            match self.secret(name, fresh).await {
                Ok(secret) => had.push((name.clone(), secret)),
                Err(_) => absent.push(name.clone()),
            }
        }
        (had, absent)
    }

    /// Reads the secrets that were not read yet, so that an echo of one in an answer is known.
    pub(super) async fn learn(&self) {
        let now = self.clock.now();
        let due: Vec<String> = match self.unread.lock() {
            Ok(mut unread) => {
                let later = TimeDelta::from_std(LOOK_AGAIN).unwrap_or_default();
                let due: Vec<String> = unread
                    .iter()
                    .filter(|(_, at)| **at <= now || **at > now + later)
                    .map(|(name, _)| name.clone())
                    .collect();
                let later = now + later;
                unread.extend(due.iter().map(|name| (name.clone(), later)));
                due
            }
            Err(_) => Vec::new(),
        };
        for name in due {
            // A secret that cannot be read was never sent by this process, so no service can echo it from here.
            let _ = self.secret(&name, false).await;
        }
    }

    pub(super) async fn fill(&self, template: &Template, fresh: bool) -> Result<String, SecretError> {
        let mut text = String::new();
        for part in &template.0 {
            match part {
                TemplatePart::Text(piece) => text.push_str(piece),
                TemplatePart::Secret(name) => {
                    let secret = self.secret(name, fresh).await?;
                    self.register_basic(&text, secret.expose_secret());
                    text.push_str(secret.expose_secret());
                }
            }
        }
        Ok(text)
    }

    /// What `Basic` holds is a user's name and password in Base64: a service that refuses them may say them as they are.
    fn register_basic(&self, before: &str, secret: &str) {
        use base64::Engine as _;
        use base64::engine::general_purpose::STANDARD;
        if !before.trim_end().to_lowercase().ends_with("basic") {
            return;
        }
        let decoded = STANDARD.decode(secret.trim()).ok().and_then(|bytes| String::from_utf8(bytes).ok());
        if let Some(pair) = decoded {
            self.redactor.register(&pair);
            if let Some((_, password)) = pair.split_once(':') {
                self.redactor.register(password);
            }
        }
    }

    async fn secret(&self, name: &str, fresh: bool) -> Result<SecretString, SecretError> {
        // The plan has checked that every template names a declared secret.
        let reference = self.references.get(name).cloned().unwrap_or_else(|| SecretRef::Env(name.to_owned()));
        let secret = if fresh { self.secrets.refresh(&reference).await } else { self.secrets.get(&reference).await }?;
        let is_long = self.redactor.register(secret.expose_secret());
        let is_first = self.unread.lock().is_ok_and(|mut unread| unread.remove(name).is_some());
        if is_first && !is_long {
            tracing::warn!(
                secret = name,
                "the secret is too short to be blotted out where a service echoes it: take a longer one"
            );
        }
        Ok(secret)
    }

    /// Reads the endpoint's secrets again. Returns whether one has changed.
    pub(super) async fn refresh(&self, endpoint: &Endpoint) -> Result<bool, Failure> {
        let mut changed = false;
        for (_, template) in endpoint.query.iter().chain(&endpoint.headers) {
            let before = self.fill(template, false).await?;
            changed |= self.fill(template, true).await? != before;
        }
        Ok(changed)
    }

    /// Whether to look past the caches again: an operator's change counts soon, and a place of secrets is not asked all the time.
    fn looks_again(&self) -> bool {
        let now = self.clock.now();
        // Also when the clock was set back since.
        let is_due = |last: DateTime<Utc>| (now - last).abs().to_std().is_ok_and(|span| span >= LOOK_FRESH);
        self.looked.lock().is_ok_and(|mut last| {
            is_due(*last) && {
                *last = now;
                true
            }
        })
    }

    /// A digest of these endpoints and of every secret. It shows a later change of either, and no secret can be guessed from it: it is
    /// salted, slow, and so short that thousands of other values have the same. None if a secret cannot be read now.
    pub(super) async fn digest<'e>(
        &self,
        endpoints: impl Iterator<Item = (&'e String, &'e Endpoint)>,
        salt: &str,
        fresh: bool,
    ) -> Option<String> {
        let (had, absent) = self.read_all(fresh && self.looks_again()).await;
        if !absent.is_empty() {
            return None;
        }
        let mut digest = Sha256::new();
        let mut part = |bytes: &[u8]| {
            digest.update(bytes.len().to_be_bytes());
            digest.update(bytes);
        };
        part(salt.as_bytes());
        for (name, endpoint) in endpoints {
            part(name.as_bytes());
            part(&serde_json::to_vec(endpoint).unwrap_or_default());
        }
        for (name, secret) in &had {
            part(name.as_bytes());
            part(secret.expose_secret().as_bytes());
        }
        let mut bytes = digest.finalize();
        for _ in 0..ROUNDS {
            bytes = Sha256::digest(bytes);
        }
        bytes.get(..KEPT).map(hex::encode)
    }
}
