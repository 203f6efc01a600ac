//! Values of a template that depend on whether a parameter is given.
//!
//! Does not declare parameters.

use serde_json::{Value, json};

/// A value if a parameter is given, else nothing.
pub(super) fn when(parameter: &str, value: Value) -> Value {
    either(parameter, value, json!({ "Ref": "AWS::NoValue" }))
}

/// One of two values, by whether a parameter is given.
pub(super) fn either(parameter: &str, given: Value, not: Value) -> Value {
    json!({ "Fn::If": [format!("Has{parameter}"), given, not] })
}

/// The members of a parameter that is a list.
pub(super) fn members(parameter: &str) -> Value {
    json!({ "Fn::Split": [",", { "Ref": parameter }] })
}
