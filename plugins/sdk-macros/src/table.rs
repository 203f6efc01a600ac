//! Reads the struct under a derive into the list of its columns, or into every error in it.
//!
//! Not here: the code made from them (`input`, `output`).

use crate::{attributes, column_type};
use syn::{Data, DeriveInput, Error, Fields, GenericParam, Ident, Lifetime, LitStr, Result, Type, spanned::Spanned};

/// A struct whose fields are columns.
pub(crate) struct Table<'a> {
    pub(crate) name: &'a Ident,
    /// The lifetime of the struct, when it borrows from the columns.
    pub(crate) lifetime: Option<&'a Lifetime>,
    pub(crate) columns: Vec<Column<'a>>,
}

/// One field.
pub(crate) struct Column<'a> {
    pub(crate) field: &'a Ident,
    pub(crate) ty: &'a Type,
    /// The column's name.
    pub(crate) name: String,
    /// Where the value is in the JSON document.
    pub(crate) pointer: String,
}

/// Which derive asks.
#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Side {
    Input,
    Output,
}

impl Side {
    fn attribute(self) -> &'static str {
        match self {
            Self::Input => "input",
            Self::Output => "output",
        }
    }
}

/// Reads the struct. All problems of its fields are reported together.
pub(crate) fn read(item: &DeriveInput, side: Side) -> Result<Table<'_>> {
    let Data::Struct(data) = &item.data else {
        return Err(Error::new(item.ident.span(), "a table is a struct: its fields are the columns"));
    };
    let Fields::Named(fields) = &data.fields else {
        return Err(Error::new(item.ident.span(), "columns have names: use a struct with named fields"));
    };
    if fields.named.is_empty() {
        return Err(Error::new(item.ident.span(), "a table needs at least one column: this struct has no field"));
    }
    let lifetime = lifetime(item)?;
    let case = attributes::rename_all(&item.attrs, side.attribute())?;

    let mut columns: Vec<Column<'_>> = Vec::new();
    let mut errors: Vec<Error> = Vec::new();
    for field in &fields.named {
        match column(field, case, side) {
            Ok(column) => {
                if let Some(first) = columns.iter().find(|other| other.name == column.name) {
                    let names = (first.field.to_string(), column.field.to_string());
                    errors.push(attributes::same_name(field, &names.0, &names.1, &column.name));
                }
                columns.push(column);
            }
            Err(error) => errors.push(error),
        }
    }
    match errors.into_iter().reduce(|mut all, next| {
        all.combine(next);
        all
    }) {
        Some(errors) => Err(errors),
        None => Ok(Table { name: &item.ident, lifetime, columns }),
    }
}

fn column(field: &syn::Field, case: attributes::Case, side: Side) -> Result<Column<'_>> {
    let Some(ident) = &field.ident else {
        return Err(Error::new(field.span(), "columns have names: use a struct with named fields"));
    };
    let written = ident.to_string();
    let written = written.trim_start_matches("r#");
    let said = attributes::field(&field.attrs, written)?;
    column_type::check(&field.ty, written)?;
    let name = said.rename.as_ref().map_or_else(|| case.apply(written), LitStr::value);
    if side == Side::Output && name.starts_with('_') {
        return Err(Error::new(
            ident.span(),
            format!(
                "field `{written}`: the column `{name}` cannot be written: names that start with `_` are the host's own"
            ),
        ));
    }
    let pointer = said.pointer.map_or_else(|| attributes::pointer_to(&name), |pointer| pointer.value());
    Ok(Column { field: ident, ty: &field.ty, name, pointer })
}

fn lifetime(item: &DeriveInput) -> Result<Option<&Lifetime>> {
    let mut found = None;
    for parameter in &item.generics.params {
        match parameter {
            GenericParam::Lifetime(lifetime) if found.is_none() => found = Some(&lifetime.lifetime),
            other => {
                return Err(Error::new(other.span(), "a table takes at most one lifetime and no other parameter"));
            }
        }
    }
    Ok(found)
}
