//! The macro of a world says how it is called, and a struct that is no table what it lacks.

use sluicebox_sdk::{NoConfig, Output};

struct Film {
    title: String,
}

#[derive(Output)]
struct Row {
    title: String,
}

fn clean(_: &NoConfig, film: Film) -> Row {
    Row { title: film.title }
}

sluicebox_sdk::cleaner! { input = Film, output = Row, clean = clean }

sluicebox_sdk::enricher! { entries = Film }

fn main() {}
