//! The marks that a watch compares: of files and objects, of decisions in the lake, and of Silver's columns. Marks whose read
//! costs money are read less often.
//!
//! Does not judge them.

use std::time::{Duration, Instant};

use engine::drivers::service::Service;
use futures::future::join_all;
use lake::swaps;
use pipeline::plan::Location;
use pipeline::role::Role;

use crate::compose::Shared;
use crate::pipelines::PipelineFile;
use crate::published::Published;

/// How often objects are checked: each check of each object is a request.
const OBJECTS_EVERY: Duration = Duration::from_secs(5);
/// How often Silver's columns are read if Silver is remote: they change with a rebuild.
const COLUMNS_EVERY: Duration = Duration::from_secs(60);
/// How often decisions are listed without a sign of a new one: earlier versions of the program give no sign.
const LIST_EVERY: Duration = Duration::from_secs(600);

/// The marks, and when they were read.
#[derive(Debug, Default)]
pub(super) struct Sight {
    objects: Kept,
    decisions: Kept,
    /// When the decisions were listed, and the tag at that time.
    listed: Option<(Instant, Option<String>)>,
    columns: Kept,
}

/// Marks with the time of their read; without a time they are due.
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
    /// Makes the next look read every mark again, however recent the last read is.
    pub(super) fn expire(&mut self) {
        (self.objects.at, self.decisions.at) = (None, None);
    }

    /// The present marks: a mark differs if something has changed.
    pub(super) async fn of(
        &mut self,
        published: Vec<Published>,
        service: &Service,
        file: &PipelineFile,
        shared: &Shared,
    ) -> Vec<String> {
        let (files, objects): (Vec<_>, Vec<_>) = published.into_iter().partition(|one| one.path().is_some());
        // Concurrently: a file that hangs must not delay the others.
        let mut sight = join_all(files.iter().map(|file| file.mark(&shared.remote))).await;
        if self.objects.is_due(OBJECTS_EVERY) || self.objects.seen.len() != objects.len() {
            self.objects.set(join_all(objects.iter().map(|object| object.mark(&shared.remote))).await);
        }
        let paid = |every| if is_afar(&file.plan.lake.bronze) { every } else { Duration::ZERO };
        if self.decisions.is_due(paid(OBJECTS_EVERY)) {
            self.look_at_decisions(service).await;
        }
        // A version refused because of the table may fit a rebuilt table: `replay --rebuild` can run beside this process.
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

    /// Lists the decisions if there may be a new one. The tag of one object says that.
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
