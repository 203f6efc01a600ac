//! Reads `#[field(…)]`, `#[input(…)]` and `#[output(…)]`, and turns names into column names and
//! JSON pointers.
//!
//! Not here: whether a field's type can be a column (`column_type`).

use syn::{Attribute, Error, LitStr, Result, spanned::Spanned};

/// What `#[field(…)]` says of one field.
#[derive(Default)]
pub(crate) struct FieldAttributes {
    pub(crate) pointer: Option<LitStr>,
    pub(crate) rename: Option<LitStr>,
}

/// How the columns that carry no `rename` are named after their fields.
#[derive(Clone, Copy, Default)]
pub(crate) enum Case {
    #[default]
    AsWritten,
    Pascal,
    Camel,
    Kebab,
    ScreamingSnake,
}

const CASES: &[(&str, Case)] = &[
    ("snake_case", Case::AsWritten),
    ("PascalCase", Case::Pascal),
    ("camelCase", Case::Camel),
    ("kebab-case", Case::Kebab),
    ("SCREAMING_SNAKE_CASE", Case::ScreamingSnake),
];

impl Case {
    /// The column name of the field `name`, which is in snake case.
    pub(crate) fn apply(self, name: &str) -> String {
        let capital = |word: &str| {
            let mut letters = word.chars();
            letters.next().into_iter().flat_map(char::to_uppercase).chain(letters).collect::<String>()
        };
        match self {
            Self::AsWritten => name.to_owned(),
            Self::Pascal => name.split('_').map(capital).collect(),
            Self::Camel => {
                let (first, rest) = name.split_once('_').unwrap_or((name, ""));
                first.to_owned() + &rest.split('_').map(capital).collect::<String>()
            }
            Self::Kebab => name.replace('_', "-"),
            Self::ScreamingSnake => name.to_uppercase(),
        }
    }
}

/// Reads the attributes of the field called `name`.
pub(crate) fn field(attributes: &[Attribute], name: &str) -> Result<FieldAttributes> {
    let mut found = FieldAttributes::default();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("field")) {
        attribute.parse_nested_meta(|meta| {
            let slot = if meta.path.is_ident("pointer") {
                &mut found.pointer
            } else if meta.path.is_ident("rename") {
                &mut found.rename
            } else {
                return Err(meta.error(format!(
                    "field `{name}`: unknown attribute; possible are `pointer = \"/Title\"` and `rename = \"title\"`"
                )));
            };
            if slot.is_some() {
                return Err(meta.error(format!("field `{name}`: this is said twice")));
            }
            *slot = Some(meta.value()?.parse()?);
            Ok(())
        })?;
    }
    if let Some(pointer) = &found.pointer {
        check_pointer(pointer, name)?;
    }
    if let Some(rename) = &found.rename
        && rename.value().is_empty()
    {
        return Err(Error::new(rename.span(), format!("field `{name}`: a column needs a name")));
    }
    Ok(found)
}

/// Reads `#[input(rename_all = "…")]` or its `output` twin; `own` is which of the two.
pub(crate) fn rename_all(attributes: &[Attribute], own: &str) -> Result<Case> {
    let mut case = Case::default();
    for attribute in attributes.iter().filter(|a| a.path().is_ident(own)) {
        attribute.parse_nested_meta(|meta| {
            if !meta.path.is_ident("rename_all") {
                return Err(meta.error("unknown attribute; possible is `rename_all = \"PascalCase\"`"));
            }
            let wanted: LitStr = meta.value()?.parse()?;
            let known = CASES.iter().find(|(name, _)| *name == wanted.value());
            case = known.map(|(_, case)| *case).ok_or_else(|| {
                let names: Vec<_> = CASES.iter().map(|(name, _)| format!("`{name}`")).collect();
                Error::new(wanted.span(), format!("unknown case; possible are {}", names.join(", ")))
            })?;
            Ok(())
        })?;
    }
    Ok(case)
}

/// The pointer to the member `name` of a document's root.
pub(crate) fn pointer_to(name: &str) -> String {
    format!("/{}", name.replace('~', "~0").replace('/', "~1"))
}

fn check_pointer(pointer: &LitStr, name: &str) -> Result<()> {
    let text = pointer.value();
    let refuse = |why: &str| {
        Err(Error::new(pointer.span(), format!("field `{name}`: `{text}` is no JSON pointer (RFC 6901): {why}")))
    };
    if !text.is_empty() && !text.starts_with('/') {
        return refuse("it starts with `/`, or is empty for the whole document");
    }
    for (at, _) in text.match_indices('~') {
        if !matches!(text.as_bytes().get(at + 1), Some(b'0' | b'1')) {
            return refuse("`~` is followed by `0` (for `~`) or `1` (for `/`)");
        }
    }
    Ok(())
}

/// Two columns of one name: an error at the second, naming both fields.
pub(crate) fn same_name(second: &syn::Field, first: &str, name: &str, column: &str) -> Error {
    Error::new(second.span(), format!("field `{name}`: the column `{column}` is already that of field `{first}`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_follow_the_case() {
        for (case, expected) in [
            ("snake_case", "imdb_votes"),
            ("PascalCase", "ImdbVotes"),
            ("camelCase", "imdbVotes"),
            ("kebab-case", "imdb-votes"),
            ("SCREAMING_SNAKE_CASE", "IMDB_VOTES"),
        ] {
            let (_, case) = CASES.iter().find(|(name, _)| *name == case).expect("a known case");
            assert_eq!(case.apply("imdb_votes"), expected);
        }
    }

    #[test]
    fn pointers_escape_what_they_must() {
        assert_eq!(pointer_to("a/b~c"), "/a~1b~0c");
    }
}
