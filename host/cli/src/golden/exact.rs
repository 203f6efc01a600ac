//! JSON values in which no number loses a digit, for comparing a plugin's output with what is expected.
//!
//! `serde_json` keeps a number beyond 64 bits as the nearest double. Here such a number is a text behind a mark that no
//! document has, and [`text`] writes it as a number again. Does not compare.

use lake::decimal::Decimal;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

/// A character of a private area: a text that begins with it is a number.
const MARK: char = '\u{F8E5}';

/// The value of a JSON text.
pub(crate) fn parse(text: &str) -> serde_json::Result<Value> {
    // Refuses text that is not JSON, and bounds the depth.
    let plain: Value = serde_json::from_str(text)?;
    value(text.trim(), plain)
}

fn value(text: &str, plain: Value) -> serde_json::Result<Value> {
    Ok(match plain {
        Value::Number(number) if Decimal::parse(&number.to_string()) != Decimal::parse(text) => {
            Value::String(format!("{MARK}{text}"))
        }
        Value::Array(items) => {
            let texts: Vec<&RawValue> = serde_json::from_str(text)?;
            let items = texts.into_iter().zip(items).map(|(text, item)| value(text.get(), item));
            Value::Array(items.collect::<Result<_, _>>()?)
        }
        Value::Object(_) => {
            let members: records::record::Record = serde_json::from_str(text)?;
            let members = members.iter().map(|(name, raw)| {
                let plain = serde_json::from_str(raw.get())?;
                Ok((name.to_owned(), value(raw.get(), plain)?))
            });
            Value::Object(members.collect::<serde_json::Result<Map<_, _>>>()?)
        }
        other => other,
    })
}

/// A value as JSON text, each number with all its digits; `pretty` as files have it.
pub(crate) fn text(value: &Value, pretty: bool) -> String {
    let written = if pretty { serde_json::to_string_pretty(value) } else { serde_json::to_string(value) };
    let written = written.unwrap_or_default();
    let opening = format!("\"{MARK}");
    let mut parts = written.split(&opening);
    let mut all = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (digits, rest) = part.split_once('"').unwrap_or((part, ""));
        all.push_str(digits);
        all.push_str(rest);
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_beyond_a_double_stay_apart_and_are_written_as_numbers() {
        let document = r#"{"a":[100000000000000000001,1.5,{"b":0.12345678901234567890}],"c":"1","d":9007199254740993}"#;
        let read = parse(document).unwrap();
        assert_eq!(text(&read, false), document);
        assert_ne!(read, parse(&document.replace("01,", "02,")).unwrap());
        assert_eq!(read["d"], serde_json::json!(9_007_199_254_740_993_i64));
        assert!(parse("{").is_err());
    }
}
