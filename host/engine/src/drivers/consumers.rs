//! The consumers of a pipeline's roles: what each works, how much it takes at once, and how many workers it has.
//!
//! Does not consume: `drivers::consumer` does.

use std::sync::Arc;

use lake::failure::Failure;
use pipeline::role::Role;
use seams::queue::StageQueue;
use seams::spans;
use tokio::sync::{RwLock, Semaphore};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tracing::Instrument as _;

use super::consumer::Consumer;
use super::service::Service;
use super::serving::Serving;
use super::work::{AggregateQueue, CleanQueue, EnrichQueue};

/// Events that become one commit.
const COALESCE: usize = 256;
/// Records that the enrich stage has in hand, unless its workers have more, and messages at most.
const RECORDS_IN_HAND: usize = 64;
const MESSAGES_IN_HAND: usize = 10;

/// Starts the consumers of these roles. If `lasts`, they wait while the lake is not as expected. Each batch is the work of the version
/// that serves at its beginning.
pub(super) fn consume(
    service: &Service,
    serving: &Arc<Serving>,
    roles: &[Role],
    lasts: bool,
    stop: &CancellationToken,
) -> JoinSet<Result<(), Failure>> {
    let mut tasks = JoinSet::new();
    let room = Arc::default();
    for role in roles {
        tasks.spawn({
            let stop = stop.clone();
            let consumer = consumer(service, serving, *role, lasts, &room);
            let running = async move {
                match consumer {
                    Some(consumer) => consumer.run(stop).await,
                    None => {
                        stop.cancelled().await;
                        Ok(())
                    }
                }
            };
            running.instrument(spans::role(&service.pipeline, role.name()))
        });
    }
    tasks
}

fn consumer(
    service: &Service,
    serving: &Arc<Serving>,
    role: Role,
    lasts: bool,
    room: &Arc<RwLock<()>>,
) -> Option<Consumer> {
    let consumer = |stage, queue: &StageQueue, work, at_once, workers| Consumer {
        stage,
        queue: queue.clone(),
        work,
        at_once,
        workers,
        max_receives: service.max_receives,
        lasts,
        room: Arc::clone(room),
        clock: Arc::clone(&service.clock),
        progress: Arc::clone(&service.progress),
    };
    match role {
        Role::Ingest => None,
        Role::Enrich => {
            let (batch_size, at_once) = (service.ingest.source.batch_size, service.enrich.concurrency);
            let turns = service.enrich_workers.saturating_mul(at_once.min(batch_size).get());
            let turns = Semaphore::new(turns.min(Semaphore::MAX_PERMITS));
            let work = Arc::new(EnrichQueue { serving: Arc::clone(serving), turns });
            // More small messages than work at once: their answers are written together.
            let workers = service.enrich_workers.max((RECORDS_IN_HAND / batch_size).min(MESSAGES_IN_HAND));
            Some(consumer("enrich", &service.queues.enrich, work, 1, workers))
        }
        Role::Clean => {
            let work = Arc::new(CleanQueue { serving: Arc::clone(serving) });
            Some(consumer("clean", &service.queues.clean, work, COALESCE, 1))
        }
        Role::Aggregate => {
            let work = Arc::new(AggregateQueue::new(Arc::clone(serving)));
            Some(consumer("aggregate", &service.queues.aggregate, work, COALESCE, 1))
        }
    }
}

/// The result of a consumer's task.
pub(super) fn flatten(ended: Result<Result<(), Failure>, tokio::task::JoinError>) -> Result<(), Failure> {
    ended.unwrap_or_else(|error| Err(Failure::Fatal(format!("host bug: {error}"))))
}
