//! What `wit-bindgen` makes of the imports that all worlds share: the column types and the log.
//!
//! The exports are made in each plugin's own crate (`sluicebox-sdk-macros`, `world`), over these
//! types. Nothing here is for authors.

#![allow(missing_docs, unreachable_pub, unsafe_code, clippy::all, clippy::panic, clippy::unwrap_used)]
#![allow(clippy::expect_used, clippy::indexing_slicing, clippy::todo, clippy::unimplemented)]

pub use sluicebox::plugin::{columns, log};

wit_bindgen::generate!({
    inline: "
        package sluicebox:sdk;
        world shared {
            import sluicebox:plugin/columns@0.1.0;
            import sluicebox:plugin/log@0.1.0;
        }
    ",
    path: "../../wit",
    generate_all,
    generate_unused_types: true,
    additional_derives: [PartialEq],
});
