//! Hot swap: replaces a plugin or the pipeline's file while the pipeline is served. A new version is loaded off the hot path, tried
//! beside the serving one, and takes over between two batches; a version that does worse is refused, with the reason.
//!
//! Does not switch: `engine::drivers::serving` does. Does not compare: `engine::rehearsal` does.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use engine::drivers::mending::mend;
use engine::drivers::service::Service;
use engine::drivers::serving::{Replaced, Serving};
use engine::progress::Progress;
use lake::events::{NewVersion, encode};
use lake::swaps::{self, Happened, Version};
use local::FileWatch;
use local::outside::OutsideError;
use pipeline::plan::Plan;
use pipeline::role::Role;
use seams::backoff;
use tokio_util::sync::CancellationToken;

use crate::compose::Shared;
use crate::context::Context;
use crate::pipelines::{self, InvalidPipelines, PipelineArgs, PipelineFile};
use crate::published::Published;

mod candidate;
mod compare;
mod refused;
mod sight;

use candidate::Candidate;
use compare::Comparing;
use refused::{Refused, WHOLE, of_file};
use sight::Sight;

/// How often a comparison looks for new inputs.
const COMPARE_EVERY: Duration = Duration::from_secs(1);
/// When a failed look is repeated: at first (doubled each time), and at most.
const AGAIN: (Duration, Duration) = (Duration::from_secs(2), Duration::from_secs(60));
/// A pipeline that is served and watched.
pub(crate) struct Watch<'a> {
    args: PipelineArgs,
    /// The file of the serving version.
    file: PipelineFile,
    serving: Arc<Serving>,
    shared: &'a Shared,
    context: &'a Context,
    /// The marks of the last look.
    seen: Vec<String>,
    /// When a look last found a change.
    noticed: DateTime<Utc>,
    /// Reads the marks.
    sight: Sight,
    comparing: Option<Comparing>,
    /// When the last look is repeated, if it failed.
    again: Option<Again>,
    /// The refusals that were already logged: a repeated look does not log them again.
    said: BTreeSet<(String, String)>,
}

/// A failed look that will be repeated.
struct Again {
    at: Instant,
    tries: u32,
}

impl Again {
    /// After one more failure.
    fn after(before: Option<&Again>) -> Self {
        let tries = before.map_or(0, |before| before.tries.saturating_add(1));
        let rest = backoff::doubled(AGAIN.0, tries, AGAIN.1);
        Again { at: Instant::now() + rest, tries }
    }
}

impl<'a> Watch<'a> {
    /// Watches the pipeline of `file`, which `serving` serves.
    pub(crate) fn new(
        args: &PipelineArgs,
        file: &PipelineFile,
        serving: Arc<Serving>,
        shared: &'a Shared,
        context: &'a Context,
    ) -> Self {
        let args = PipelineArgs { files: vec![file.path.clone()], ..args.clone() };
        let noticed = shared.clock().now();
        Watch {
            args,
            file: file.clone(),
            serving,
            shared,
            context,
            seen: Vec::new(),
            noticed,
            sight: Sight::default(),
            comparing: None,
            again: None,
            said: BTreeSet::new(),
        }
    }

    /// Watches until `stop`.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        let mut files = FileWatch::new();
        // A version published while the service was composed is noticed, too: no mark counts as seen before it was compared with the service.
        self.look().await;
        let mut turns = tokio::time::interval(COMPARE_EVERY);
        turns.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        while !stop.is_cancelled() {
            let watched = self.published(&self.file.plan);
            files.add(watched.iter().filter_map(Published::path));
            let comparing = self.comparing.is_some();
            tokio::select! {
                () = stop.cancelled() => return,
                () = files.changed() => self.look().await,
                _ = turns.tick(), if comparing => self.compare().await,
            }
        }
    }

    /// One look, for a process that gets no notice of changes: when this returns, a good published version serves.
    pub(crate) async fn turn(&mut self) {
        self.sight.expire();
        self.look().await;
        if self.comparing.is_some() {
            self.compare().await;
        }
    }

    /// Forgets the marks, so that the next look finds a change.
    pub(crate) fn forget(&mut self) {
        self.seen.clear();
    }

    /// The files and objects that decide which version serves.
    fn published(&self, plan: &Plan) -> Vec<Published> {
        let components = plan.stages().map(|(_, stage)| Published::component(&stage.plugin, &self.file.folder));
        let signed = !plan.trusted_keys.is_empty();
        let both = components.flat_map(|component| {
            let signature = signed.then(|| component.signature());
            std::iter::once(component).chain(signature)
        });
        std::iter::once(Published::File(self.file.path.clone())).chain(both).collect()
    }

    /// Looks for a change, and handles it.
    async fn look(&mut self) {
        let now = self.shared.clock().now();
        // Wherever the file is, its paths start where those of the first file did.
        let placed = |file: PipelineFile| PipelineFile { folder: self.file.folder.clone(), ..file };
        let next = pipelines::read_in_time(&self.args).await;
        let next = next.map(|files| files.into_iter().map(placed).collect::<Vec<_>>());
        let plan =
            next.as_ref().ok().and_then(|files| files.first()).map_or(&self.file.plan, |file| &file.plan).clone();
        let published = self.published(&plan);
        let sight = self.sight.of(published, &self.serving.current(), &self.file, self.shared).await;
        if sight != self.seen {
            (self.seen, self.noticed, self.again) = (sight, now, None);
            self.said.clear();
        } else if self.again.as_ref().is_none_or(|again| Instant::now() < again.at) {
            return;
        }
        if self.comparing.take().is_some() {
            tracing::info!("the comparison ends, for something else was published");
        }
        let built = match next.map(|mut files| files.pop()) {
            Ok(Some(next)) => Candidate::build(&self.file, next, &self.serving, self.shared, self.context).await,
            Ok(None) => Ok(None),
            Err(error) => Err(vec![self.invalid(&error).await]),
        };
        match built {
            Ok(None) => self.again = None,
            Ok(Some(candidate)) => self.consider(candidate).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    /// Tries a candidate, then lets it take over, or starts its comparison.
    async fn consider(&mut self, mut candidate: Candidate) {
        if let Err(refused) = candidate.rehearse(&self.serving.current()).await {
            return self.refuse(refused).await;
        }
        match candidate.file.plan.swap.compare.filter(|_| candidate.can_be_compared()) {
            None => self.promote(candidate).await,
            Some(how) => {
                let told = format!("on {} of what comes in, for {} inputs", how.share, how.inputs);
                for one in &candidate.replaced {
                    tracing::info!(
                        stage = one.stage,
                        plugin = one.new.plugin.short(),
                        told,
                        "compared before it may serve"
                    );
                    self.tell(&one.stage, &one.new, Happened::Compared { how: told.clone() }).await;
                }
                self.comparing = Comparing::start(candidate, how, &self.serving.current()).await;
            }
        }
    }

    /// Continues the comparison.
    async fn compare(&mut self) {
        let Some(mut comparing) = self.comparing.take() else { return };
        match comparing.step(&self.serving.current()).await {
            Ok(false) => self.comparing = Some(comparing),
            Ok(true) => self.promote(comparing.candidate).await,
            Err(refused) => self.refuse(refused).await,
        }
    }

    async fn promote(&mut self, candidate: Candidate) {
        let before = self.serving.current();
        let ready = match candidate.ready(&before, self.shared).await {
            Ok(ready) => ready,
            Err(refused) => return self.refuse(refused).await,
        };
        self.again = None;
        let Candidate { service, file, replaced, whole, summaries, .. } = ready;
        let tables =
            replaced.iter().any(|one| one.stage.starts_with("aggregate ")) && self.shared.serves(Role::Aggregate);
        if whole {
            self.serving.replace(service);
            tracing::info!("the pipeline's file is another, it is served from now on");
        } else {
            self.serving.switch(service, replaced.clone());
        }
        self.file = file;
        Progress::add(&before.progress.swapped, replaced.len());
        let after_ms = (self.shared.clock().now() - self.noticed).num_milliseconds();
        for one in &replaced {
            let summary = summaries.get(&one.stage).map(ToString::to_string).unwrap_or_default();
            tracing::info!(
                stage = one.stage,
                plugin = one.new.plugin.short(),
                before = one.old.plugin.short(),
                summary,
                after_ms,
                "another plugin serves"
            );
            self.tell(&one.stage, &one.new, Happened::Promoted { summary }).await;
        }
        let now = self.serving.current();
        self.mend(&now, &replaced).await;
        if tables && let Ok(snapshot) = now.clean.silver.snapshot().await {
            // A new plugin makes its table again at once, and not only when Silver changes. The process that aggregates sends the event; in
            // other processes the sweep does.
            let event = encode(&NewVersion { silver: snapshot.version });
            let told = now.queues.aggregate.live.send(vec![event]).await;
            if let Err(error) = told {
                tracing::warn!(%error, "the next sweep will have the tables made again");
            }
        }
    }

    /// Makes the records again that this process refused by a plugin which another process has taken back meanwhile.
    async fn mend(&self, now: &Service, replaced: &[Replaced]) {
        let mended = async {
            let decisions = swaps::all_decisions(&now.enrich.lake).await?;
            let back = replaced.iter().filter(|one| swaps::held_at(&decisions, &one.stage, &one.old).is_some());
            let back: Vec<_> = back.map(|one| (one.stage.clone(), one.old.clone())).collect();
            mend(now, &back).await
        };
        if let Err(failure) = mended.await {
            tracing::warn!(error = %failure, "the next sweep will have made again what was refused");
        }
    }

    async fn refuse(&mut self, refused: Vec<Refused>) {
        let again = refused.iter().any(|one| one.passing || one.again);
        self.again = again.then(|| Again::after(self.again.as_ref()));
        if let Some(Refused { stage, reason, .. }) = refused.iter().find(|one| one.passing) {
            if self.said.insert((stage.clone(), reason.clone())) {
                tracing::warn!(
                    stage,
                    reason,
                    "what was published cannot be tried now, it is looked at again and again"
                );
            }
            return;
        }
        for Refused { stage, version, code, reason, .. } in refused {
            if !self.said.insert((stage.clone(), reason.clone())) {
                continue;
            }
            tracing::error!(
                stage,
                code,
                digest = version.plugin.digest,
                reason,
                "not let in, what served before serves on"
            );
            Progress::add(&self.serving.current().progress.not_let_in, 1);
            self.tell(&stage, &version, Happened::Refused { code, reason }).await;
        }
    }

    /// Records what happened, for `status` and `plugin history`.
    async fn tell(&self, stage: &str, version: &Version, happened: Happened) {
        // A process that only fires ticks runs no plugin, and in AWS may not write there.
        if self.shared.roles.iter().all(|role| *role == Role::Ingest) {
            return;
        }
        let lake = &self.serving.current().enrich.lake;
        if let Err(error) = swaps::tell(lake, stage, version, happened, self.shared.clock().now()).await {
            tracing::warn!(stage, %error, "could not note in the lake what became of the plugin");
        }
    }

    /// The refusal of a pipeline file that cannot be read, or is not valid.
    async fn invalid(&self, error: &anyhow::Error) -> Refused {
        let reason = match error.downcast_ref::<InvalidPipelines>() {
            Some(invalid) => invalid.render(false),
            None => format!("{error:#}"),
        };
        let again = error.chain().any(|cause| cause.downcast_ref().is_some_and(OutsideError::may_pass));
        let (stage, version) = (WHOLE.to_owned(), of_file(&self.file).await);
        Refused { stage, version, code: None, reason, passing: false, again }
    }
}
