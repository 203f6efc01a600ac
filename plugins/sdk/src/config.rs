//! The plugin's own settings: the `config` table of `pipeline.toml`, read once into a type of the
//! author's.
//!
//! Not here: defaults and limits, which are the type's own (`#[serde(default)]`), and where the
//! text comes from, which is the host's affair.

use schemars::JsonSchema;
use serde::{Deserialize, de::DeserializeOwned};
use std::sync::OnceLock;

/// A type that holds a plugin's settings.
///
/// Derive `serde::Deserialize` and `schemars::JsonSchema`; the schema is what the host shows and
/// checks against. Put `#[serde(deny_unknown_fields)]` on it, so that a misspelt key is an error
/// and not a setting that silently does nothing. A doc comment on a field becomes its description.
pub trait Config: DeserializeOwned + JsonSchema + Send + Sync + 'static {}

impl<T: DeserializeOwned + JsonSchema + Send + Sync + 'static> Config for T {}

/// For plugins that have nothing to set: every key is an error.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoConfig {}

/// Reads the settings from the text of a JSON object. The error names the key.
pub fn parse<C: Config>(text: &str) -> Result<C, String> {
    from_json(text)
}

/// Reads the text of a JSON object that the host made. The error names the key.
pub(crate) fn from_json<T: DeserializeOwned>(text: &str) -> Result<T, String> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let path = error.path().to_string();
        let problem = without_position(&error.into_inner().to_string());
        match path.as_str() {
            "." => problem,
            key => format!("`{key}`: {problem}"),
        }
    })?;
    json.end().map_err(|error| format!("expected one JSON object: {error}"))?;
    Ok(value)
}

/// The JSON Schema of the settings.
pub fn schema<C: Config>() -> String {
    schemars::schema_for!(C).as_value().to_string()
}

/// The settings of this instance: set once by `configure`.
#[doc(hidden)]
#[derive(Debug)]
pub struct Configured<C>(OnceLock<C>);

impl<C: Config> Configured<C> {
    #[doc(hidden)]
    #[allow(clippy::new_without_default, reason = "made in statics only, where `Default` cannot be called")]
    pub const fn new() -> Self {
        Self(OnceLock::new())
    }

    #[doc(hidden)]
    pub fn set(&self, text: &str) -> Result<(), String> {
        self.0.set(parse(text)?).map_err(|_| "`configure` was called twice".to_owned())
    }

    /// The settings. A host that did not call `configure` gets those of the empty table.
    #[doc(hidden)]
    #[allow(clippy::panic, reason = "the host broke the contract: a trap says so where an answer could not")]
    pub fn get(&self) -> &C {
        self.0.get_or_init(|| match parse("{}") {
            Ok(config) => config,
            Err(error) => panic!("`configure` was not called, and there is no configuration without it: {error}"),
        })
    }
}

/// The text is one JSON object that the host made from TOML: a line and column in it mean nothing to the reader.
fn without_position(message: &str) -> String {
    let end = message.rfind(" at line ").unwrap_or(message.len());
    message.get(..end).unwrap_or(message).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Settings {
        /// How many.
        top: u32,
        inner: Option<Inner>,
    }

    impl Default for Settings {
        fn default() -> Self {
            Self { top: 25, inner: None }
        }
    }

    #[derive(Debug, Deserialize, JsonSchema, PartialEq)]
    struct Inner {
        ratio: f64,
    }

    #[test]
    fn missing_keys_take_their_default() {
        assert_eq!(parse("{}"), Ok(Settings::default()));
    }

    #[test]
    fn errors_name_the_key() {
        let of = |text| parse::<Settings>(text).map_err(|error| error.to_string());
        assert_eq!(of(r#"{"topp": 3}"#).unwrap_err(), "`topp`: unknown field `topp`, expected `top` or `inner`");
        assert_eq!(of(r#"{"top": "3"}"#).unwrap_err(), "`top`: invalid type: string \"3\", expected u32");
        assert_eq!(
            of(r#"{"inner": {"ratio": true}}"#).unwrap_err(),
            "`inner.ratio`: invalid type: boolean `true`, expected f64"
        );
    }

    #[test]
    fn no_config_takes_the_empty_table_only() {
        assert_eq!(parse("{}"), Ok(NoConfig {}));
        assert!(parse::<NoConfig>(r#"{"a": 1}"#).is_err());
        assert!(parse::<NoConfig>("null").is_err());
    }

    #[test]
    fn the_schema_tells_defaults_and_forbids_the_rest() {
        let schema: serde_json::Value = serde_json::from_str(&schema::<Settings>()).unwrap();
        assert_eq!(schema["properties"]["top"]["default"], 25);
        assert_eq!(schema["properties"]["top"]["description"], "How many.");
        assert_eq!(schema["additionalProperties"], false);
    }
}
