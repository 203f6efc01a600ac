//! Things that are no table.

use sluicebox_sdk::{Input, Output};

#[derive(Input)]
enum Either {
    A,
    B,
}

#[derive(Input)]
struct Pair(i64, i64);

#[derive(Output)]
struct Nothing {}

#[derive(Output)]
struct Generic<T> {
    value: T,
}

fn main() {}
