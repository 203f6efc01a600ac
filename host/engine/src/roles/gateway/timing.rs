//! When a request may be sent: within the endpoint's rate, and how long after one that failed.
//!
//! Does not sleep and reads no clock: instants come in and go out.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use pipeline::plan::Rate;
use seams::plugin::EndpointRequest;

const FIRST_BACKOFF: Duration = Duration::from_millis(200);
const LONGEST_BACKOFF: Duration = Duration::from_secs(13);

/// How long to wait after an attempt that failed.
pub(super) fn backoff(request: &EndpointRequest, attempt: u32) -> Duration {
    let seed = serde_json::to_vec(request).unwrap_or_default();
    seams::backoff::delay(FIRST_BACKOFF, attempt, LONGEST_BACKOFF, &[&seed, &attempt.to_be_bytes()])
}

/// The pause that a `Retry-After` header asks for: seconds or a date (RFC 9110, 10.2.3).
pub(super) fn retry_after(text: &str, now: DateTime<Utc>) -> Option<Duration> {
    if let Ok(seconds) = text.trim().parse() {
        return Some(Duration::from_secs(seconds));
    }
    let at = DateTime::parse_from_rfc2822(text.trim()).ok()?;
    Some((at.to_utc() - now).to_std().unwrap_or(Duration::ZERO))
}

/// An even pace with bursts: the generic cell rate algorithm (ITU-T I.371).
#[derive(Debug)]
pub(super) struct Pace {
    rate: Option<Rate>,
    /// When the bucket would be full again.
    full_at: DateTime<Utc>,
    /// The latest instant that was shown.
    seen: DateTime<Utc>,
}

impl Pace {
    /// A full bucket of that rate.
    pub(super) fn new(rate: Option<Rate>) -> Self {
        Pace { rate, full_at: DateTime::UNIX_EPOCH, seen: DateTime::UNIX_EPOCH }
    }

    /// The instant at which the caller may send.
    pub(super) fn next(&mut self, now: DateTime<Utc>) -> DateTime<Utc> {
        let Some(rate) = self.rate else { return now };
        if now < self.seen {
            // The clock was set back, and what was planned by it goes back as well.
            self.full_at -= self.seen - now;
        }
        self.seen = now;
        let span = |span: Duration| TimeDelta::from_std(span).unwrap_or(TimeDelta::zero());
        let interval = span(rate.interval);
        let slack = span(rate.interval.saturating_mul(rate.burst.get() - 1));
        self.full_at = self.full_at.max(now);
        let turn = (self.full_at - slack).max(now);
        self.full_at += interval;
        turn
    }
}

#[cfg(test)]
mod tests {
    use std::num::NonZeroU32;

    use super::*;

    #[test]
    fn a_pace_lets_a_burst_through_and_then_one_an_interval() {
        let rate = Rate { interval: Duration::from_millis(100), burst: NonZeroU32::new(3).unwrap() };
        let mut pace = Pace::new(Some(rate));
        let now = DateTime::UNIX_EPOCH + TimeDelta::seconds(1000);
        let waits: Vec<i64> = (0..5).map(|_| (pace.next(now) - now).num_milliseconds()).collect();
        assert_eq!(waits, [0, 0, 0, 100, 200]);
        let later = now + TimeDelta::seconds(10);
        assert_eq!(pace.next(later), later);
        let back = later - TimeDelta::hours(1);
        assert!(pace.next(back) - back < TimeDelta::seconds(1), "an hour back is no hour's wait");
    }

    #[test]
    fn retry_after_takes_seconds_and_dates() {
        let now = DateTime::parse_from_rfc3339("2026-11-24T03:00:00Z").unwrap().to_utc();
        assert_eq!(retry_after("7", now), Some(Duration::from_secs(7)));
        assert_eq!(retry_after("Tue, 24 Nov 2026 03:00:30 GMT", now), Some(Duration::from_secs(30)));
        assert_eq!(retry_after("soon", now), None);
    }
}
