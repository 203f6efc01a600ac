//! Where a secret is kept, as a pipeline file says it. Does not read a secret.

/// Where a secret is kept. The text form is what stands in `[secrets]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum SecretRef {
    /// `env:NAME`: an environment variable.
    Env(String),
    /// `file:PATH`: the whole file less one trailing line break; relative to `pipeline.toml`.
    File(String),
    /// `aws-secretsmanager:NAME` or `aws-secretsmanager:NAME#FIELD`, FIELD a key of a JSON object.
    AwsSecretsManager {
        /// Name or ARN.
        name: String,
        /// Key of the JSON object that the secret is, if it is one.
        field: Option<String>,
    },
}

impl std::fmt::Display for SecretRef {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            SecretRef::Env(name) => write!(f, "env:{name}"),
            SecretRef::File(path) => write!(f, "file:{path}"),
            SecretRef::AwsSecretsManager { name, field: None } => write!(f, "aws-secretsmanager:{name}"),
            SecretRef::AwsSecretsManager { name, field: Some(field) } => write!(f, "aws-secretsmanager:{name}#{field}"),
        }
    }
}
