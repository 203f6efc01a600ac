//! From cron expressions of five fields to those of EventBridge: six fields, `?` for the day that does not matter, Sunday is 1.
//!
//! Does not check an expression: a plan's schedule has been checked. What AWS cannot express is an error, never another meaning.
//!
//! Clock changes: AWS skips a time that the change skips; a host fires after the gap.

use std::collections::BTreeSet;

use pipeline::schedule::NICKNAMES;
use pipeline::{Objection, code};
use thiserror::Error;

/// Why an expression has no counterpart.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("AWS has no schedule for `{field}` as the {name}")]
pub struct Inexpressible {
    field: String,
    name: &'static str,
}

impl Inexpressible {
    pub(super) fn objection(&self) -> Objection {
        Objection {
            about: "schedule.cron".to_owned(),
            code: code::NOT_DEPLOYABLE,
            message: self.to_string(),
            expected: Some("numbers, names, ranges, steps, lists of these, or one `L`, `W` or `#`".to_owned()),
            hint: Some("write it as one or several of those, or as EventBridge's own `cron(…)`".to_owned()),
        }
    }
}

struct Field {
    name: &'static str,
    first: u32,
    last: u32,
    /// The highest number that is read: Sunday is 0, and 7.
    highest: u32,
    words: &'static [&'static str],
}

const MONTHS: &[&str] = &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const DAYS: &[&str] = &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
const MINUTE: Field = Field { name: "minute", first: 0, last: 59, highest: 59, words: &[] };
const HOUR: Field = Field { name: "hour", first: 0, last: 23, highest: 23, words: &[] };
const DAY: Field = Field { name: "day of month", first: 1, last: 31, highest: 31, words: &[] };
const MONTH: Field = Field { name: "month", first: 1, last: 12, highest: 12, words: MONTHS };
const WEEKDAY: Field = Field { name: "day of week", first: 0, last: 6, highest: 7, words: DAYS };

/// The schedules of EventBridge that together fire when `expression` does: mostly one. An expression with both days of the month and days of
/// the week, where either matches, needs two. They fire twice on a day that matches both: a tick fired twice is one tick.
///
/// # Errors
/// [`Inexpressible`] if there are none.
pub fn to_aws(expression: &str) -> Result<Vec<String>, Inexpressible> {
    if expression.starts_with("cron(") {
        return Ok(vec![expression.to_owned()]);
    }
    let named = NICKNAMES.iter().find(|(name, _)| name.eq_ignore_ascii_case(expression));
    let expression = named.map_or(expression, |(_, expression)| expression);
    let mut fields = expression.split_whitespace().map(|field| if field == "?" { "*" } else { field });
    let mut next = || fields.next().unwrap_or("*");
    let [minute, hour, day, month, weekday] = [next(), next(), next(), next(), next()];
    let time = format!("{} {}", MINUTE.numbers(minute)?, HOUR.numbers(hour)?);
    let month = MONTH.numbers(month)?;
    let of_month = |day: String| format!("cron({time} {day} {month} ? *)");
    let of_week = |weekday: String| format!("cron({time} ? {month} {weekday} *)");
    Ok(match (day, weekday) {
        (day, "*") => vec![of_month(DAY.days(day)?)],
        ("*", weekday) => vec![of_week(WEEKDAY.days(weekday)?)],
        (day, weekday) => vec![of_month(DAY.days(day)?), of_week(WEEKDAY.days(weekday)?)],
    })
}

impl Field {
    /// A field of days, which may also name the last day, the nearest weekday or the n-th weekday of its kind.
    fn days(&self, text: &str) -> Result<String, Inexpressible> {
        let upper = text.to_ascii_uppercase();
        let of_week = !self.words.is_empty();
        let marked = match upper.as_str() {
            "L" | "LW" if !of_week => Some(upper.clone()),
            _ if !of_week => upper.strip_suffix('W').and_then(|day| Some(format!("{}W", self.number(day)?))),
            _ => match upper.split_once('#') {
                Some((day, "1" | "2" | "3" | "4" | "5")) => self.number(day).map(|day| self.wrapped(day) + 1),
                Some(_) => None,
                None => upper.strip_suffix('L').and_then(|day| Some(self.wrapped(self.number(day)?) + 1)),
            }
            // What follows the day stays as it is.
            .map(|day| format!("{day}{}", upper.trim_start_matches(|letter: char| !"#L".contains(letter)))),
        };
        marked.map_or_else(|| self.numbers(text), Ok)
    }

    /// A field of numbers.
    fn numbers(&self, text: &str) -> Result<String, Inexpressible> {
        let upper = text.to_ascii_uppercase();
        if upper == "*" {
            return Ok(upper);
        }
        let odd = || Inexpressible { field: text.to_owned(), name: self.name };
        let mut numbers = BTreeSet::new();
        for part in upper.split(',') {
            numbers.extend(self.part(part).ok_or_else(odd)?);
        }
        Ok(self.written(&numbers))
    }

    /// `*`, `a`, `a-b`, each perhaps with `/step`.
    fn part(&self, part: &str) -> Option<BTreeSet<u32>> {
        let (range, step) = match part.split_once('/') {
            Some((range, step)) => (range, step.parse().ok().filter(|step| *step > 0)?),
            None => (part, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (self.first, self.last),
            Some((first, last)) => (self.number(first)?, self.number(last)?),
            None => (self.number(range)?, self.number(range)?),
        };
        // A week may end with its first day: `SAT-SUN`.
        let last = if last < first { last + self.size() } else { last };
        let numbers: BTreeSet<u32> = (first..=last).step_by(step).map(|number| self.wrapped(number)).collect();
        (!numbers.is_empty()).then_some(numbers)
    }

    fn number(&self, text: &str) -> Option<u32> {
        let word = self.words.iter().position(|word| *word == text).and_then(|at| u32::try_from(at).ok());
        let number = word.map(|at| at + self.first).or_else(|| text.parse().ok())?;
        (self.first..=self.highest).contains(&number).then_some(number)
    }

    fn size(&self) -> u32 {
        self.last - self.first + 1
    }

    fn wrapped(&self, number: u32) -> u32 {
        (number - self.first) % self.size() + self.first
    }

    /// Numbers in AWS's form: runs as ranges; days and months by their names.
    fn written(&self, numbers: &BTreeSet<u32>) -> String {
        if u32::try_from(numbers.len()) == Ok(self.size()) {
            return "*".to_owned();
        }
        let mut runs: Vec<(u32, u32)> = Vec::new();
        for number in numbers {
            match runs.last_mut() {
                Some((_, end)) if *end + 1 == *number => *end = *number,
                _ => runs.push((*number, *number)),
            }
        }
        let name = |number: u32| {
            let word = usize::try_from(number - self.first).ok().and_then(|at| self.words.get(at));
            word.map_or_else(|| number.to_string(), |word| (*word).to_owned())
        };
        let run = |(first, last): &(u32, u32)| match last - first {
            0 => name(*first),
            1 => format!("{},{}", name(*first), name(*last)),
            _ => format!("{}-{}", name(*first), name(*last)),
        };
        runs.iter().map(run).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use chrono::{DateTime, TimeDelta, Utc};
    use pipeline::schedule::{Missed, Schedule};

    use super::*;

    #[test]
    fn expressions_are_translated() {
        for (ours, theirs) in [
            ("0 3 * * *", "cron(0 3 * * ? *)"),
            ("@daily", "cron(0 0 * * ? *)"),
            ("@weekly", "cron(0 0 ? * SUN *)"),
            ("30 6 1 1,7 *", "cron(30 6 1 JAN,JUL ? *)"),
            ("*/20 9-17 * * 1-5", "cron(0,20,40 9-17 ? * MON-FRI *)"),
            ("0 12 * * 5-7", "cron(0 12 ? * SUN,FRI,SAT *)"),
            ("0 0 L * *", "cron(0 0 L * ? *)"),
            ("0 0 15W * *", "cron(0 0 15W * ? *)"),
            ("0 0 * * 5L", "cron(0 0 ? * 6L *)"),
            ("0 0 * * MON#2", "cron(0 0 ? * 2#2 *)"),
            ("cron(0 3 ? * 2-6 *)", "cron(0 3 ? * 2-6 *)"),
        ] {
            assert_eq!(to_aws(ours).unwrap(), [theirs], "{ours}");
        }
        let both = to_aws("0 0 13 * FRI").unwrap();
        assert_eq!(both, ["cron(0 0 13 * ? *)", "cron(0 0 ? * FRI *)"]);
    }

    #[test]
    fn what_aws_cannot_say_is_refused() {
        for (field, name) in [("0 0 1,L * *", "day of month"), ("0 0 * * 1#1,1#3", "day of week")] {
            let told = to_aws(field).unwrap_err();
            assert_eq!(told.name, name, "{told}");
            assert_eq!(told.objection().code, "C071");
        }
    }

    /// The engine reads `cron(…)` as EventBridge does, so both can be asked when they fire.
    #[test]
    fn both_fire_at_the_same_moments() {
        let of = |text: &str| Schedule::parse(text, chrono_tz::UTC, Missed::Once).unwrap();
        let start: DateTime<Utc> = "2026-01-01T00:00:00Z".parse().unwrap();
        let until = start + TimeDelta::days(800);
        for text in [
            "0 3 * * *",
            "*/7 * * * *",
            "15 */5 * * *",
            "0 0 13 * FRI",
            "5-10/2 4 */10 2-11/3 *",
            "0 6 1,15 * 1-5",
            "0 0 * * 7",
            "0 0 * * 0-3",
            "0 0 1 * 0-7",
            "0 0 * * SAT-SUN",
            "0 0 31 * *",
            "0 0 L 2 *",
            "0 0 * * 5L",
            "0 0 * * 1#2",
            "0 0 15W * *",
            "0 0 LW * *",
            "0 12 * 6,12 6,0",
            "@monthly",
        ] {
            let most = 3_000;
            let ours: Vec<_> = of(text).between(start, until).take(most).collect();
            let theirs = to_aws(text).unwrap();
            let theirs: BTreeSet<_> =
                theirs.iter().flat_map(|text| of(text).between(start, until).take(most).collect::<Vec<_>>()).collect();
            assert_eq!(ours, theirs.into_iter().take(most).collect::<Vec<_>>(), "{text}");
            assert!(!ours.is_empty(), "{text}");
        }
    }
}
