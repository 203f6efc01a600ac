//! How OMDb writes what it knows: years, days, minutes, money, lists and scores.
//!
//! Each function reads one notation and answers with nothing where the text is none; saying which
//! field that was is the caller's part. Scores are whole thousandths, so that a mean does not depend
//! on the order of its terms.

use super::ratings::Known;
use sluicebox_sdk::{Date, JsonRef, Refusal};

/// The text, unless it is one of OMDb's ways to say that there is none.
pub(super) fn present(text: Option<&str>) -> Option<&str> {
    text.map(str::trim_ascii).filter(|text| !text.is_empty() && *text != "N/A")
}

/// `1994`, `1994–1996`, or `1994–` for a series that still runs; the dash may be a hyphen.
pub(super) fn years(text: &str) -> Option<(i64, Option<i64>)> {
    if let Some(year) = year(text) {
        return Some((year, None));
    }
    let (first, last) = text.split_once(['–', '-', '—'])?;
    let first = year(first.trim_ascii_end())?;
    match last.trim_ascii_start() {
        "" => Some((first, None)),
        last => Some((first, Some(year(last).filter(|last| *last >= first)?))),
    }
}

fn year(text: &str) -> Option<i64> {
    if text.len() == 4 { digits(text) } else { None }
}

/// `14 Oct 1994`.
pub(super) fn day(text: &str) -> Option<Date> {
    let (day, rest) = cut(text, b' ')?;
    let (name, number) = cut(rest, b' ')?;
    let &[first, second, third] = name.as_bytes() else { return None };
    let month = match &[first | 0x20, second | 0x20, third | 0x20] {
        b"jan" => 1,
        b"feb" => 2,
        b"mar" => 3,
        b"apr" => 4,
        b"may" => 5,
        b"jun" => 6,
        b"jul" => 7,
        b"aug" => 8,
        b"sep" => 9,
        b"oct" => 10,
        b"nov" => 11,
        b"dec" => 12,
        _ => return None,
    };
    if day.len() > 2 {
        return None;
    }
    Date::new(i32::try_from(year(number)?).ok()?, month, u32::try_from(digits(day)?).ok()?)
}

/// `142 min`, `2 h 22 min`, `2 h`.
pub(super) fn minutes(text: &str) -> Option<i64> {
    let only_minutes = text.strip_suffix(" min").and_then(count);
    let minutes = match only_minutes {
        Some(minutes) => minutes,
        None => {
            let (hours, rest) = cut(text, b'h')?;
            let minutes = match rest.trim_ascii_start() {
                "" => 0,
                rest => count(rest.strip_suffix("min")?.trim_ascii_end())?,
            };
            digits(hours.trim_ascii_end()).filter(|hours| *hours < 1000)? * 60 + minutes
        }
    };
    (minutes > 0).then_some(minutes)
}

/// `2,900,000`: digits, in groups of three if in groups at all.
pub(super) fn count(text: &str) -> Option<i64> {
    if text.len() > MOST_DIGITS {
        return None;
    }
    let (mut number, mut in_group, mut commas) = (0, 0, 0);
    for byte in text.bytes() {
        match byte {
            b'0'..=b'9' => {
                number = number * 10 + i64::from(byte - b'0');
                in_group += 1;
            }
            b',' if in_group == 3 || (commas == 0 && (1..3).contains(&in_group)) => {
                commas += 1;
                in_group = 0;
            }
            _ => return None,
        }
    }
    let complete = if commas == 0 { in_group > 0 } else { in_group == 3 };
    complete.then_some(number)
}

/// So many digits always fit an `i64`. Checking the length once spares an overflow check a digit, which
/// is a multiplication of 128 bits where the machine has only 64.
const MOST_DIGITS: usize = 18;

/// A number of digits only.
fn digits(text: &str) -> Option<i64> {
    if text.is_empty() || text.len() > MOST_DIGITS {
        return None;
    }
    let mut number: i64 = 0;
    for byte in text.bytes() {
        if !byte.is_ascii_digit() {
            return None;
        }
        number = number * 10 + i64::from(byte - b'0');
    }
    Some(number)
}

/// `$28,767,189`.
pub(super) fn dollars(text: &str) -> Option<i64> {
    count(text.strip_prefix('$')?.trim_ascii_start())
}

/// `82`, out of 100.
pub(super) fn percent(text: &str) -> Option<i64> {
    digits(text).filter(|percent| *percent <= 100)
}

/// `9.3`, out of 10, in thousandths of the scale: 930.
pub(super) fn rating(text: &str) -> Option<i64> {
    share(text, "10")
}

/// `9.3/10`, `82/100` or `89%`, in thousandths of the scale.
fn score(text: &str) -> Option<i64> {
    match text.strip_suffix('%') {
        Some(percent) => share(percent, "100"),
        None => cut(text, b'/').and_then(|(part, whole)| share(part, whole)),
    }
}

/// So many thousandths is `part` of `whole`, rounded, if it is at most all of it.
fn share(part: &str, whole: &str) -> Option<i64> {
    let (part, whole) = (thousandths(part)?, thousandths(whole)?);
    (whole > 0 && part <= whole).then(|| (part * 1000 + whole / 2) / whole)
}

/// A number below a million with at most three decimals, times a thousand.
fn thousandths(text: &str) -> Option<i64> {
    let (whole, decimals) = cut(text, b'.').unwrap_or((text, "0"));
    let scale = match decimals.len() {
        1 => 100,
        2 => 10,
        3 => 1,
        _ => return None,
    };
    let whole = digits(whole).filter(|whole| *whole < 1_000_000)?;
    Some(whole * 1000 + digits(decimals)? * scale)
}

/// The mean of the scores that are there, brought from thousandths to 0 to 100 with one decimal.
pub(super) fn mean(scores: &[Option<i64>]) -> Option<f64> {
    let (sum, number) = scores.iter().flatten().fold((0, 0), |(sum, number), score| (sum + score, number + 1));
    (number > 0).then(|| ((2 * sum + number) / (2 * number)) as f64 / 10.0)
}

/// What `Ratings` says, in thousandths. Sources other than these three are passed over.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Scores {
    pub(super) imdb: Option<i64>,
    pub(super) rotten_tomatoes: Option<i64>,
    pub(super) metacritic: Option<i64>,
}

impl Scores {
    /// Reads the list of `Ratings`.
    pub(super) fn read(ratings: JsonRef<'_>) -> Result<Self, Refusal> {
        let Known { imdb, rotten_tomatoes, metacritic } = ratings.parse().map_err(|_| {
            Refusal::reject(format!("`Ratings`: expected a list of `Source` and `Value`, got `{ratings}`"))
        })?;
        Ok(Self {
            imdb: one_score(imdb.as_deref())?,
            rotten_tomatoes: one_score(rotten_tomatoes.as_deref())?,
            metacritic: one_score(metacritic.as_deref())?,
        })
    }
}

fn one_score(value: Option<&str>) -> Result<Option<i64>, Refusal> {
    let Some(value) = present(value) else { return Ok(None) };
    score(value)
        .map(Some)
        .ok_or_else(|| Refusal::reject(format!("`Ratings`: expected `9.3/10`, `82/100` or `89%`, got `{value}`")))
}

/// What a comma separates, each once. Commas in brackets separate nothing, and what stands in
/// brackets at an end ("Stephen King (novel)") is no part of the name.
pub(super) fn listed(text: Option<&str>) -> Vec<&str> {
    let Some(text) = present(text) else { return Vec::new() };
    let mut names = Vec::with_capacity(4);
    let (mut start, mut depth) = (0, 0_u32);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b',' if depth == 0 => {
                add_name(&mut names, text.get(start..at));
                start = at + 1;
            }
            _ => {}
        }
    }
    add_name(&mut names, text.get(start..));
    names
}

fn add_name<'a>(names: &mut Vec<&'a str>, item: Option<&'a str>) {
    let Some(item) = present(item) else { return };
    let name = match item.strip_suffix(')').and_then(|item| cut(item, b'(')) {
        Some((name, _)) => name.trim_ascii_end(),
        None => item,
    };
    if !name.is_empty() && !names.contains(&name) {
        names.push(name);
    }
}

/// What stands before and after the first such byte, which is ASCII. The texts are a few bytes long:
/// a plain loop beats the search for long ones that `split_once` sets up.
fn cut(text: &str, byte: u8) -> Option<(&str, &str)> {
    let at = text.bytes().position(|other| other == byte)?;
    Some((text.get(..at)?, text.get(at + 1..)?))
}

/// The one spelling of an age rating. `Open` says that none has been given yet.
pub(super) fn rated(text: Option<&str>) -> Option<&str> {
    match present(text)? {
        rated if rated.eq_ignore_ascii_case("unrated") || rated.eq_ignore_ascii_case("not rated") => Some("Not Rated"),
        rated if rated.eq_ignore_ascii_case("open") => None,
        rated => Some(rated),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn years_of_films_and_series() {
        assert_eq!(years("1994"), Some((1994, None)));
        assert_eq!(years("1994–1996"), Some((1994, Some(1996))));
        assert_eq!(years("1994-1996"), Some((1994, Some(1996))));
        assert_eq!(years("1994–"), Some((1994, None)));
        for wrong in ["94", "1994–96", "1996–1994", "–1994", "19x4", "1994–1995–1996"] {
            assert_eq!(years(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn days() {
        assert_eq!(day("14 Oct 1994"), Date::new(1994, 10, 14));
        assert_eq!(day("01 jan 2000"), Date::new(2000, 1, 1));
        for wrong in ["Oct 1994", "30 Feb 1994", "14 October 1994", "14 Oct 94", "14 Oct 1994 x", "014 Oct 1994"] {
            assert_eq!(day(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn runtimes() {
        assert_eq!(minutes("142 min"), Some(142));
        assert_eq!(minutes("2 h 22 min"), Some(142));
        assert_eq!(minutes("2h"), Some(120));
        assert_eq!(minutes("1,440 min"), Some(1440));
        for wrong in ["142", "0 min", "-5 min", "min", "two hours", "h 3 min", "9223372036854775807 h", "1000 h"] {
            assert_eq!(minutes(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn counts_and_money() {
        assert_eq!(count("2,900,000"), Some(2_900_000));
        assert_eq!(count("1071"), Some(1071));
        assert_eq!(dollars("$28,767,189"), Some(28_767_189));
        for wrong in
            ["2,90,000", ",900", "2900,000", "1.5", "-3", "", "99999999999999999999", "9,999,999,999,999,999,999,999"]
        {
            assert_eq!(count(wrong), None, "{wrong}");
        }
        for wrong in ["28,767,189", "£5", "$1.5M", "$"] {
            assert_eq!(dollars(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn scores_come_to_one_scale() {
        assert_eq!([score("9.3/10"), score("89%"), score("82/100")], [Some(930), Some(890), Some(820)]);
        assert_eq!(rating("10"), Some(1000));
        for wrong in ["10.1/10", "101%", "5/0", "9,3/10", "9.1234/10", "nine", "/10"] {
            assert_eq!(score(wrong), None, "{wrong}");
        }
        assert_eq!(mean(&[Some(930), None, Some(820)]), Some(87.5));
        assert_eq!(mean(&[Some(930), Some(890), Some(820)]), Some(88.0));
        assert_eq!(mean(&[None, None]), None);
    }

    #[test]
    fn ratings_are_read_by_source() {
        let read = |text| Scores::read(JsonRef::from_text(text));
        let text = r#"[{"Source":"Internet Movie Database","Value":"9.3/10"},{"Source":"Metacritic","Value":"N/A"},
            {"Source":"The Neighbour","Value":"great"},{"Source":"Rotten Tomatoes","Value":"89%"}]"#;
        let expected = Scores { imdb: Some(930), rotten_tomatoes: Some(890), metacritic: None };
        assert_eq!(read(text), Ok(expected));
        assert_eq!(read("[]"), Ok(Scores::default()));
        assert!(read(r#"{"Source": 1}"#).is_err());
        assert!(read(r#"[{"Source":"Metacritic","Value":"82"}]"#).is_err());
    }

    #[test]
    fn lists_hold_each_name_once() {
        assert_eq!(listed(Some("Crime, Drama ,Crime,")), ["Crime", "Drama"]);
        assert_eq!(
            listed(Some("Stephen King (novel, story), Frank Darabont (screenplay), Frank Darabont")),
            ["Stephen King", "Frank Darabont"]
        );
        assert_eq!(listed(Some("Prince (Symbol) Nelson")), ["Prince (Symbol) Nelson"]);
        assert!(listed(Some("N/A")).is_empty() && listed(None).is_empty());
    }

    #[test]
    fn age_ratings_have_one_spelling() {
        assert_eq!(rated(Some("UNRATED")), Some("Not Rated"));
        assert_eq!(rated(Some("PG-13")), Some("PG-13"));
        assert_eq!([rated(Some("Open")), rated(Some("N/A")), rated(None)], [None; 3]);
    }
}
