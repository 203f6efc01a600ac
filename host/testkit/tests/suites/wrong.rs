//! Doubles that each break one clause, and the clause that catches them.

use std::time::Duration;

use async_trait::async_trait;
use bytes::Bytes;
use chrono::{DateTime, Utc};
use seams::clock::Clock;
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};
use seams::queue::{Delivery, Depth, Queue, QueueError, Receipt};
use seams::secrets::{SecretError, SecretRef, SecretString, Secrets};
use testkit::conformance::loopback::Loopback;
use testkit::conformance::{clock, http, queue, secrets, store};
use testkit::{Fate, Faults, Faulty, MapSecrets, ScriptedHttp};

use super::*;

/// Runs a clause and expects it to fail.
async fn caught<F>(clause: F)
where
    F: Future<Output = ()> + Send + 'static,
{
    let outcome =
        tokio::time::timeout(Duration::from_secs(60), tokio::spawn(clause)).await.expect("a clause that ends");
    assert!(outcome.is_err_and(|error| error.is_panic()), "the clause did not notice");
}

/// How a queue goes wrong.
#[derive(Clone, Copy, Debug)]
enum Flaw {
    /// Says that every settling call worked.
    SettlesAnything,
    /// Drops what it is to give back.
    ForgetsReleases,
    /// Counts no receives.
    AlwaysFirst,
    /// Hands each message out twice at once.
    Doubles,
    /// Takes one message of each batch.
    LosesBatches,
    /// Never waits.
    Impatient,
    /// Cuts what is too long.
    Truncates,
    /// Says that it is empty.
    CountsNothing,
    /// Pretends to extend.
    ExtendsNothing,
    /// Takes every message for one that was sent just now.
    EverYoung,
    /// Looks for no equal message before it sends.
    SendsAgain,
    /// Takes every message for one that is there.
    SendsNothing,
}

#[derive(Debug)]
struct WrongQueue(Arc<dyn Queue>, Flaw);

#[async_trait]
impl Queue for WrongQueue {
    async fn send(&self, mut bodies: Vec<Bytes>) -> Result<(), QueueError> {
        match self.1 {
            Flaw::LosesBatches => bodies.truncate(1),
            Flaw::Truncates => bodies.iter_mut().for_each(|body| body.truncate(4096)),
            _ => {}
        }
        self.0.send(bodies).await
    }

    async fn send_missing(&self, bodies: Vec<Bytes>) -> Result<usize, QueueError> {
        let count = bodies.len();
        match self.1 {
            Flaw::SendsAgain | Flaw::LosesBatches => self.send(bodies).await.map(|()| count),
            Flaw::SendsNothing => Ok(0),
            _ => self.0.send_missing(bodies).await,
        }
    }

    async fn receive(&self, max: usize, wait: Duration) -> Result<Vec<Delivery>, QueueError> {
        let wait = if matches!(self.1, Flaw::Impatient) { Duration::ZERO } else { wait };
        let mut got = self.0.receive(max, wait).await?;
        match self.1 {
            Flaw::AlwaysFirst => got.iter_mut().for_each(|delivery| delivery.receives = 1),
            Flaw::Doubles => got.extend(got.clone()),
            _ => {}
        }
        Ok(got)
    }

    async fn ack(&self, receipt: &Receipt) -> Result<(), QueueError> {
        let result = self.0.ack(receipt).await;
        if matches!(self.1, Flaw::SettlesAnything) { Ok(()) } else { result }
    }

    async fn release(&self, receipt: &Receipt, after: Duration) -> Result<(), QueueError> {
        if matches!(self.1, Flaw::ForgetsReleases) {
            self.0.ack(receipt).await
        } else {
            self.0.release(receipt, after).await
        }
    }

    async fn extend(&self, receipt: &Receipt, by: Duration) -> Result<(), QueueError> {
        if matches!(self.1, Flaw::ExtendsNothing) { Ok(()) } else { self.0.extend(receipt, by).await }
    }

    async fn depth(&self) -> Result<Depth, QueueError> {
        let depth = self.0.depth().await?;
        Ok(match self.1 {
            Flaw::CountsNothing => Depth::default(),
            Flaw::EverYoung => Depth { oldest: depth.oldest.map(|_| DateTime::<Utc>::MAX_UTC), ..depth },
            _ => depth,
        })
    }

    fn visibility(&self) -> Duration {
        self.0.visibility()
    }
}

fn flawed(flaw: Flaw) -> QueueRig {
    let rig = queue_rig();
    QueueRig { queue: Arc::new(WrongQueue(rig.queue, flaw)), ..rig }
}

#[tokio::test]
async fn the_queue_suite_catches_wrong_queues() {
    caught(queue::ack_after_expiry_is_its_own_error(flawed(Flaw::SettlesAnything))).await;
    caught(queue::a_stale_receipt_cannot_settle_a_newer_delivery(flawed(Flaw::SettlesAnything))).await;
    caught(queue::a_delivery_is_settled_once(flawed(Flaw::SettlesAnything))).await;
    caught(queue::a_made_up_receipt_is_expired(flawed(Flaw::SettlesAnything))).await;
    caught(queue::a_dead_letter_starts_with_no_receives(flawed(Flaw::SettlesAnything))).await;
    caught(queue::a_released_message_is_ready_at_once(flawed(Flaw::ForgetsReleases))).await;
    caught(queue::a_release_may_be_delayed(flawed(Flaw::ForgetsReleases))).await;
    caught(queue::lease_expiry_redelivers_once(flawed(Flaw::AlwaysFirst))).await;
    caught(queue::dead_letters_after_max_receives(flawed(Flaw::AlwaysFirst))).await;
    caught(queue::a_message_arrives_as_it_was_sent(flawed(Flaw::Doubles))).await;
    caught(queue::racing_receivers_share_no_message(flawed(Flaw::Doubles))).await;
    caught(queue::a_receive_takes_at_most_its_maximum(flawed(Flaw::Doubles))).await;
    caught(queue::a_batch_arrives_whole_and_without_doubles(flawed(Flaw::LosesBatches))).await;
    caught(queue::an_empty_queue_answers_after_the_wait(flawed(Flaw::Impatient))).await;
    caught(queue::a_waiting_receive_is_woken_by_a_send(flawed(Flaw::Impatient))).await;
    caught(queue::a_waiting_receive_sees_a_visibility_end(flawed(Flaw::Impatient))).await;
    caught(queue::what_is_too_large_is_refused_whole(flawed(Flaw::Truncates))).await;
    caught(queue::depth_tells_ready_delayed_and_in_flight_apart(flawed(Flaw::CountsNothing))).await;
    caught(queue::depth_tells_when_the_oldest_was_first_sent(flawed(Flaw::CountsNothing))).await;
    caught(queue::depth_tells_when_the_oldest_was_first_sent(flawed(Flaw::EverYoung))).await;
    caught(queue::an_extended_delivery_stays_invisible(flawed(Flaw::ExtendsNothing))).await;
    caught(queue::what_is_missing_is_sent(flawed(Flaw::LosesBatches))).await;
    caught(queue::what_is_there_is_not_sent_again(flawed(Flaw::SendsAgain))).await;
    caught(queue::of_racing_senders_of_the_same_one_sends_it(flawed(Flaw::SendsAgain))).await;
    caught(queue::what_is_gone_is_missing(flawed(Flaw::SendsNothing))).await;
    caught(queue::extend_after_expiry_changes_nothing(flawed(Flaw::ExtendsNothing))).await;
}

#[tokio::test]
async fn the_queue_suite_catches_a_queue_without_dead_letters_or_visibility() {
    let options = MemoryQueueOptions { visibility: Duration::ZERO, ..MemoryQueueOptions::default() };
    let visible = || {
        let rig = queue_rig();
        QueueRig { queue: MemoryQueue::new(Arc::new(SimClock::default()), options.clone()), ..rig }
    };
    caught(queue::a_delivered_message_is_invisible(visible())).await;
    caught(queue::an_acknowledged_message_never_comes_back(visible())).await;
    let rig = queue_rig();
    let clock = Arc::new(SimClock::default());
    let endless = MemoryQueue::new(Arc::clone(&clock) as Arc<dyn Clock>, MemoryQueueOptions::default());
    caught(queue::dead_letters_after_max_receives(QueueRig { queue: endless, pass: simulated(&clock), ..rig })).await;
}

#[derive(Debug)]
struct EarlyClock(Arc<SimClock>);

#[async_trait]
impl Clock for EarlyClock {
    fn now(&self) -> DateTime<Utc> {
        self.0.now()
    }

    async fn sleep_until(&self, _instant: DateTime<Utc>) {}
}

#[tokio::test]
async fn the_clock_suite_catches_an_early_clock() {
    let early = || {
        let clock = Arc::new(SimClock::default());
        ClockRig { pass: simulated(&clock), clock: Arc::new(EarlyClock(clock)), keep: Box::new(()) }
    };
    caught(clock::nobody_wakes_before_the_instant(early())).await;
    caught(clock::sleepers_wake_in_the_order_of_their_instants(early())).await;
    caught(clock::an_endless_sleep_does_not_return(early())).await;
}

#[tokio::test]
async fn the_store_suite_catches_lost_replies_and_lost_writes() {
    let faulty = |fates: &[Fate]| {
        let rig = store_rig();
        StoreRig { store: Faulty::new(rig.store, Arc::new(Faults::script(fates.iter().copied()))), ..rig }
    };
    caught(store::an_object_reads_back_as_it_was_put(faulty(&[Fate::FailBefore]))).await;
    caught(store::one_of_racing_creators_wins(faulty(&[Fate::FailAfter]))).await;
    caught(store::a_rename_moves_the_object(faulty(&[Fate::Pass, Fate::FailAfter]))).await;
}

/// Always answers from its cache, and shows the secret.
#[derive(Debug)]
struct Leaky(#[allow(dead_code, reason = "printed")] &'static str, Arc<MapSecrets>);

#[async_trait]
impl Secrets for Leaky {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.1.get(reference).await.map_err(|_| SecretError::Missing(SecretRef::Env("SOME".into())))
    }
}

#[tokio::test]
async fn the_secrets_suite_catches_a_leaky_stale_vague_adapter() {
    let leaky = || {
        let present = SecretRef::Env("PRESENT".into());
        let map = MapSecrets::new([(present.clone(), "the-value")]);
        let rotated = Arc::clone(&map);
        let rotate = Box::new(move |value: &str| rotated.set(SecretRef::Env("PRESENT".into()), value));
        SecretsRig { secrets: Arc::new(Leaky("the-value", map)), rotate, ..secrets_rig() }
    };
    caught(secrets::a_value_does_not_print_itself(leaky())).await;
    caught(secrets::a_refresh_sees_the_rotated_value(leaky())).await;
    caught(secrets::a_missing_secret_is_missing(leaky())).await;
    caught(secrets::an_unreachable_place_is_not_a_missing_secret(leaky())).await;
    caught(secrets::errors_name_the_reference(leaky())).await;
}

/// Shows the whole request in its error.
#[derive(Debug)]
struct Talkative;

#[async_trait]
impl Http for Talkative {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        Err(HttpError::Broken(request.url.to_string()))
    }
}

#[tokio::test]
async fn the_http_suite_catches_a_talkative_and_an_unconnected_client() {
    let talkative = async || http::HttpRig { http: Arc::new(Talkative), server: Loopback::start().await };
    caught(http::errors_hold_no_secret(talkative().await)).await;
    caught(http::a_refused_connection_is_no_connection(talkative().await)).await;
    caught(http::any_status_is_an_answer(talkative().await)).await;
    let scripted = ScriptedHttp::new(|_, _| Ok(testkit::http::answer(200, "following a redirect")));
    let scripted = async || http::HttpRig { http: scripted.clone(), server: Loopback::start().await };
    caught(http::a_redirect_is_not_followed(scripted().await)).await;
    caught(http::a_header_with_a_line_break_is_never_sent(scripted().await)).await;
    caught(http::silence_times_out(scripted().await)).await;
    caught(http::one_call_is_one_request(scripted().await)).await;
}
