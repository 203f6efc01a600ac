//! What the benchmarks of components share: taking turns, medians, documents.

#![allow(dead_code, reason = "each benchmark uses a part")]

use std::hint::black_box;
use std::time::Instant;

use bytes::Bytes;

/// Seconds that one run took.
pub(crate) fn timed<T>(work: impl FnOnce() -> T) -> (f64, T) {
    let started = Instant::now();
    let result = black_box(work());
    (started.elapsed().as_secs_f64(), result)
}

pub(crate) fn median(mut seconds: Vec<f64>) -> f64 {
    seconds.sort_by(f64::total_cmp);
    seconds[seconds.len() / 2]
}

/// Medians of two kinds of work that take turns, so that a busy moment of the machine falls on both.
pub(crate) fn taking_turns(
    rounds: usize,
    mut first: impl FnMut() -> f64,
    mut second: impl FnMut() -> f64,
) -> (f64, f64) {
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 0..=rounds {
        let pair = if round % 2 == 0 {
            (first(), second())
        } else {
            let later = second();
            (first(), later)
        };
        // The first round warms up.
        if round > 0 {
            a.push(pair.0);
            b.push(pair.1);
        }
    }
    (median(a), median(b))
}

pub(crate) fn one(what: &str, seconds: f64) {
    println!("{what:<58} {:>14}", format!("{:.3} ms", seconds * 1e3));
}

pub(crate) fn bytes(path: std::path::PathBuf) -> Bytes {
    std::fs::read(path).expect("a built component").into()
}

/// The document of that number, of the shape and size of the API's.
pub(crate) fn document(n: usize) -> Bytes {
    let genre = ["Drama", "Drama, Crime", "Comedy, Romance", "Action, Adventure, Sci-Fi"][n % 4];
    let plot = "Over the course of several years two strangers form a friendship, seeking consolation and, in the end, redemption. ".repeat(2);
    let text = format!(
        r#"{{"Title":"The {n}th Voyage","Year":"{}","Rated":"R","Released":"14 Oct 1994","Runtime":"142 min","Genre":"{genre}","Director":"Director {}","Writer":"Stephen Writer, Frank Author","Actors":"First Actor, Second Actor, Third Actor","Plot":"{plot}","Language":"English","Country":"United States","Awards":"Nominated for 7 Oscars. 21 wins & 42 nominations total","Poster":"https://images.example/M/MV5BNDE3ODcxYzMtY2YzZC00NmNlLWJiNDMtZDViZWM2MzIxZDYwXkEyXkFqcGdeQXVyNjAw._V1_SX300.jpg","Ratings":[{{"Source":"Internet Movie Database","Value":"9.3/10"}},{{"Source":"Rotten Tomatoes","Value":"91%"}},{{"Source":"Metacritic","Value":"80/100"}}],"Metascore":"80","imdbRating":"{}.{}","imdbVotes":"2,900,{:03}","imdbID":"tt{n:07}","Type":"movie","DVD":"N/A","BoxOffice":"$28,767,189","Production":"N/A","Website":"N/A","Response":"True","_meta":{{"key":["the-voyage","1994"],"seq":"2024-01-01T03:00:00Z"}}}}"#,
        1930 + n % 90,
        n % 5_000,
        1 + n % 9,
        n % 10,
        n % 1_000,
    );
    text.into()
}
