//! Parquet's dates, times and timestamps as text: `2026-01-31`, `03:00:00.5`, `2026-01-31T03:00:00.5Z`, durations as `PT1.5S`.
//!
//! Does not know columns. A year outside of 0000 to 9999 has no such text, and is refused.

use arrow::datatypes::TimeUnit;
use chrono::{
    DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Offset, SecondsFormat, TimeDelta, TimeZone,
};
use chrono_tz::Tz;

const BILLION: i64 = 1_000_000_000;

/// Whole seconds, and nanoseconds of the second that has begun.
fn parts(value: i64, unit: TimeUnit) -> (i64, u32) {
    let a_second = match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => BILLION,
    };
    let nanos = value.rem_euclid(a_second) * (BILLION / a_second);
    (value.div_euclid(a_second), u32::try_from(nanos).unwrap_or_default())
}

/// An instant in UTC. A timestamp without a zone is the wall clock of `wall`.
pub(super) fn timestamp(value: i64, unit: TimeUnit, wall: Option<Tz>) -> Option<String> {
    let (seconds, nanos) = parts(value, unit);
    let mut instant = DateTime::from_timestamp(seconds, nanos)?;
    if let Some(zone) = wall {
        instant = on_the_wall(instant.naive_utc(), zone)?;
    }
    let text = instant.to_rfc3339_opts(SecondsFormat::AutoSi, true);
    (0..=9999).contains(&instant.year()).then_some(text)
}

/// When the clocks of `zone` show `local`. An hour that comes twice in autumn is the first of the two; one that spring leaves out is as
/// long after the jump as it is after the jump's beginning. So do java.time, JavaScript's Temporal and Python's `fold=0`.
fn on_the_wall(local: NaiveDateTime, zone: Tz) -> Option<DateTime<chrono::Utc>> {
    if let Some(instant) = zone.from_local_datetime(&local).earliest() {
        return Some(instant.to_utc());
    }
    // No zone jumps by more than a day, nor twice within two.
    let before = zone.offset_from_utc_datetime(&local.checked_sub_days(Days::new(2))?).fix();
    Some(local.checked_sub_offset(before)?.and_utc())
}

/// Days since 1970-01-01.
pub(super) fn date(days: i64) -> Option<String> {
    let date = NaiveDate::default().checked_add_signed(TimeDelta::try_days(days)?)?;
    (0..=9999).contains(&date.year()).then(|| date.format("%Y-%m-%d").to_string())
}

/// Milliseconds since 1970-01-01. Only the day counts.
pub(super) fn date_of_millis(millis: i64) -> Option<String> {
    date(millis.div_euclid(86_400_000))
}

/// A time of day.
pub(super) fn time(value: i64, unit: TimeUnit) -> Option<String> {
    let (seconds, nanos) = parts(value, unit);
    let time = NaiveTime::from_num_seconds_from_midnight_opt(u32::try_from(seconds).ok()?, nanos)?;
    Some(time.format("%H:%M:%S%.f").to_string())
}

/// A length of time, in seconds as ISO 8601 writes them.
pub(super) fn duration(value: i64, unit: TimeUnit) -> Option<String> {
    let (seconds, nanos) = parts(value, unit);
    Some(TimeDelta::new(seconds, nanos)?.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, unit: TimeUnit) -> i64 {
        let instant = NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f").unwrap().and_utc();
        match unit {
            TimeUnit::Second => instant.timestamp(),
            TimeUnit::Millisecond => instant.timestamp_millis(),
            TimeUnit::Microsecond => instant.timestamp_micros(),
            TimeUnit::Nanosecond => instant.timestamp_nanos_opt().unwrap(),
        }
    }

    #[test]
    fn a_timestamp_keeps_its_digits_and_is_an_instant_in_utc() {
        let micros = |text| timestamp(at(text, TimeUnit::Microsecond), TimeUnit::Microsecond, None).unwrap();
        assert_eq!(micros("2020-02-29T12:00:00.123456"), "2020-02-29T12:00:00.123456Z");
        assert_eq!(micros("1969-12-31T23:59:59.5"), "1969-12-31T23:59:59.500Z");
        assert_eq!(micros("0001-01-01T00:00:00"), "0001-01-01T00:00:00Z");
        assert_eq!(micros("9999-12-31T23:59:59.999999"), "9999-12-31T23:59:59.999999Z");
        assert_eq!(timestamp(-1, TimeUnit::Nanosecond, None).unwrap(), "1969-12-31T23:59:59.999999999Z");
        assert_eq!(timestamp(1_582_977_600_000, TimeUnit::Millisecond, None).unwrap(), "2020-02-29T12:00:00Z");
        assert_eq!(timestamp(1, TimeUnit::Second, None).unwrap(), "1970-01-01T00:00:01Z");
    }

    #[test]
    fn a_moment_that_no_text_can_say_is_none() {
        assert_eq!(timestamp(i64::MAX, TimeUnit::Second, None), None);
        assert_eq!(timestamp(253_402_300_800, TimeUnit::Second, None), None);
        assert_eq!(timestamp(i64::MIN, TimeUnit::Microsecond, Some(Tz::UTC)), None);
        assert_eq!(date(i64::from(i32::MAX)), None);
        assert_eq!(date(2_932_897), None);
        assert_eq!(date_of_millis(i64::MIN), None);
        assert_eq!(time(86_400, TimeUnit::Second), None);
        assert_eq!(time(-1, TimeUnit::Microsecond), None);
    }

    #[test]
    fn a_wall_clock_is_read_in_its_zone_also_where_it_jumps() {
        let berlin = |text| timestamp(at(text, TimeUnit::Second), TimeUnit::Second, Some(Tz::Europe__Berlin)).unwrap();
        assert_eq!(berlin("2026-01-31T03:00:00"), "2026-01-31T02:00:00Z");
        assert_eq!(berlin("2026-07-31T03:00:00"), "2026-07-31T01:00:00Z");
        // 02:30 comes twice on the last Sunday of October, and never on that of March.
        assert_eq!(berlin("2026-10-25T02:30:00"), "2026-10-25T00:30:00Z");
        assert_eq!(berlin("2026-03-29T02:30:00"), "2026-03-29T01:30:00Z");
        assert_eq!(berlin("2026-03-29T03:30:00"), "2026-03-29T01:30:00Z");
        // Samoa left out a whole day.
        let apia = timestamp(at("2011-12-30T12:00:00", TimeUnit::Second), TimeUnit::Second, Some(Tz::Pacific__Apia));
        assert_eq!(apia.unwrap(), "2011-12-30T22:00:00Z");
    }

    #[test]
    fn dates_times_and_durations_have_their_iso_form() {
        assert_eq!(date(-1).unwrap(), "1969-12-31");
        assert_eq!(date(2_932_896).unwrap(), "9999-12-31");
        assert_eq!(date(-719_162).unwrap(), "0001-01-01");
        assert_eq!(date_of_millis(-1).unwrap(), "1969-12-31");
        assert_eq!(time(86_399_000_005, TimeUnit::Microsecond).unwrap(), "23:59:59.000005");
        assert_eq!(time(0, TimeUnit::Millisecond).unwrap(), "00:00:00");
        assert_eq!(duration(86_401_000_000, TimeUnit::Microsecond).unwrap(), "PT86401S");
        assert_eq!(duration(-1_500, TimeUnit::Millisecond).unwrap(), "-PT1.5S");
    }
}
