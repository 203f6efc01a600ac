//! The small languages inside the strings of `pipeline.toml`: durations, sizes, rates, names, orders, digests, secrets,
//! templates, time zones.
//!
//! URLs and places are `uris`. Does not know where a string stands: a problem gets its place from the reader.

use std::ops::RangeInclusive;
use std::str::FromStr;
use std::time::Duration;

use bytesize::ByteSize;
use chrono_tz::Tz;

use super::code;
use super::plan::{OrderBy, Percent, SecretRef, Template, TemplatePart};
use super::problem::{Wrong, did_you_mean};

/// `250ms`, `60s`, `5m`, `1h 30m`.
pub(super) fn duration(text: &str) -> Result<Duration, Wrong> {
    let wrong = Wrong::new(code::NO_QUANTITY, format!("`{text}` is not a duration"));
    let unitless = text.trim().parse::<f64>().is_ok();
    let hint = unitless.then(|| format!("add a unit: `\"{}s\"`", text.trim()));
    humantime::parse_duration(text)
        .ok()
        .filter(|_| !unitless)
        .ok_or_else(|| wrong.expected("a number and `ms`, `s`, `m`, `h` or `d`, such as `\"60s\"`").maybe_hint(hint))
}

/// A duration as [`duration`] reads it.
pub(super) fn duration_text(duration: &Duration) -> String {
    humantime::format_duration(*duration).to_string()
}

/// `64 KiB`, `128 MiB`, `1.5 GiB`, `10 MB`, in bytes.
pub(super) fn size(text: &str) -> Result<u64, Wrong> {
    let wrong = Wrong::new(code::NO_QUANTITY, format!("`{text}` is not a size"));
    let unitless = text.trim().parse::<f64>().is_ok();
    let hint = unitless.then(|| format!("add a unit: `\"{} MiB\"`", text.trim()));
    ByteSize::from_str(text.trim()).ok().filter(|_| !unitless).map(|size| size.as_u64()).ok_or_else(|| {
        wrong.expected("a number and `B`, `KiB`, `MiB` or `GiB`, such as `\"128 MiB\"`").maybe_hint(hint)
    })
}

/// A size as [`size`] reads it.
pub(super) fn size_text(bytes: &u64) -> String {
    let units = [(1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")];
    let exact = units.iter().find(|(unit, _)| *bytes >= *unit && bytes.is_multiple_of(*unit));
    exact.map_or_else(|| format!("{bytes} B"), |(unit, name)| format!("{} {name}", bytes / unit))
}

/// A JSON pointer (RFC 6901).
pub(super) fn pointer(text: &str) -> Result<String, Wrong> {
    if text.is_empty() || text.starts_with('/') {
        return Ok(text.to_owned());
    }
    let wrong = Wrong::new(code::BAD_NAME, format!("`{text}` is no JSON pointer"));
    let path = text.trim_start_matches("$.").replace('.', "/");
    Err(wrong.expected("`/` before each key on the way to the list of records").hint(format!("for example `/{path}`")))
}

/// `Europe/Berlin`: a name of the IANA time zone database.
pub(super) fn timezone(text: &str) -> Result<Tz, Wrong> {
    text.parse().map_err(|_| {
        let wrong = Wrong::new(code::BAD_TIMEZONE, format!("there is no time zone `{text}`"));
        let names = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
        let city =
            chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).find(|name| name.rsplit('/').next() == Some(text));
        let hint = city.map(|zone| format!("did you mean `{zone}`?")).or_else(|| did_you_mean(text, names));
        wrong.expected("a name of the IANA time zone database, such as `Europe/Berlin` or `UTC`").maybe_hint(hint)
    })
}

/// `20%`: a whole number of percent up to 100.
pub(super) fn percent(text: &str) -> Result<Percent, Wrong> {
    let number = text.trim().strip_suffix('%').and_then(|number| number.trim_end().parse().ok());
    number.and_then(Percent::new).ok_or_else(|| {
        let unitless = text.trim().parse::<u8>().is_ok_and(|number| number <= 100);
        let hint = unitless.then(|| format!("add the sign: `\"{}%\"`", text.trim()));
        let expected = "a whole number from 0 to 100 and `%`, such as `\"20%\"`";
        Wrong::new(code::NO_QUANTITY, format!("`{text}` is not a percentage")).expected(expected).maybe_hint(hint)
    })
}

/// `got`, if it is in `range`.
pub(super) fn in_range<T: PartialOrd>(
    key: &str,
    got: T,
    range: &RangeInclusive<T>,
    show: impl Fn(&T) -> String,
) -> Result<T, Wrong> {
    if range.contains(&got) {
        return Ok(got);
    }
    let (low, high) = (show(range.start()), show(range.end()));
    let side = if got < *range.start() { "too small" } else { "too large" };
    Err(Wrong::new(code::OUT_OF_RANGE, format!("`{key}` is {side}: {}", show(&got)))
        .expected(format!("at least {low} and at most {high}")))
}

/// The problem of a number that is too small, where no upper bound is worth naming.
pub(super) fn too_small(key: &str, got: String, least: String) -> Wrong {
    Wrong::new(code::OUT_OF_RANGE, format!("`{key}` is too small: {got}")).expected(format!("at least {least}"))
}

/// `10/s`, `100/min`, `5000/h`, `1000/day`: how many requests, and in which time.
pub(super) fn rate(text: &str) -> Result<(u32, Duration), Wrong> {
    let unit = |unit: &str| match unit {
        "s" | "sec" | "second" => Some(1),
        "m" | "min" | "minute" => Some(60),
        "h" | "hour" => Some(3_600),
        "d" | "day" => Some(86_400),
        _ => None,
    };
    let parts = text.split_once('/').and_then(|(count, per)| Some((count.trim().parse().ok()?, unit(per.trim())?)));
    match parts {
        Some((count, seconds)) if (1..=1_000_000).contains(&count) => Ok((count, Duration::from_secs(seconds))),
        _ => Err(Wrong::new(code::NO_QUANTITY, format!("`{text}` is not a rate"))
            .expected("requests per `s`, `min`, `h` or `day`, such as `\"10/s\"`")),
    }
}

/// `[a-z0-9][a-z0-9_-]{0,62}`.
pub(super) fn name(text: &str) -> Result<String, Wrong> {
    let fits = |letter: char| letter.is_ascii_lowercase() || letter.is_ascii_digit();
    let good = text.starts_with(fits) && text.len() <= 63 && text.chars().all(|c| fits(c) || matches!(c, '_' | '-'));
    if good {
        return Ok(text.to_owned());
    }
    let mapped = text.trim().to_lowercase().replace(|c: char| !fits(c) && !matches!(c, '_' | '-'), "-");
    let mended: String = mapped.trim_matches(['-', '_']).chars().take(63).collect();
    let hint = (!mended.is_empty()).then(|| format!("`{mended}` would do"));
    let expected = "1 to 63 of `a-z`, `0-9`, `_` and `-`, a letter or digit first";
    Err(Wrong::new(code::BAD_NAME, format!("`{text}` is not a name")).expected(expected).maybe_hint(hint))
}

/// `column`, `column asc` or `column desc`.
pub(super) fn order_by(text: &str) -> Result<OrderBy, Wrong> {
    let expected = "`COLUMN`, `COLUMN asc` or `COLUMN desc`";
    let wrong = |message: String| Wrong::new(code::BAD_ORDER, message).expected(expected);
    let text = text.trim();
    let (column, direction) = match text.rsplit_once(char::is_whitespace) {
        Some((column, direction)) => (column.trim(), direction),
        None => (text, "asc"),
    };
    if column.is_empty() || matches!(text.to_lowercase().as_str(), "asc" | "desc") {
        return Err(wrong("`order_by` names no column".to_owned()));
    }
    if text.contains(',') {
        return Err(wrong("`order_by` takes one column".to_owned()));
    }
    let descending = match direction.to_lowercase().as_str() {
        "asc" => false,
        "desc" => true,
        other => {
            let written_out = ["asc", "desc"].into_iter().find(|word| other.starts_with(word));
            let hint =
                written_out.map(|word| format!("write `{word}`")).or_else(|| did_you_mean(other, ["asc", "desc"]));
            return Err(wrong(format!("`{direction}` is not a direction")).maybe_hint(hint));
        }
    };
    Ok(OrderBy { column: column.to_owned(), descending })
}

/// 64 hexadecimal digits, with or without `sha256:` before them.
pub(super) fn sha256(text: &str) -> Result<String, Wrong> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() == 64 && digits.chars().all(|digit| digit.is_ascii_hexdigit()) {
        return Ok(digits.to_lowercase());
    }
    let got = match digits.chars().find(|digit| !digit.is_ascii_hexdigit()) {
        Some(odd) => format!("`{}` is not hexadecimal", odd.escape_default()),
        None => format!("it has {} digits", digits.len()),
    };
    let wrong = Wrong::new(code::BAD_DIGEST, format!("not a SHA-256: {got}")).expected("64 hexadecimal digits");
    Err(wrong.hint("`sluicebox plugin inspect FILE` prints a component's digest"))
}

/// `env:NAME`, `file:PATH`, `aws-secretsmanager:NAME#FIELD`. No message holds the text: it may be the secret itself.
pub(super) fn secret(text: &str) -> Result<SecretRef, Wrong> {
    let expected = "`env:NAME`, `file:PATH` or `aws-secretsmanager:NAME#FIELD`";
    let bad = |message: &str| Wrong::new(code::BAD_SECRET, message).expected(expected);
    match text.split_once(':') {
        Some(("env", name)) => {
            let fits = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let good = !name.is_empty() && !name.starts_with(|c: char| c.is_ascii_digit()) && name.chars().all(fits);
            good.then(|| SecretRef::Env(name.to_owned())).ok_or_else(|| {
                bad("not the name of an environment variable").hint("give the variable's name, not its value")
            })
        }
        Some(("file", path)) if !path.trim().is_empty() => Ok(SecretRef::File(path.to_owned())),
        Some(("file", _)) => Err(bad("`file:` without a path")),
        Some(("aws-secretsmanager", rest)) => {
            let (name, field) = rest.split_once('#').map_or((rest, None), |(name, field)| (name, Some(field)));
            let fits = |c: char| c.is_ascii_alphanumeric() || "/_+=.@-:".contains(c);
            let good = !name.is_empty() && name.chars().all(fits) && field != Some("");
            let reference = || SecretRef::AwsSecretsManager { name: name.to_owned(), field: field.map(str::to_owned) };
            good.then(reference).ok_or_else(|| bad("not the name of a secret in AWS Secrets Manager"))
        }
        _ => Err(bad("not the place of a secret").hint("the file says where a secret is kept, never what it is")),
    }
}

/// Text with `{secret:NAME}` in it. Other braces are plain text.
pub(super) fn template(text: &str) -> Result<Template, Wrong> {
    let mut parts = Vec::new();
    let mut plain = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('{') {
        plain.push_str(before);
        let (kind, argument) = after.split_once(':').unwrap_or((after, ""));
        if kind.is_empty() || !kind.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-')) {
            plain.push('{');
            rest = after;
            continue;
        }
        let bad = |message: String| Wrong::new(code::BAD_PLACEHOLDER, message).expected("`{secret:NAME}`");
        if kind != "secret" {
            return Err(bad(format!("`{{{kind}…}}` is not a placeholder")).maybe_hint(did_you_mean(kind, ["secret"])));
        }
        let Some((name, after)) = argument.split_once('}') else {
            return Err(bad("a placeholder without its closing `}`".to_owned()));
        };
        if !plain.is_empty() {
            parts.push(TemplatePart::Text(std::mem::take(&mut plain)));
        }
        parts.push(TemplatePart::Secret(name.to_owned()));
        rest = after;
    }
    plain.push_str(rest);
    if !plain.is_empty() || parts.is_empty() {
        parts.push(TemplatePart::Text(plain));
    }
    Ok(Template(parts))
}
