//! A calendar day: what a `date32` column holds.
//!
//! Civil arithmetic after Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms"
//! (`days_from_civil`, `civil_from_days`): proleptic Gregorian, exact over the whole range of the
//! column, no table and no loop. Not here: time zones, locales, clocks.

use std::{fmt, str::FromStr};

/// A day of the proleptic Gregorian calendar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Date(i32);

impl Date {
    /// The day `days` after 1970-01-01.
    pub const fn from_days(days: i32) -> Self {
        Self(days)
    }

    /// Days since 1970-01-01.
    pub const fn days(self) -> i32 {
        self.0
    }

    /// The day of that name, or nothing where the calendar has no such day. `year` 0 is 1 BC.
    pub const fn new(year: i32, month: u32, day: u32) -> Option<Self> {
        if day == 0 || day > days_in_month(year, month) || year < -5_800_000 || year > 5_800_000 {
            return None;
        }
        // Years start in March here, so that the leap day is the last of its year.
        let shifted = if month <= 2 { year - 1 } else { year };
        let era = shifted.div_euclid(400);
        let year_of_era = shifted.rem_euclid(400);
        let month_from_march = ((month + 9) % 12) as i32;
        let day_of_year = (153 * month_from_march + 2) / 5 + day as i32 - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        Some(Self(era * 146_097 + day_of_era - 719_468))
    }

    /// Year, month (1–12) and day (1–31).
    pub const fn civil(self) -> (i32, u32, u32) {
        let days = self.0 as i64 + 719_468;
        let era = days.div_euclid(146_097);
        let day_of_era = days.rem_euclid(146_097);
        let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let month_from_march = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
        let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 };
        let year = year_of_era + era * 400 + (month <= 2) as i64;
        (year as i32, month as u32, day as u32)
    }

    /// The year.
    pub const fn year(self) -> i32 {
        self.civil().0
    }
}

const fn days_in_month(year: i32, month: u32) -> u32 {
    match month {
        1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 0,
    }
}

/// ISO 8601, `1994-10-14`.
impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (year, month, day) = self.civil();
        write!(f, "{year:04}-{month:02}-{day:02}")
    }
}

/// Reads `1994-10-14`.
impl FromStr for Date {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let mut parts = text.splitn(3, '-');
            let (year, month, day) = (digits(parts.next()?, 4)?, digits(parts.next()?, 2)?, digits(parts.next()?, 2)?);
            Self::new(i32::try_from(year).ok()?, month, day)
        };
        read().ok_or_else(|| format!("expected a date such as `1994-10-14`, got `{text}`"))
    }
}

/// A number of exactly `width` ASCII digits.
pub(crate) fn digits(text: &str, width: usize) -> Option<u32> {
    (text.len() == width && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_days() {
        for (year, month, day, days) in
            [(1970, 1, 1, 0), (1969, 12, 31, -1), (1994, 10, 14, 9052), (2000, 2, 29, 11016), (1, 1, 1, -719_162)]
        {
            let date = Date::new(year, month, day).unwrap();
            assert_eq!(date.days(), days);
            assert_eq!(date.civil(), (year, month, day));
        }
    }

    #[test]
    fn every_day_of_eight_centuries_has_a_successor() {
        let mut expected = Date::new(1600, 1, 1).unwrap().days();
        for year in 1600..2400 {
            for month in 1..=12 {
                for day in 1..=days_in_month(year, month) {
                    let date = Date::new(year, month, day).unwrap();
                    assert_eq!((date.days(), date.civil()), (expected, (year, month, day)));
                    expected += 1;
                }
            }
        }
    }

    #[test]
    fn days_that_are_not() {
        for (year, month, day) in [(1900, 2, 29), (1994, 13, 1), (1994, 0, 1), (1994, 4, 31), (1994, 4, 0)] {
            assert_eq!(Date::new(year, month, day), None);
        }
    }

    #[test]
    fn the_ends_of_the_column_have_a_name() {
        for days in [i32::MIN, i32::MAX] {
            let (year, month, day) = Date::from_days(days).civil();
            assert!((1..=12).contains(&month) && (1..=31).contains(&day) && year.abs() > 5_800_000);
        }
    }

    #[test]
    fn text_round_trips() {
        assert_eq!("1994-10-14".parse::<Date>().unwrap().to_string(), "1994-10-14");
        for wrong in ["1994-10-1", "14 Oct 1994", "1994-02-30", "", "+994-10-14"] {
            assert!(wrong.parse::<Date>().is_err(), "{wrong}");
        }
    }
}
