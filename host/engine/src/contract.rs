//! The contracts between layers, checked from the plugins' own descriptions before any data flows.
//!
//! Does not load plugins, and does not look at data: a record that breaks a contract is quarantined when it comes. What a source must have
//! is in [`columns`].

use pipeline::problem::did_you_mean;
use seams::plugin::{ColumnType, Descriptor, Field, InputField, ScalarType};

pub mod columns;

/// A column that one layer needs and the layer before it does not give.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize, thiserror::Error)]
#[error("{message}")]
pub struct Breach {
    /// The plugin that needs it, as in `aggregate "genres" (aggregate-genres 0.1.0)`.
    pub reader: String,
    /// The column.
    pub column: String,
    /// What is needed against what there is.
    pub message: String,
    /// What to do.
    pub hint: Option<String>,
}

/// The most breaches that are reported: of a thousand columns that do not fit, each would be compared with each.
const MOST_BREACHES: usize = 20;

/// Whether `clean`'s output has every column that an aggregate reads, of the right type.
#[must_use]
pub fn silver_breaches(clean: &Descriptor, aggregate: &str, reader: &Descriptor) -> Vec<Breach> {
    let name = format!("aggregate `{aggregate}` ({} {})", reader.name, reader.version);
    reader.input.iter().filter_map(|needed| silver_breach(clean, &name, needed)).take(MOST_BREACHES).collect()
}

fn silver_breach(clean: &Descriptor, reader: &str, needed: &InputField) -> Option<Breach> {
    let breach = |message: String, hint: Option<String>| {
        Some(Breach { reader: reader.to_owned(), column: needed.name.clone(), message, hint })
    };
    let maker = format!("{} {}", clean.name, clean.version);
    let Some(given) = clean.output.iter().find(|field| field.name == needed.name) else {
        let hint = did_you_mean(&needed.name, clean.output.iter().map(|field| field.name.as_str()));
        let message = format!("{reader} reads column `{}` ({}), which {maker} does not make", needed.name, needed.ty);
        return breach(message, hint.or_else(|| Some(format!("{maker} makes {}", names(&clean.output)))));
    };
    if plain(given.ty) != plain(needed.ty) {
        let message =
            format!("{reader} reads column `{}` as {}, {maker} makes it as {}", needed.name, needed.ty, given.ty);
        return breach(message, Some("make both the same type, in one of the two plugins".to_owned()));
    }
    if given.nullable && !needed.nullable {
        let message =
            format!("{reader} needs a value in every row of column `{}`, {maker} may leave it out", needed.name);
        return breach(
            message,
            Some("read it as an `Option`, or have the clean plugin refuse records without it".to_owned()),
        );
    }
    None
}

/// JSON is kept as text: a plugin that reads one can read the other.
fn plain(ty: ColumnType) -> ColumnType {
    let scalar = |scalar| if scalar == ScalarType::Json { ScalarType::Utf8 } else { scalar };
    match ty {
        ColumnType::Scalar(one) => ColumnType::Scalar(scalar(one)),
        ColumnType::List(one) => ColumnType::List(scalar(one)),
    }
}

fn names(fields: &[Field]) -> String {
    fields.iter().map(|field| format!("`{}`", field.name)).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn clean() -> Descriptor {
        let field = |name: &str, ty, nullable| Field { name: name.into(), ty: ColumnType::Scalar(ty), nullable };
        Descriptor {
            name: "clean".into(),
            version: "1.0.0".into(),
            input: Vec::new(),
            output: vec![field("title", ScalarType::Utf8, false), field("rating", ScalarType::Float64, true)],
            config_schema: "{}".into(),
        }
    }

    fn reads(name: &str, ty: ScalarType, nullable: bool) -> Vec<Breach> {
        let input =
            vec![InputField { name: name.into(), pointer: String::new(), ty: ColumnType::Scalar(ty), nullable }];
        let reader = Descriptor { name: "sum".into(), version: "2.0.0".into(), input, ..clean() };
        silver_breaches(&clean(), "totals", &reader)
    }

    #[test]
    fn a_covered_input_is_no_breach() {
        assert_eq!(reads("title", ScalarType::Utf8, true), []);
        assert_eq!(reads("title", ScalarType::Json, false), []);
        assert_eq!(reads("rating", ScalarType::Float64, true), []);
    }

    #[test]
    fn a_breach_names_reader_column_and_both_types() {
        let missing = &reads("ratings", ScalarType::Float64, true)[0];
        assert_eq!(
            missing.message,
            "aggregate `totals` (sum 2.0.0) reads column `ratings` (float64), which clean 1.0.0 does not make"
        );
        assert!(missing.hint.as_ref().unwrap().contains("`rating`"));
        let mistyped = &reads("rating", ScalarType::Int64, true)[0];
        assert!(
            mistyped.message.ends_with("reads column `rating` as int64, clean 1.0.0 makes it as float64"),
            "{mistyped}"
        );
        assert!(reads("rating", ScalarType::Float64, false)[0].message.contains("needs a value in every row"));
    }
}
