//! Whether the values of a hand-written row have exactly the types of their columns: `"11"` is no int64, and neither is `11.0`.
//!
//! Does not convert anything: `json_rows` does, with a reader that would accept some of what is refused here.

use chrono::{DateTime, NaiveDate};
use seams::plugin::{ColumnType, InputField, ScalarType};
use serde_json::{Map, Value};

use crate::exit::ExitCode;
use crate::failure::Failure;

/// How floats without a JSON number are written.
pub(super) const NOT_FINITE: [&str; 3] = ["NaN", "inf", "-inf"];

/// Refuses the first value that does not have its column's type.
pub(super) fn check(rows: &[Map<String, Value>], fields: &[InputField]) -> Result<(), Failure> {
    for (number, row) in (1..).zip(rows) {
        for field in fields {
            let value = row.get(&field.name);
            let nothing = value.is_none_or(Value::is_null);
            if nothing && field.nullable {
                continue;
            }
            let fits = value.filter(|value| !value.is_null()).is_some_and(|value| is(value, field.ty));
            if !fits {
                let found = value.map_or_else(|| "nothing".to_owned(), said);
                let (name, ty) = (&field.name, field.ty);
                let message =
                    format!("row {number}: column `{name}` is {ty}, expected {}, found {found}", expected(ty));
                let failure = Failure::new(ExitCode::Wrong, message);
                return Err(match hint(value, ty) {
                    Some(hint) => failure.hint(hint),
                    None => failure,
                });
            }
        }
    }
    Ok(())
}

fn is(value: &Value, ty: ColumnType) -> bool {
    match (ty, value) {
        (ColumnType::Scalar(scalar), value) => is_scalar(value, scalar),
        (ColumnType::List(scalar), Value::Array(items)) => items.iter().all(|item| is_scalar(item, scalar)),
        (ColumnType::List(_), _) => false,
    }
}

fn is_scalar(value: &Value, ty: ScalarType) -> bool {
    match (ty, value) {
        (ScalarType::Json, _) | (ScalarType::Boolean, Value::Bool(_)) | (ScalarType::Utf8, Value::String(_)) => true,
        (ScalarType::Int64, Value::Number(number)) => number.is_i64(),
        (ScalarType::Float64, Value::Number(_)) => true,
        (ScalarType::Float64, Value::String(text)) => NOT_FINITE.contains(&text.as_str()),
        // Ten characters: the parser would accept `2026-3-1` as well.
        (ScalarType::Date32, Value::String(text)) => {
            text.len() == 10 && NaiveDate::parse_from_str(text, "%Y-%m-%d").is_ok()
        }
        (ScalarType::Timestamp, Value::String(text)) => DateTime::parse_from_rfc3339(text).is_ok(),
        _ => false,
    }
}

fn expected(ty: ColumnType) -> String {
    let (scalar, listed) = match ty {
        ColumnType::Scalar(scalar) => (scalar, ""),
        ColumnType::List(scalar) => (scalar, "a list, each item "),
    };
    let what = match scalar {
        ScalarType::Boolean => "true or false",
        ScalarType::Int64 => "a whole number of 64 bits, as `11`",
        ScalarType::Float64 => "a number, or \"NaN\", \"inf\", \"-inf\"",
        ScalarType::Utf8 => "text",
        ScalarType::Date32 => "a date, as \"2026-03-01\"",
        ScalarType::Timestamp => "a timestamp with its zone, as \"2026-03-01T06:00:00Z\"",
        ScalarType::Json => "any JSON but null",
    };
    format!("{listed}{what}")
}

fn said(value: &Value) -> String {
    let kind = match value {
        Value::Null => return "null".to_owned(),
        Value::Bool(_) => "",
        Value::Number(_) => "the number ",
        Value::String(_) => "the text ",
        Value::Array(_) => "the list ",
        Value::Object(_) => "the object ",
    };
    format!("{kind}{value}")
}

/// For the two most common mistakes: a value in quotes that needs none, or without the quotes that it needs.
fn hint(value: Option<&Value>, ty: ColumnType) -> Option<String> {
    match (ty, value?) {
        (ColumnType::Scalar(ScalarType::Int64 | ScalarType::Float64 | ScalarType::Boolean), Value::String(text)) => {
            let bare: Value = serde_json::from_str(text).ok()?;
            is(&bare, ty).then(|| format!("write {bare} without quotes"))
        }
        (ColumnType::Scalar(ScalarType::Utf8), value @ (Value::Number(_) | Value::Bool(_))) => {
            Some(format!("write \"{value}\" with quotes"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn refused(ty: ColumnType, value: &Value) -> Option<String> {
        let field = InputField { name: "x".into(), pointer: "/x".into(), ty, nullable: false };
        let row = Map::from_iter([("x".to_owned(), value.clone())]);
        check(&[row], &[field]).err().map(|error| error.to_string())
    }

    fn advised(ty: ScalarType, value: &Value) -> Option<String> {
        let field = InputField { name: "x".into(), pointer: "/x".into(), ty: ColumnType::Scalar(ty), nullable: false };
        let error = anyhow::Error::from(check(&[Map::from_iter([("x".to_owned(), value.clone())])], &[field]).err()?);
        crate::failure::hint_of(&error).map(str::to_owned)
    }

    #[test]
    fn a_value_of_another_type_is_refused_with_row_column_and_what_was_expected() {
        let told = refused(ColumnType::Scalar(ScalarType::Int64), &json!("11")).unwrap();
        assert_eq!(
            told,
            "row 1: column `x` is int64, expected a whole number of 64 bits, as `11`, found the text \"11\""
        );
        assert_eq!(advised(ScalarType::Int64, &json!("11")).as_deref(), Some("write 11 without quotes"));
        assert_eq!(advised(ScalarType::Utf8, &json!(7)).as_deref(), Some("write \"7\" with quotes"));
        let wrong = [
            (ScalarType::Int64, json!(11.0)),
            (ScalarType::Int64, json!(9_223_372_036_854_775_808_u64)),
            (ScalarType::Int64, json!(true)),
            (ScalarType::Int64, json!(null)),
            (ScalarType::Float64, json!("1.5")),
            (ScalarType::Float64, json!(true)),
            (ScalarType::Boolean, json!("true")),
            (ScalarType::Boolean, json!(1)),
            (ScalarType::Utf8, json!(7)),
            (ScalarType::Utf8, json!({})),
            (ScalarType::Date32, json!(20_000)),
            (ScalarType::Date32, json!("2026-3-1")),
            (ScalarType::Date32, json!("2026-02-30")),
            (ScalarType::Date32, json!("2026-03-01T00:00:00Z")),
            (ScalarType::Timestamp, json!("2026-03-01")),
            (ScalarType::Timestamp, json!("2026-03-01T06:00:00")),
            (ScalarType::Timestamp, json!(0)),
            (ScalarType::Json, json!(null)),
        ];
        for (ty, value) in wrong {
            assert!(refused(ColumnType::Scalar(ty), &value).is_some(), "{ty:?} takes {value}");
            assert!(refused(ColumnType::List(ty), &json!([value])).is_some() || value.is_null(), "a list of {ty:?}");
        }
        assert!(refused(ColumnType::List(ScalarType::Int64), &json!(1)).is_some());
    }

    #[test]
    fn a_value_of_its_type_is_taken() {
        let right = [
            (ScalarType::Int64, json!(-11)),
            (ScalarType::Float64, json!(11)),
            (ScalarType::Float64, json!("NaN")),
            (ScalarType::Boolean, json!(false)),
            (ScalarType::Utf8, json!("11")),
            (ScalarType::Date32, json!("1969-12-31")),
            (ScalarType::Timestamp, json!("2026-03-01T06:00:00.25+01:00")),
            (ScalarType::Json, json!({"a": null})),
        ];
        for (ty, value) in right {
            assert_eq!(refused(ColumnType::Scalar(ty), &value), None);
            assert_eq!(refused(ColumnType::List(ty), &json!([value])), None);
        }
    }
}
