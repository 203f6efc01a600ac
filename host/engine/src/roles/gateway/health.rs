//! Whether an endpoint's service is up: what its answers say of it, taken together.
//!
//! Sends nothing, sleeps for nothing and reads no clock. One request that fails says little: it may be the request's fault. Several
//! different ones that fail without a success between say that the service is down, and then one rare probe is enough for all senders.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use seams::backoff;
use seams::plugin::EndpointRequest;

use crate::progress::Outage;

/// So many different requests must fail in a row before the service counts as down.
const DIFFERENT: usize = 3;
/// Failed requests that are remembered, to take turns as probes where none is known that succeeds.
const REMEMBERED: usize = 8;
/// The pause before the first probe; each further one is twice as long.
const FIRST_PAUSE: Duration = Duration::from_secs(1);
const LONGEST_PAUSE: Duration = Duration::from_secs(60);

/// What went wrong with one request.
#[derive(Clone, Debug)]
pub(super) struct Trouble {
    /// What happened, as it follows the endpoint's name: `answered 503`.
    pub(super) what: String,
    /// Whether it is the service's for certain, whatever was asked for.
    pub(super) certain: bool,
    /// The pause that the service asks for.
    pub(super) pause: Option<Duration>,
}

/// May a request be sent?
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stance {
    /// Yes.
    Up,
    /// A probe is due.
    Due,
    /// Not before the pause is over.
    Down {
        /// How long that is.
        pause: Duration,
        /// Why.
        reason: String,
    },
}

#[derive(Debug)]
struct Down {
    next: DateTime<Utc>,
    /// How long before it that was decided.
    pause: Duration,
    probes: u32,
}

/// What is known of one endpoint's service.
#[derive(Debug)]
pub(super) struct Health {
    name: String,
    /// Different requests that failed since the last success.
    failing: Vec<EndpointRequest>,
    /// When the first of them was sent, how many failed requests there were, and the last trouble.
    since: Option<DateTime<Utc>>,
    failures: usize,
    last: String,
    /// A request that has succeeded.
    witness: Option<EndpointRequest>,
    /// Whether one was looked for among kept answers.
    looked: bool,
    down: Option<Down>,
}

impl Health {
    pub(super) fn of(name: &str) -> Self {
        Health {
            name: name.to_owned(),
            failing: Vec::new(),
            since: None,
            failures: 0,
            last: String::new(),
            witness: None,
            looked: false,
            down: None,
        }
    }

    /// Whether the latest answer was a good one.
    pub(super) fn is_proven(&self) -> bool {
        self.witness.is_some() && self.failures == 0
    }

    /// Whether a request may be sent now.
    pub(super) fn stance(&self, now: DateTime<Utc>) -> Stance {
        match &self.down {
            None => Stance::Up,
            Some(down) => match (down.next - now).to_std() {
                // If the clock was set back, more is left than was to be waited: then it is time as well.
                Ok(pause) if !pause.is_zero() && pause <= down.pause => Stance::Down { pause, reason: self.reason() },
                _ => Stance::Due,
            },
        }
    }

    /// A request has succeeded. Returns the outage that this ends, if there was one.
    pub(super) fn succeeded(&mut self, request: &EndpointRequest) -> Option<Outage> {
        self.remember(request);
        self.failing.clear();
        self.is_over()
    }

    /// A pause is over, and nothing is known against the service.
    pub(super) fn is_over(&mut self) -> Option<Outage> {
        let over = self.outage();
        (self.since, self.failures, self.down) = (None, 0, None);
        over
    }

    /// A request that was sent at `sent` has failed. Returns whether the service looks down now and did not before.
    pub(super) fn failed(&mut self, request: &EndpointRequest, sent: DateTime<Utc>, trouble: &Trouble) -> bool {
        self.since = Some(self.since.map_or(sent, |since| since.min(sent)));
        self.failures += 1;
        self.last.clone_from(&trouble.what);
        if self.failing.len() < REMEMBERED && !self.failing.contains(request) {
            self.failing.push(request.clone());
        }
        self.down.is_none() && (trouble.certain || self.failing.len() >= DIFFERENT)
    }

    /// A request that is likely to succeed if the service is up: one that has succeeded before, else those that failed, in turns.
    pub(super) fn probe(&self) -> Option<EndpointRequest> {
        let turn = self.down.as_ref().map_or(0, |down| down.probes as usize);
        let in_turn = || self.failing.get(turn.checked_rem(self.failing.len())?).cloned();
        self.witness.clone().or_else(in_turn)
    }

    /// Whether there is a request that has succeeded.
    pub(super) fn has_witness(&self) -> bool {
        self.witness.is_some()
    }

    /// Whether to look for such a request: true once.
    pub(super) fn wants_witness(&mut self) -> bool {
        self.witness.is_none() && !std::mem::replace(&mut self.looked, true)
    }

    /// Remembers that `request` has succeeded once.
    pub(super) fn remember(&mut self, request: &EndpointRequest) {
        self.witness.get_or_insert_with(|| request.clone());
    }

    /// The service is down; it is asked again after `pause`, or after the next longer one if that is longer. Returns the outage if it
    /// begins now.
    pub(super) fn goes_down(&mut self, now: DateTime<Utc>, pause: Option<Duration>) -> Option<Outage> {
        let probes = self.down.as_ref().map_or(0, |down| down.probes + 1);
        let rare = backoff::doubled(FIRST_PAUSE, probes, LONGEST_PAUSE);
        let pause = pause.map_or(rare, |asked| asked.max(rare));
        let begins = self.down.is_none();
        self.since.get_or_insert(now);
        let pause = backoff::bounded(pause);
        self.down =
            Some(Down { next: now + TimeDelta::from_std(pause).unwrap_or(TimeDelta::minutes(1)), pause, probes });
        self.outage().filter(|_| begins)
    }

    /// The outage, if the service is down.
    pub(super) fn outage(&self) -> Option<Outage> {
        let since = self.since.filter(|_| self.down.is_some())?;
        Some(Outage { endpoint: self.name.clone(), since, error: self.last.clone(), requests: self.failures })
    }

    fn reason(&self) -> String {
        self.outage().map(|outage| outage.to_string()).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(path: &str) -> EndpointRequest {
        EndpointRequest { endpoint: "api".into(), path: path.into(), query: Vec::new(), headers: Vec::new() }
    }

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::seconds(second)
    }

    fn trouble() -> Trouble {
        Trouble { what: "answered 503".into(), certain: false, pause: None }
    }

    #[test]
    fn one_request_that_fails_for_ever_is_no_outage() {
        let mut health = Health::of("api");
        assert!((0..100).all(|second| !health.failed(&request("a"), at(second), &trouble())));
        assert_eq!(health.stance(at(100)), Stance::Up);
    }

    #[test]
    fn different_requests_that_fail_in_a_row_are_one_and_a_success_between_ends_the_row() {
        let mut health = Health::of("api");
        assert!(!health.failed(&request("a"), at(0), &trouble()) && !health.failed(&request("b"), at(1), &trouble()));
        assert!(health.succeeded(&request("c")).is_none());
        assert!(!health.failed(&request("a"), at(2), &trouble()) && !health.failed(&request("b"), at(3), &trouble()));
        assert!(health.failed(&request("d"), at(4), &trouble()));
        let outage = health.goes_down(at(5), None).unwrap();
        assert_eq!((outage.since, outage.requests), (at(2), 3));
        assert_eq!(health.probe(), Some(request("c")));
    }

    #[test]
    fn a_pause_of_a_day_is_asked_again_after_an_hour_and_at_once_when_the_clock_is_set_back() {
        let mut health = Health::of("api");
        health.failed(&request("a"), at(0), &Trouble { certain: true, ..trouble() });
        health.goes_down(at(10_000), Some(Duration::from_secs(86_400)));
        let Stance::Down { pause, .. } = health.stance(at(10_000)) else { panic!("down") };
        assert_eq!(pause, Duration::from_secs(3600));
        assert_eq!(health.stance(at(13_600)), Stance::Due);
        assert_eq!(health.stance(at(6_400)), Stance::Due, "an hour back");
    }

    #[test]
    fn probes_are_ever_rarer_and_take_turns_while_nothing_is_known_to_succeed() {
        let mut health = Health::of("api");
        for path in ["a", "b", "c"] {
            health.failed(&request(path), at(0), &trouble());
        }
        let (mut now, mut asked) = (at(0), Vec::new());
        let hour = at(3600);
        while now < hour {
            health.goes_down(now, None);
            let Stance::Down { pause, reason } = health.stance(now) else { panic!("down") };
            assert!(reason.contains("`api` is down since 1970-01-01T00:00:00Z") && reason.contains("503"), "{reason}");
            now += pause;
            assert_eq!(health.stance(now), Stance::Due);
            asked.push(health.probe().unwrap().path);
        }
        assert_eq!(asked[..4], ["a", "b", "c", "a"]);
        assert!(asked.len() < 70, "{} probes in an hour", asked.len());
        assert_eq!(health.succeeded(&request("a")).unwrap().since, at(0));
        assert_eq!(health.stance(now), Stance::Up);
    }
}
