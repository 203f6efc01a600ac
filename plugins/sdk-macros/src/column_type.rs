//! Decides from the way a type is written whether a field of it can be a column, and says what
//! could stand there instead if it cannot.
//!
//! A macro sees names and not types: an alias of a column type is refused here, and a foreign type
//! that shares a column type's name is refused by the compiler, since it lacks the SDK's trait.

use syn::{Error, GenericArgument, PathArguments, Result, Type, TypePath, spanned::Spanned};

const POSSIBLE: &str = "possible are bool, i64, f64, String, &'a str, Date, Timestamp, Json, JsonRef<'a>; \
     Vec<_> or List<'a, _> of one of these; and Option<_> around any of them";

/// Refuses a field whose type is no column type.
pub(crate) fn check(ty: &Type, field: &str) -> Result<()> {
    match one_argument(ty, "Option") {
        Some(inner) if one_argument(inner, "Option").is_some() => {
            Err(refuse(ty, field, "a value is null or it is not: one `Option` is enough"))
        }
        Some(inner) => check_present(inner, field),
        None => check_present(ty, field),
    }
}

fn check_present(ty: &Type, field: &str) -> Result<()> {
    let Some(item) = one_argument(ty, "Vec").or_else(|| one_argument(ty, "List")) else {
        return check_scalar(ty, field);
    };
    if one_argument(item, "Option").is_some() {
        return Err(refuse(ty, field, "the items of a list are never null; the list itself may be"));
    }
    if one_argument(item, "Vec").or_else(|| one_argument(item, "List")).is_some() {
        return Err(refuse(ty, field, "a list holds scalars; for anything deeper take the JSON text with `Json`"));
    }
    check_scalar(item, field)
}

fn check_scalar(ty: &Type, field: &str) -> Result<()> {
    let name = match ty {
        Type::Reference(reference) if is_named(&reference.elem, "str") => {
            if reference.mutability.is_some() {
                return Err(refuse(ty, field, "columns are only read: use `&'a str`"));
            }
            return Ok(());
        }
        Type::Path(path) => last_name(path),
        Type::Paren(inner) => return check_scalar(&inner.elem, field),
        Type::Group(inner) => return check_scalar(&inner.elem, field),
        _ => None,
    };
    let hint = match name.as_deref() {
        Some("bool" | "i64" | "f64" | "String" | "Date" | "Timestamp" | "Json" | "JsonRef") => return Ok(()),
        Some("i8" | "i16" | "i32" | "isize" | "u8" | "u16" | "u32" | "u64" | "usize" | "i128" | "u128") => {
            "whole numbers are `i64`"
        }
        Some("f32") => "fractions are `f64`",
        Some("char" | "str" | "Cow" | "Box" | "Arc" | "Rc") => "text is `String` or `&'a str`",
        Some("NaiveDate") => "dates are the SDK's `Date`",
        Some("DateTime" | "NaiveDateTime" | "SystemTime" | "OffsetDateTime") => {
            "points in time are the SDK's `Timestamp`"
        }
        Some("Value" | "HashMap" | "BTreeMap" | "RawValue") => {
            "for a value of any shape take the JSON text with `Json`"
        }
        _ => "structs, enums, tuples and aliases are not columns",
    };
    Err(refuse(ty, field, hint))
}

fn refuse(ty: &Type, field: &str, hint: &str) -> Error {
    let spaced = [(" <", "<"), ("< ", "<"), (" >", ">"), ("& ", "&")];
    let written = quote::quote!(#ty).to_string();
    let written = spaced.iter().fold(written, |text, (from, to)| text.replace(from, to));
    Error::new(ty.span(), format!("field `{field}`: `{written}` is not a column type\n  {hint}\n  {POSSIBLE}"))
}

fn is_named(ty: &Type, name: &str) -> bool {
    matches!(ty, Type::Path(path) if last_name(path).as_deref() == Some(name))
}

fn last_name(path: &TypePath) -> Option<String> {
    path.path.segments.last().map(|segment| segment.ident.to_string())
}

/// `T`, when `ty` is written `name<T>` or `name<'a, T>`.
fn one_argument<'t>(ty: &'t Type, name: &str) -> Option<&'t Type> {
    let Type::Path(path) = ty else { return None };
    let segment = path.path.segments.last().filter(|segment| segment.ident == name)?;
    let PathArguments::AngleBracketed(arguments) = &segment.arguments else { return None };
    arguments.args.iter().find_map(|argument| match argument {
        GenericArgument::Type(ty) => Some(ty),
        _ => None,
    })
}
