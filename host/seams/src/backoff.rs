//! Growing delays between tries, spread so that tries that failed together do not return together.
//!
//! Does not sleep, and rolls no dice: the spread comes from what is tried, so a run can be repeated to the instant.

use std::time::Duration;

use records::keys::fingerprint;

/// The longest wait before the next look, even if a service (by `Retry-After`) or a plugin (by its back-off) asks for more.
pub const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// A requested pause, cut to [`LONGEST_WAIT`].
#[must_use]
pub fn bounded(pause: Duration) -> Duration {
    pause.min(LONGEST_WAIT)
}

/// `first` doubled `doublings` times, and at most `longest`.
#[must_use]
pub fn doubled(first: Duration, doublings: u32, longest: Duration) -> Duration {
    first.saturating_mul(1 << doublings.min(16)).min(longest)
}

/// The delay before try `attempt + 1`: `first` doubled `doublings` times and at most `longest`, then spread over the half below it by
/// the fingerprint of `seed`.
#[must_use]
pub fn delay(first: Duration, doublings: u32, longest: Duration, seed: &[&[u8]]) -> Duration {
    let whole = doubled(first, doublings, longest);
    let digits = fingerprint(seed);
    let spread = u32::from_str_radix(digits.get(..4).unwrap_or("0"), 16).unwrap_or(0);
    whole / 2 + (whole / 2).mul_f64(f64::from(spread) / f64::from(u16::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_double_up_to_the_longest_and_lie_in_the_upper_half() {
        let (first, longest) = (Duration::from_secs(1), Duration::from_secs(300));
        for (doublings, whole) in [(0, 1), (1, 2), (5, 32), (9, 300), (40, 300)] {
            let delay = delay(first, doublings, longest, &[b"x"]);
            assert!(
                delay >= Duration::from_secs(whole) / 2 && delay <= Duration::from_secs(whole),
                "{doublings}: {delay:?}"
            );
        }
    }

    #[test]
    fn what_is_tried_decides_the_spread() {
        let delay = |seed: &[u8]| delay(Duration::from_secs(60), 0, Duration::from_secs(60), &[seed]);
        assert_eq!(delay(b"a"), delay(b"a"));
        assert_ne!(delay(b"a"), delay(b"b"));
    }
}
