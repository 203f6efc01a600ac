//! The macros of `sluicebox-sdk` that need to see syntax: a struct's fields become the columns that a
//! plugin reads or writes, and a world becomes bindings. This file is the table of contents.
//!
//! Not here: what a column looks like in memory (`sluicebox-sdk`, `columns`), and what a plugin
//! exports (`sluicebox-sdk`, one macro a world). Use these through `sluicebox-sdk`.

mod attributes;
mod column_type;
mod input;
mod output;
mod table;
mod world;

use proc_macro::TokenStream;
use syn::{DeriveInput, parse_macro_input};

/// Makes a struct the projection that a plugin reads. See `sluicebox_sdk::Input`.
#[proc_macro_derive(Input, attributes(input, field))]
pub fn derive_input(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    input::expand(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a struct the table that a plugin writes. See `sluicebox_sdk::Output`.
#[proc_macro_derive(Output, attributes(output, field))]
pub fn derive_output(item: TokenStream) -> TokenStream {
    let item = parse_macro_input!(item as DeriveInput);
    output::expand(&item).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// `mod bindings` for the world of that name. For the macros of `sluicebox-sdk` only.
#[doc(hidden)]
#[proc_macro]
pub fn __bindings(world: TokenStream) -> TokenStream {
    world::bindings(world.into()).unwrap_or_else(syn::Error::into_compile_error).into()
}
