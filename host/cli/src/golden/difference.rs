//! Where two JSON documents differ, with paths as `rows[3].temperature_c`.
//!
//! Does not print.

use serde::Serialize;
use serde_json::Value;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// One place where the output differs from what was expected. `None` means "no value there".
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Difference {
    /// The place, from the document's root.
    pub(crate) at: String,
    /// What should be there.
    pub(crate) expected: Option<Value>,
    /// What is there.
    pub(crate) got: Option<Value>,
}

/// Every difference between tables. A missing key equals a null: a column has no third state. If the output is a float,
/// `3` equals `3.0`; if it is a whole number, it does not. Items of lists are matched so that one row too many is one difference.
pub(crate) fn compare(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut differences = Vec::new();
    visit("", expected, got, &mut differences);
    differences
}

/// Every difference between documents. Their next reader sees text, in which `3` is not `3.0`, and a missing key is not a null.
pub(crate) fn compare_documents(expected: &Value, got: &Value) -> Vec<Difference> {
    let mut differences = compare(expected, got);
    if differences.is_empty() {
        exactly("", Some(expected), Some(got), &mut differences);
    }
    differences
}

/// As [`visit`] for two values in which `visit` has found no difference, so that lists have equal lengths.
fn exactly(at: &str, expected: Option<&Value>, got: Option<&Value>, found: &mut Vec<Difference>) {
    match (expected, got) {
        (Some(Value::Object(wanted)), Some(Value::Object(there))) => {
            let keys = wanted.keys().chain(there.keys().filter(|key| !wanted.contains_key(*key)));
            for key in keys {
                exactly(&inside(at, key), wanted.get(key), there.get(key), found);
            }
        }
        (Some(Value::Array(wanted)), Some(Value::Array(there))) => {
            for (index, (wanted, there)) in wanted.iter().zip(there).enumerate() {
                exactly(&format!("{at}[{index}]"), Some(wanted), Some(there), found);
            }
        }
        _ if expected == got => {}
        _ => found.push(Difference { at: at.to_owned(), expected: expected.cloned(), got: got.cloned() }),
    }
}

fn inside(at: &str, key: &str) -> String {
    if at.is_empty() { key.to_owned() } else { format!("{at}.{key}") }
}

fn visit(at: &str, expected: &Value, got: &Value, found: &mut Vec<Difference>) {
    match (expected, got) {
        (Value::Object(wanted), Value::Object(there)) => {
            let keys = wanted.keys().chain(there.keys().filter(|key| !wanted.contains_key(*key)));
            for key in keys {
                let place = inside(at, key);
                let value = |object: &'_ serde_json::Map<String, Value>| object.get(key).cloned().unwrap_or_default();
                visit(&place, &value(wanted), &value(there), found);
            }
        }
        (Value::Array(wanted), Value::Array(there)) => lists(at, wanted, there, found),
        // A missing list equals an empty one.
        (Value::Null, Value::Array(there)) => lists(at, &[], there, found),
        _ if same(expected, got) => {}
        _ => found.push(Difference { at: at.to_owned(), expected: Some(expected.clone()), got: Some(got.clone()) }),
    }
}

fn lists(at: &str, wanted: &[Value], there: &[Value], found: &mut Vec<Difference>) {
    let keys = |values: &[Value]| values.iter().map(canonical).collect::<Vec<_>>();
    for op in capture_diff_slices(Algorithm::Myers, &keys(wanted), &keys(there)) {
        let (old, new) = (op.old_range(), op.new_range());
        if matches!(op, DiffOp::Equal { .. }) {
            // Matched by value: only this step sees whether a whole number is written as one.
            let pairs = wanted.get(old.clone()).into_iter().flatten().zip(there.get(new).into_iter().flatten());
            for (index, (expected, got)) in old.zip(pairs) {
                visit(&format!("{at}[{index}]"), expected, got, found);
            }
            continue;
        }
        for step in 0..old.len().max(new.len()) {
            let expected = wanted.get(old.start + step).filter(|_| step < old.len());
            let got = there.get(new.start + step).filter(|_| step < new.len());
            match (expected, got) {
                (Some(expected), Some(got)) => visit(&format!("{at}[{}]", old.start + step), expected, got, found),
                (Some(expected), None) => found.push(missing(format!("{at}[{}]", old.start + step), expected)),
                (None, Some(got)) => found.push(unexpected(format!("{at}[{}]", new.start + step), got)),
                (None, None) => {}
            }
        }
    }
}

fn missing(at: String, expected: &Value) -> Difference {
    Difference { at, expected: Some(expected.clone()), got: None }
}

fn unexpected(at: String, got: &Value) -> Difference {
    Difference { at, expected: None, got: Some(got.clone()) }
}

/// Equal as JSON values; floats are compared by value.
fn same(expected: &Value, got: &Value) -> bool {
    match (expected, got) {
        (Value::Number(expected), Value::Number(got)) if got.is_f64() => expected.as_f64() == got.as_f64(),
        _ => expected == got,
    }
}

/// A text that is equal for two values without a difference.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(object) => {
            let mut members: Vec<String> = object
                .iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| format!("{key:?}:{}", canonical(value)))
                .collect();
            members.sort_unstable();
            format!("{{{}}}", members.join(","))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(",")),
        Value::Number(number) => match number.as_f64() {
            Some(float) if !number.is_i64() && float.fract() == 0.0 => format!("{float:.0}"),
            _ => number.to_string(),
        },
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn places(expected: &Value, got: &Value) -> Vec<String> {
        compare(expected, got).into_iter().map(|difference| difference.at).collect()
    }

    #[test]
    fn a_field_of_a_row_is_named() {
        let expected = json!({"rows": [{"document": 0, "name": "a", "size": 1}]});
        let got = json!({"rows": [{"document": 0, "name": "b", "size": 1}]});
        let difference = Difference { at: "rows[0].name".into(), expected: Some(json!("a")), got: Some(json!("b")) };
        assert_eq!(compare(&expected, &got), [difference]);
    }

    #[test]
    fn one_row_too_many_or_too_few_is_one_difference() {
        let (two, three) = (json!([{"k": 1}, {"k": 3}]), json!([{"k": 1}, {"k": 2}, {"k": 3}]));
        assert_eq!(compare(&two, &three), [unexpected("[1]".into(), &json!({"k": 2}))]);
        assert_eq!(compare(&three, &two), [missing("[1]".into(), &json!({"k": 2}))]);
    }

    #[test]
    fn what_is_worth_the_same_is_no_difference() {
        let expected = json!({"rows": [{"a": 3, "b": 0.5}]});
        let got = json!({"rows": [{"a": 3.0, "b": 0.5, "c": null}], "skips": []});
        assert_eq!(compare(&expected, &got), []);
    }

    #[test]
    fn a_whole_number_that_is_expected_as_a_float_or_as_text_is_a_difference() {
        for wrong in [json!(11.0), json!("11"), json!(null)] {
            let expected = json!({"rows": [{"n": wrong}, {"n": 12}]});
            assert_eq!(places(&expected, &json!({"rows": [{"n": 11}, {"n": 12}]})), ["rows[0].n"], "{expected}");
        }
    }

    #[test]
    fn of_a_document_also_notation_and_missing_keys_count() {
        let got = json!({"done": {"a": 3, "b": null, "c": [{"d": 1}]}});
        let places = |expected: Value| -> Vec<String> {
            compare_documents(&expected, &got).into_iter().map(|difference| difference.at).collect()
        };
        assert_eq!(places(got.clone()), Vec::<String>::new());
        assert_eq!(places(json!({"done": {"a": 3, "c": [{"d": 1}]}})), ["done.b"]);
        assert_eq!(places(json!({"done": {"a": 3, "b": null, "c": [{"d": 1, "e": null}]}})), ["done.c[0].e"]);
        assert_eq!(places(json!({"done": {"a": 3.0, "b": null, "c": [{"d": 1}]}})), ["done.a"]);
    }

    #[test]
    fn big_integers_are_not_compared_as_floats() {
        let (one, other) = (json!({"n": 9_007_199_254_740_993_i64}), json!({"n": 9_007_199_254_740_992_i64}));
        assert_eq!(places(&one, &other), ["n"]);
    }

    #[test]
    fn another_kind_of_answer_shows_both() {
        assert_eq!(places(&json!({"skip": "x"}), &json!({"reject": "x"})), ["skip", "reject"]);
    }
}
