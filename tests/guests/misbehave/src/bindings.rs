//! What `wit-bindgen` makes of the world of cleaners.
//!
//! Does not hold anything written by hand.

#![allow(warnings, unsafe_code, missing_docs)]
#![allow(clippy::all, clippy::panic, clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing)]

wit_bindgen::generate!({ path: "../../../wit", world: "cleaner" });
