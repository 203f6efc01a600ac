//! `#[derive(Input)]`: a struct of readers, one a column, and a row made from them by index.
//!
//! Nothing is allocated for a row unless a field is of an owning type.

use crate::table::{self, Side};
use proc_macro2::{Span, TokenStream};
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Lifetime, Result, spanned::Spanned};

/// The code for one struct.
pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let table = table::read(item, Side::Input)?;
    let name = table.name;
    let elided = Lifetime::new("'__batch", Span::call_site());
    let life = table.lifetime.unwrap_or(&elided);
    let of_struct = table.lifetime.map(|life| quote!(<#life>));

    let fields: Vec<_> = table.columns.iter().map(|column| column.field).collect();
    let readers = table.columns.iter().map(|column| {
        let (field, ty) = (column.field, column.ty);
        quote_spanned!(ty.span()=> #field: <#ty as ::sluicebox_sdk::columns::InputValue<#life>>::Reader)
    });
    let described = table.columns.iter().map(|column| {
        let (ty, name, pointer) = (column.ty, &column.name, &column.pointer);
        quote_spanned! { ty.span()=>
            ::sluicebox_sdk::columns::InputField {
                name: #name,
                pointer: #pointer,
                column_type: <#ty as ::sluicebox_sdk::columns::InputValue<#life>>::TYPE,
                nullable: <#ty as ::sluicebox_sdk::columns::InputValue<#life>>::NULLABLE,
            }
        }
    });
    let made = table.columns.iter().enumerate().map(|(index, column)| {
        let (field, ty) = (column.field, column.ty);
        quote_spanned!(ty.span()=> #field: <#ty as ::sluicebox_sdk::columns::InputValue<#life>>::reader(batch, #index))
    });
    let taken = table.columns.iter().map(|column| {
        let (field, ty) = (column.field, column.ty);
        quote_spanned!(ty.span()=> #field: <#ty as ::sluicebox_sdk::columns::InputValue<#life>>::get(&columns.#field, row))
    });

    Ok(quote! {
        const _: () = {
            #[doc(hidden)]
            #[allow(unreachable_pub, missing_docs)]
            pub struct __Columns<#life> { #(#readers,)* }

            #[automatically_derived]
            impl<#life> ::sluicebox_sdk::Input<#life> for #name #of_struct {
                type Columns = __Columns<#life>;
                const FIELDS: &'static [::sluicebox_sdk::columns::InputField] = &[#(#described,)*];

                fn columns(batch: &#life ::sluicebox_sdk::columns::Batch) -> Self::Columns {
                    __Columns { #(#made,)* }
                }

                #[inline(always)]
                fn row(columns: &Self::Columns, row: usize) -> Self {
                    // Reads every field once, so that one that only describes the input is no dead code.
                    let read = Self { #(#taken,)* };
                    #(let _ = &read.#fields;)*
                    read
                }
            }
        };
    })
}
