//! Attributes that say something impossible.

use sluicebox_sdk::{Input, Output};

#[derive(Input)]
struct Film {
    #[field(pointer = "Title")]
    title: String,
    #[field(pointer = "/a~2")]
    year: i64,
    #[field(path = "/Rated")]
    rated: String,
    #[field(rename = "")]
    genre: String,
}

#[derive(Input)]
struct Twice {
    votes: i64,
    #[field(rename = "votes")]
    imdb_votes: i64,
}

#[derive(Input)]
#[input(rename_all = "Pascal")]
struct Case {
    votes: i64,
}

#[derive(Output)]
struct Row {
    _key: String,
    #[field(rename = "_seq")]
    seq: i64,
}

fn main() {}
