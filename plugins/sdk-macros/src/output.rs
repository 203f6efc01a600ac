//! `#[derive(Output)]`: a struct of column builders, and the push of one row into them.
//!
//! Strings and lists are copied straight into their column; no row outlives its push.

use crate::table::{self, Side};
use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::{DeriveInput, Result, spanned::Spanned};

/// The code for one struct.
pub(crate) fn expand(item: &DeriveInput) -> Result<TokenStream> {
    let table = table::read(item, Side::Output)?;
    let name = table.name;
    // The builders hold copies: a row's lifetime only has to appear when the struct has one.
    let of_struct = table.lifetime.map(|life| quote!(<#life>));
    let width = table.columns.len();

    let fields: Vec<_> = table.columns.iter().map(|column| column.field).collect();
    let builders = table.columns.iter().map(|column| {
        let (field, ty) = (column.field, column.ty);
        quote_spanned!(ty.span()=> #field: <#ty as ::sluicebox_sdk::columns::OutputValue>::Builder)
    });
    let described = table.columns.iter().map(|column| {
        let (ty, name) = (column.ty, &column.name);
        quote_spanned! { ty.span()=>
            ::sluicebox_sdk::columns::OutputField {
                name: #name,
                column_type: <#ty as ::sluicebox_sdk::columns::OutputValue>::TYPE,
                nullable: <#ty as ::sluicebox_sdk::columns::OutputValue>::NULLABLE,
            }
        }
    });

    Ok(quote! {
        const _: () = {
            #[doc(hidden)]
            #[allow(unreachable_pub, missing_docs)]
            pub struct __Builders #of_struct {
                __rows: u32,
                #(#builders,)*
            }

            #[automatically_derived]
            impl #of_struct ::sluicebox_sdk::Output for #name #of_struct {
                type Builders = __Builders #of_struct;
                const FIELDS: &'static [::sluicebox_sdk::columns::OutputField] = &[#(#described,)*];

                fn builders(rows: usize) -> Self::Builders {
                    __Builders {
                        __rows: 0,
                        #(#fields: ::sluicebox_sdk::columns::ColumnBuilder::with_capacity(rows),)*
                    }
                }

                #[inline(always)]
                fn push(self, builders: &mut Self::Builders) {
                    builders.__rows += 1;
                    #(::sluicebox_sdk::columns::OutputValue::put(self.#fields, &mut builders.#fields);)*
                }

                fn rows(builders: &Self::Builders) -> u32 {
                    builders.__rows
                }

                fn finish(builders: Self::Builders) -> ::sluicebox_sdk::columns::Batch {
                    let mut parts = ::sluicebox_sdk::columns::BatchParts::new(#width);
                    #(
                        let column = ::sluicebox_sdk::columns::ColumnBuilder::finish(builders.#fields, &mut parts);
                        parts.add(column);
                    )*
                    parts.into_batch(builders.__rows)
                }
            }
        };
    })
}
