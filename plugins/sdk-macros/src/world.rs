//! The bindings of one world, made in the author's crate: its exports exist once a plugin, and the
//! section that tells which world it is must be linked into that plugin alone.
//!
//! The contract is read from `wit/` where it lies beside `plugins/`, so there is no second copy of
//! it. Types that authors meet are the SDK's own; if they stop fitting the contract, this no longer
//! compiles. Not here: what the exports do (`sluicebox-sdk`, one macro a world).

use proc_macro2::{TokenStream, TokenTree};
use quote::quote;
use syn::{Error, Result};

const WIT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit");

/// `mod bindings` for a world.
pub(crate) fn bindings(world: TokenStream) -> Result<TokenStream> {
    let world = match world.clone().into_iter().next() {
        Some(TokenTree::Ident(name)) => name.to_string(),
        _ => return Err(Error::new_spanned(world, "expected the name of a world")),
    };
    let own = match world.as_str() {
        "cleaner" => quote! {
            "sluicebox:plugin/clean@0.1.0/cleaned": ::sluicebox_sdk::cleaner::Cleaned,
            "sluicebox:plugin/clean@0.1.0/note": ::sluicebox_sdk::cleaner::Note,
        },
        "enricher" => quote! {
            "sluicebox:plugin/enrich@0.1.0/answer": ::sluicebox_sdk::Answer,
            "sluicebox:plugin/enrich@0.1.0/pause": ::sluicebox_sdk::enricher::Pause,
            "sluicebox:plugin/enrich@0.1.0/request": ::sluicebox_sdk::Request,
            "sluicebox:plugin/enrich@0.1.0/step": ::sluicebox_sdk::Step,
        },
        _ => TokenStream::new(),
    };
    Ok(quote! {
        #[allow(warnings, unsafe_code, missing_docs, unreachable_pub, clippy::all, clippy::panic, clippy::unwrap_used)]
        #[allow(clippy::expect_used, clippy::indexing_slicing, clippy::todo, clippy::unimplemented)]
        mod bindings {
            ::sluicebox_sdk::__private::wit_bindgen::generate!({
                path: #WIT,
                world: #world,
                runtime_path: "::sluicebox_sdk::__private::wit_bindgen::rt",
                with: {
                    "sluicebox:plugin/columns@0.1.0": ::sluicebox_sdk::bindings::columns,
                    "sluicebox:plugin/log@0.1.0": ::sluicebox_sdk::bindings::log,
                    "sluicebox:plugin/lifecycle@0.1.0/descriptor": ::sluicebox_sdk::lifecycle::Descriptor,
                    #own
                },
            });
        }
    })
}
