//! The breaker of a stage: a plugin that fails on too many records is suspended before what it refuses reaches quarantine.
//!
//! Does not look at one record: if the plugin refuses few, the records are at fault. Does not stop anything by itself: `drivers::consumer`
//! does, by the class of the failure that [`Breaker::judge`] returns.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use chrono::{DateTime, Utc};
use futures::TryStreamExt;
use lake::LakeError;
use lake::failure::Failure;
use lake::quarantine::{REFUSED_BY_RETRIES, Refused};
use pipeline::plan::Percent;
use records::keys::{Key, fingerprint};
use seams::clock::Clock;
use seams::plugin::PluginStamp;
use seams::store::{ObjectStoreExt as _, Path, Store, read_if_there, replace};

use super::gateway::Gateway;

mod lift;
mod suspension;

pub use lift::{Lifted, lift, suspensions};
use suspension::FOLDER;
pub use suspension::{BehindSince, Sample, Surroundings, Suspension};

/// How many records it takes to judge a plugin: among fewer, a few odd ones are a large share.
const LEAST: usize = 50;
/// How many of the latest records count, rounded up to whole batches. Few enough to find out within tens of records that a plugin which was
/// right all day is wrong since its service changed. Enough that one which rightly refuses every tenth record does not pass a fifth of them
/// by chance.
const WINDOW: usize = 200;
/// For how many records a plugin is compared with the one before it, after it took over.
const TRIAL: usize = 1000;
/// How many more of a hundred records it may fail on than the one before it.
const WORSE_BY: usize = 5;
/// Refusals that are reported in full.
const SAMPLES: usize = 5;
/// Characters of a sample's reason.
const SAMPLE_LENGTH: usize = 300;
/// A failure of the host in a call of a plugin, which is not the plugin's.
pub const HOST_FAULT: &str = "P900";

/// Records of one batch, and on how many of them the plugin failed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    records: usize,
    failed: usize,
}

/// What a plugin that took over is compared with.
#[derive(Clone, Copy, Debug)]
struct Trial {
    /// The latest results of the one before it.
    before: Batch,
    /// Records until it is over.
    left: usize,
}

/// Judges one stage's plugin by its latest records in this process.
#[derive(Debug)]
pub struct Breaker {
    stage: &'static str,
    layer: Store,
    plugin: Option<PluginStamp>,
    config: String,
    suspend_above: Percent,
    clock: Arc<dyn Clock>,
    /// What the plugin calls services through, if it calls any.
    gateway: Option<Arc<Gateway>>,
    window: Mutex<VecDeque<Batch>>,
    trial: Mutex<Option<Trial>>,
}

impl Breaker {
    /// The breaker of `stage`, whose suspensions are kept in `layer`. A stage without a plugin is never suspended.
    #[must_use]
    pub fn new(
        stage: &'static str,
        layer: Store,
        (plugin, config): (Option<PluginStamp>, &str),
        suspend_above: Percent,
        clock: Arc<dyn Clock>,
    ) -> Self {
        let (window, trial) = (Mutex::default(), Mutex::default());
        Breaker { stage, layer, plugin, config: config.to_owned(), suspend_above, clock, gateway: None, window, trial }
    }

    /// The time by its clock.
    pub(super) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// The breaker of a plugin that calls services through `gateway`: a changed endpoint or secret lifts a suspension.
    #[must_use]
    pub fn calling(self, gateway: Arc<Gateway>) -> Self {
        Breaker { gateway: Some(gateway), ..self }
    }

    /// A breaker of the same plugin that has seen nothing yet.
    #[must_use]
    pub fn fresh(&self) -> Self {
        let (layer, clock) = (Arc::clone(&self.layer), Arc::clone(&self.clock));
        let fresh = Breaker::new(self.stage, layer, (self.plugin.clone(), &self.config), self.suspend_above, clock);
        Breaker { gateway: self.gateway.clone(), ..fresh }
    }

    /// Compares the plugin with the one whose breaker is `before` for its first 1,000 records. If it fails on clearly more of them, it is
    /// not suspended, because the one before can serve in its place.
    #[must_use]
    pub fn on_trial(self, before: &Breaker) -> Self {
        let trial = Trial { before: before.with(Batch::default()), left: TRIAL };
        Breaker { trial: Mutex::new(Some(trial)), ..self }
    }

    /// Judges the plugin by `records` records and by those that were `refused`, before any of them is committed. [`Failure::Plugin`] if it
    /// refused too many: then nothing of the batch may be kept. Otherwise the batch is to be [`passed`](Self::passed) once it is committed.
    pub async fn judge(&self, records: usize, refused: &[Refused]) -> Result<Batch, Failure> {
        let (by_plugin, by_others): (Vec<_>, Vec<_>) =
            refused.iter().partition(|one| ![HOST_FAULT, REFUSED_BY_RETRIES].contains(&one.code.as_str()));
        let batch = Batch { records: records.saturating_sub(by_others.len()), failed: by_plugin.len() };
        if batch.failed == 0 {
            return Ok(batch);
        }
        // Another process may have suspended it.
        self.ready().await?;
        let whole = self.with(batch);
        if let Some(trial) = self.trial() {
            return if self.is_worse(whole, trial) { Err(self.worse(whole, trial)) } else { Ok(batch) };
        }
        let Some(plugin) = self.plugin.as_ref().filter(|_| self.is_too_much(whole)) else { return Ok(batch) };
        let suspension = Suspension {
            stage: self.stage.to_owned(),
            plugin: plugin.clone(),
            suspend_above: self.suspend_above,
            records: whole.records,
            failed: whole.failed,
            at: self.clock.now(),
            samples: by_plugin.into_iter().take(SAMPLES).map(sample).collect(),
            surroundings: self.surroundings().await,
            behind: None,
        };
        let path = self.path(plugin);
        let body = serde_json::to_vec_pretty(&suspension).map_err(|error| LakeError::corrupt(&path, error))?;
        replace(&*self.layer, &path, body.into()).await?;
        Err(self.failure(&suspension))
    }

    /// Counts a batch that was committed.
    pub fn passed(&self, batch: Batch) {
        if let Ok(mut trial) = self.trial.lock() {
            *trial = trial.map(|now| Trial { left: now.left.saturating_sub(batch.records), ..now });
            trial.take_if(|now| now.left == 0);
        }
        let Ok(mut window) = self.window.lock() else { return };
        window.push_back(batch);
        let mut records: usize = window.iter().map(|batch| batch.records).sum();
        while let Some(oldest) = window.front().filter(|oldest| records - oldest.records >= WINDOW) {
            records -= oldest.records;
            window.pop_front();
        }
    }

    /// Whether the stage may work: [`Failure::Plugin`] if its plugin, with this configuration and limit, was suspended, and nothing around
    /// it has changed since.
    pub async fn ready(&self) -> Result<(), Failure> {
        let Some(suspension) = self.suspension().await? else { return Ok(()) };
        if !self.has_changed(&suspension).await {
            return Err(self.failure(&suspension));
        }
        tracing::info!(stage = self.stage, "an endpoint or a secret has changed: the suspension is lifted");
        if let Err(error) = self.layer.delete(&self.path(&suspension.plugin)).await {
            // It stops no host with the same secrets; only `status` still shows it.
            tracing::warn!(stage = self.stage, %error, "cannot take the note of the suspension away");
        }
        Ok(())
    }

    /// The suspension of the plugin with this configuration and limit, if there is one.
    pub async fn suspension(&self) -> Result<Option<Suspension>, LakeError> {
        let Some(plugin) = &self.plugin else { return Ok(None) };
        let path = self.path(plugin);
        let Some(body) = read_if_there(&*self.layer, &path).await? else { return Ok(None) };
        let kept: Suspension = serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(&path, error))?;
        Ok(Some(kept).filter(|kept| kept.suspend_above == self.suspend_above))
    }

    /// Whether a suspension has been lifted, by hand or because something has changed. Then earlier failures no longer count.
    pub async fn is_lifted(&self) -> bool {
        let lifted = self.ready().await.is_ok();
        if lifted && let Ok(mut window) = self.window.lock() {
            window.clear();
        }
        lifted
    }

    /// Whether an endpoint or a secret has changed since the plugin failed. One that cannot be read now counts as unchanged.
    async fn has_changed(&self, kept: &Suspension) -> bool {
        let (Some(gateway), Some(then)) = (&self.gateway, &kept.surroundings) else { return false };
        gateway.digest(&then.salt, true).await.is_some_and(|now| now != then.digest)
    }

    async fn surroundings(&self) -> Option<Surroundings> {
        let gateway = self.gateway.as_ref()?;
        let salt = format!("{:032x}", rand::random::<u128>());
        let digest = gateway.digest(&salt, false).await?;
        Some(Surroundings { salt, digest })
    }

    fn failure(&self, suspension: &Suspension) -> Failure {
        let (mend, before) = match self.gateway {
            Some(_) => ("the plugin, its configuration, the endpoint or its secret", " --fetch"),
            None => ("the plugin or its configuration", ""),
        };
        Failure::Plugin(format!(
            "{}\nhint: nothing of that is in quarantine and its messages stay queued; mend {mend} and run again: that lifts the \
             suspension, and `sluicebox resume {stage}` does so as it is; `suspend_above` in `[{stage}]` is the limit; what was refused \
             before it is made again by `sluicebox quarantine replay{before}`",
            suspension.reason(),
            stage = self.stage
        ))
    }

    fn path(&self, plugin: &PluginStamp) -> Path {
        let id = fingerprint(&[self.stage.as_bytes(), plugin.digest.as_bytes(), self.config.as_bytes()]);
        Path::from(format!("{FOLDER}/{id}.json"))
    }

    fn with(&self, batch: Batch) -> Batch {
        let sum =
            |sum: Batch, one: &Batch| Batch { records: sum.records + one.records, failed: sum.failed + one.failed };
        self.window.lock().map(|window| window.iter().fold(batch, sum)).unwrap_or(batch)
    }

    fn trial(&self) -> Option<Trial> {
        self.trial.lock().ok().and_then(|trial| *trial)
    }

    /// Whether the plugin fails on a larger share than the one before it did, by more than chance explains.
    fn is_worse(&self, now: Batch, Trial { before, .. }: Trial) -> bool {
        let of_a_hundred = |batch: Batch| (batch.failed * 100).checked_div(batch.records).unwrap_or(0);
        self.is_too_much(now) || now.records >= LEAST && of_a_hundred(now) > of_a_hundred(before) + WORSE_BY
    }

    /// Names counts only: it is kept for longer than a record that is to be forgotten.
    fn worse(&self, now: Batch, Trial { before, .. }: Trial) -> Failure {
        let name = self.plugin.as_ref().map_or("?", |plugin| &plugin.name);
        Failure::Plugin(format!(
            "`{name}` fails on {} of its first {} records, the version before it failed on {} of the last {}",
            now.failed, now.records, before.failed, before.records
        ))
    }

    fn is_too_much(&self, batch: Batch) -> bool {
        batch.records >= LEAST && batch.failed * 100 > batch.records * usize::from(self.suspend_above.get())
    }
}

/// Removes the samples of a record from the suspensions that are kept in `layer`.
pub async fn forget(layer: &Store, key: &Key) -> Result<(), LakeError> {
    let kept: Vec<_> = layer.list(Some(&Path::from(FOLDER))).try_collect().await?;
    for path in kept.into_iter().map(|object| object.location) {
        let Some(body) = read_if_there(&**layer, &path).await? else { continue };
        let mut suspension: Suspension =
            serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(&path, error))?;
        let before = suspension.samples.len();
        suspension.samples.retain(|sample| sample.key.as_deref() != Some(key.as_str()));
        if suspension.samples.len() < before {
            let body = serde_json::to_vec_pretty(&suspension).map_err(|error| LakeError::corrupt(&path, error))?;
            replace(&**layer, &path, body.into()).await?;
        }
    }
    Ok(())
}

fn sample(refused: &Refused) -> Sample {
    Sample {
        code: refused.code.clone(),
        reason: refused.reason.chars().take(SAMPLE_LENGTH).collect(),
        input: refused.input.clone(),
        key: refused.key.as_ref().map(ToString::to_string),
    }
}
