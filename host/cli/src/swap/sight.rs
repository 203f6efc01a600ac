//! What a watch sees of what was published and decided: marks of files and objects, decisions in the lake, and Silver's columns. Where a look is
//! a request that is paid for, it is made less often.
//!
//! Does not judge what it sees.

use std::time::{Duration, Instant};

use engine::drivers::service::Service;
use futures::future::join_all;
use lake::swaps;
use pipeline::plan::Location;
use pipeline::role::Role;

use crate::compose::Shared;
use crate::pipelines::PipelineFile;
use crate::published::Published;

/// How often objects are looked at: each look at each object is a request.
const OBJECTS_EVERY: Duration = Duration::from_secs(5);
/// How often Silver's columns are looked at where that is afar: they change with a rebuild.
const COLUMNS_EVERY: Duration = Duration::from_secs(60);
/// How often decisions are listed, although nothing says that there is another one: earlier versions of the program do not say so.
const LIST_EVERY: Duration = Duration::from_secs(600);

/// What was seen, and when.
#[derive(Debug, Default)]
pub(super) struct Sight {
    objects: Kept,
    decisions: Kept,
    /// What the decisions were listed at.
    listed: Option<(Instant, Option<String>)>,
    columns: Kept,
}

/// Texts that were seen at a time; without a time they are to be looked at again.
#[derive(Debug, Default)]
struct Kept {
    at: Option<Instant>,
    seen: Vec<String>,
}

impl Kept {
    fn is_due(&self, every: Duration) -> bool {
        self.at.is_none_or(|at| at.elapsed() >= every)
    }

    fn set(&mut self, seen: Vec<String>) {
        *self = Kept { at: Some(Instant::now()), seen };
    }
}

impl Sight {
    /// Has the next look see what was published and decided by then, however short ago the last one was.
    pub(super) fn expire(&mut self) {
        (self.objects.at, self.decisions.at) = (None, None);
    }

    /// What there is now: another text, when something has changed.
    pub(super) async fn of(
        &mut self,
        published: Vec<Published>,
        service: &Service,
        file: &PipelineFile,
        shared: &Shared,
    ) -> Vec<String> {
        let (files, objects): (Vec<_>, Vec<_>) = published.into_iter().partition(|one| one.path().is_some());
        // Side by side: of those that hang, each would hold up the others.
        let mut sight = join_all(files.iter().map(|file| file.mark(&shared.remote))).await;
        if self.objects.is_due(OBJECTS_EVERY) || self.objects.seen.len() != objects.len() {
            self.objects.set(join_all(objects.iter().map(|object| object.mark(&shared.remote))).await);
        }
        let paid = |every| if is_afar(&file.plan.lake.bronze) { every } else { Duration::ZERO };
        if self.decisions.is_due(paid(OBJECTS_EVERY)) {
            self.look_at_decisions(service).await;
        }
        // What was refused because of the table may fit another one: `replay --rebuild` beside this process makes it.
        let paid = |every| if is_afar(&file.plan.lake.silver) { every } else { Duration::ZERO };
        if shared.serves(Role::Clean) && !shared.handed && self.columns.is_due(paid(COLUMNS_EVERY)) {
            match service.clean.silver.shape().await {
                Ok(shape) => self.columns.set(vec![shape]),
                Err(error) => tracing::debug!(%error, "cannot see what silver is like"),
            }
        }
        for kept in [&self.objects, &self.decisions, &self.columns] {
            sight.extend_from_slice(&kept.seen);
        }
        sight
    }

    /// Lists the decisions if there may be another one. One object's tag says that.
    async fn look_at_decisions(&mut self, service: &Service) {
        let lake = &service.enrich.lake;
        let looked = async {
            let last = swaps::last_decision(lake).await?;
            let known = |(at, then): &(Instant, Option<String>)| *then == last && at.elapsed() < LIST_EVERY;
            if self.listed.as_ref().is_some_and(known) {
                let same = std::mem::take(&mut self.decisions.seen);
                self.decisions.set(same);
                return Ok(());
            }
            let names = swaps::decision_names(lake).await?;
            self.decisions.set(names.into_iter().map(String::from).collect());
            self.listed = Some((Instant::now(), last));
            Ok::<_, lake::LakeError>(())
        };
        if let Err(error) = looked.await {
            tracing::warn!(%error, "cannot see whether a plugin was taken back");
        }
    }
}

fn is_afar(place: &Location) -> bool {
    matches!(place, Location::Remote(_))
}
