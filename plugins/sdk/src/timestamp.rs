//! A point in time: what a `timestamp` column holds, microseconds since 1970 in UTC.
//!
//! Reads and writes RFC 3339. Not here: time zones by name, local time, and the current time, which
//! a plugin must not know.

use crate::{Date, date::digits};
use std::{fmt, str::FromStr};

const DAY: i64 = 86_400_000_000;

/// Microseconds since 1970-01-01T00:00:00Z.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The moment `micros` after the start of 1970.
    pub const fn from_micros(micros: i64) -> Self {
        Self(micros)
    }

    /// Microseconds since the start of 1970.
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The UTC day that this moment falls on.
    pub const fn date(self) -> Date {
        // A timestamp spans fewer days than a date32: 2^63 / DAY is about 1.07e8.
        Date::from_days(self.0.div_euclid(DAY) as i32)
    }
}

/// The start of the day in UTC. Days beyond the range of a timestamp become its nearest end.
impl From<Date> for Timestamp {
    fn from(date: Date) -> Self {
        Self(i64::from(date.days()).saturating_mul(DAY))
    }
}

/// RFC 3339 in UTC, with as many decimals as there are.
impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let micros = self.0.rem_euclid(DAY);
        let seconds = micros / 1_000_000;
        write!(f, "{}T{:02}:{:02}:{:02}", self.date(), seconds / 3600, seconds / 60 % 60, seconds % 60)?;
        match micros % 1_000_000 {
            0 => {}
            fraction if fraction % 1000 == 0 => write!(f, ".{:03}", fraction / 1000)?,
            fraction => write!(f, ".{fraction:06}")?,
        }
        f.write_str("Z")
    }
}

/// Reads RFC 3339. Digits beyond the microsecond are cut off; second 60 is the first of the next minute.
impl FromStr for Timestamp {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| format!("expected a time such as `1994-10-14T20:15:00Z`, got `{text}`"))
    }
}

fn read(text: &str) -> Option<Timestamp> {
    let (date, rest) = (text.get(..10)?, text.get(11..)?);
    if !matches!(text.as_bytes().get(10), Some(b'T' | b't' | b' ')) {
        return None;
    }
    let date: Date = date.parse().ok()?;
    let (time, offset_seconds) = match rest.strip_suffix(['Z', 'z']) {
        Some(time) => (time, 0),
        None => {
            let at = rest.rfind(['+', '-'])?;
            let (hours, minutes) = rest.get(at + 1..)?.split_once(':')?;
            let (hours, minutes) = (below(hours, 24)?, below(minutes, 60)?);
            let seconds = (hours * 60 + minutes) * 60;
            (rest.get(..at)?, if rest.as_bytes().get(at) == Some(&b'-') { -seconds } else { seconds })
        }
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let micros: i64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
    let mut parts = clock.splitn(3, ':');
    let (hour, minute, second) = (below(parts.next()?, 24)?, below(parts.next()?, 60)?, below(parts.next()?, 61)?);
    let seconds = (hour * 60 + minute) * 60 + second - offset_seconds;
    Some(Timestamp(Timestamp::from(date).0 + seconds * 1_000_000 + micros))
}

/// Two digits that make a number below `limit`.
fn below(text: &str, limit: u32) -> Option<i64> {
    digits(text, 2).filter(|number| *number < limit).map(i64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_round_trips() {
        for text in ["1970-01-01T00:00:00Z", "1969-12-31T23:59:59.999999Z", "2046-10-18T20:15:01.250Z"] {
            assert_eq!(text.parse::<Timestamp>().unwrap().to_string(), text);
        }
    }

    #[test]
    fn offsets_are_taken_off() {
        let utc = "2024-03-10T10:00:00Z".parse::<Timestamp>().unwrap();
        for same in ["2024-03-10T12:00:00+02:00", "2024-03-10 04:30:00.0-05:30", "2024-03-10t10:00:00.0000009z"] {
            assert_eq!(same.parse::<Timestamp>().unwrap(), utc, "{same}");
        }
    }

    #[test]
    fn what_is_no_time_is_refused() {
        for wrong in [
            "",
            "2024-03-10",
            "2024-03-10T10:00:00",
            "2024-03-10T24:00:00Z",
            "2024-03-10T10:00:00.Z",
            "2024-03-10T1:00:00Z",
            "é024-03-10T10:00:00Z",
        ] {
            assert!(wrong.parse::<Timestamp>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn the_day_of_a_moment_before_1970_is_the_one_it_falls_on() {
        assert_eq!(Timestamp::from_micros(-1).date(), Date::new(1969, 12, 31).unwrap());
    }
}
