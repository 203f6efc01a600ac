//! Names of the account, the region and the partition that only CloudFormation knows: a text that holds one becomes `Fn::Sub`.
//!
//! Does not know what a text is for.

use serde_json::{Map, Value, json};

/// Stands for the partition in a text.
pub(super) const PARTITION: &str = "${AWS::Partition}";
/// Stands for the region in a text.
pub(super) const REGION: &str = "${AWS::Region}";
/// Stands for the account in a text.
pub(super) const ACCOUNT: &str = "${AWS::AccountId}";

const BEGIN: &str = "${AWS::";

/// The value, with every text that holds such a name in a `Fn::Sub`.
pub(super) fn substituted(value: Value) -> Value {
    match value {
        Value::String(text) if text.contains(BEGIN) => json!({ "Fn::Sub": escaped(&text) }),
        Value::Array(all) => Value::Array(all.into_iter().map(substituted).collect()),
        Value::Object(all) => {
            let one = |(name, value): (String, Value)| match value {
                // It is a `Fn::Sub` already.
                value if name == "Fn::Sub" => (name, value),
                value => (name, substituted(value)),
            };
            Value::Object(all.into_iter().map(one).collect::<Map<_, _>>())
        }
        other => other,
    }
}

/// The value, with this account and region in place of the names.
#[must_use]
pub fn in_account(value: Value, account: &str, region: &str) -> Value {
    let filled = |text: &str| {
        let partition = partition(region);
        text.replace(PARTITION, partition).replace(REGION, region).replace(ACCOUNT, account)
    };
    match value {
        Value::String(text) => Value::String(filled(&text)),
        Value::Array(all) => Value::Array(all.into_iter().map(|one| in_account(one, account, region)).collect()),
        Value::Object(all) => {
            Value::Object(all.into_iter().map(|(name, one)| (name, in_account(one, account, region))).collect())
        }
        other => other,
    }
}

/// The partition of a region, which begins its ARNs.
pub(super) fn partition(region: &str) -> &'static str {
    match region {
        region if region.starts_with("cn-") => "aws-cn",
        region if region.starts_with("us-gov-") => "aws-us-gov",
        _ => "aws",
    }
}

/// `Fn::Sub` takes every `${` for a name; `${!` stands for a literal `${`.
fn escaped(text: &str) -> String {
    text.replace("${", "${!").replace("${!AWS::", BEGIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_filled_in_and_everything_else_stays() {
        let value = json!({ "a": [format!("arn:{PARTITION}:s3:::b/${{*}}")], "b": "${*}", "c": { "Fn::Sub": "${AWS::Region}" } });
        let expected = json!({
            "a": [{ "Fn::Sub": "arn:${AWS::Partition}:s3:::b/${!*}" }], "b": "${*}", "c": { "Fn::Sub": "${AWS::Region}" },
        });
        assert_eq!(substituted(value), expected);
    }
}
