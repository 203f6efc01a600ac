//! A foreign type that shares the name of a column type: the compiler says what is missing.

use sluicebox_sdk::Input;

struct Date(u32);

#[derive(Input)]
struct Film {
    released: Date,
}

fn main() {}
