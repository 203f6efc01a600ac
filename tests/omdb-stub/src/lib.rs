//! Answers for a stand-in of the OMDb API: real films from a CSV, in OMDb's own JSON, with its oddities and with faults on demand.
//!
//! Does not try to be a good server, and is used by nothing but tests and the demo. What it adds to OMDb is marked as such: the
//! fields `Budget` and `WorldwideGross` in an answer, and everything below `/_stub/`.
//!
//! # The API (as OMDb has it)
//! `GET /?apikey=KEY&t=TITLE[&y=YEAR][&type=movie]` or `GET /?apikey=KEY&i=IMDB_ID`. A missing value is the string `N/A`.
//!
//! | answer | status | body |
//! |---|---|---|
//! | found | 200 | the film, `"Response": "True"` |
//! | no such title, or not in that year | 200 | `Movie not found!` |
//! | `i` malformed, or neither `t` nor `i` | 200 | `Incorrect IMDb ID.` |
//! | `i` well-formed but unknown | 200 | `Error getting data.` |
//! | no key, wrong key | 401 | `No API key provided.`, `Invalid API key!` |
//! | quota used up | 401 | `Request limit reached!` |
//!
//! # Control (of the stand-in only)
//! | call | does |
//! |---|---|
//! | `GET /_stub/stats`, `DELETE /_stub/stats` | [`Snapshot`] of the counters; zero them |
//! | `GET`, `POST`, `DELETE /_stub/faults` | list, add a [`Rule`], clear all |
//! | `POST /_stub/quota` `{"limit": 100}` | a new quota (`null`: none), counted from zero |
//! | `POST /_stub/quota/reset` | the same quota, counted from zero |
//! | `POST /_stub/latency` `{"ms": 50}` | every answer takes that long |
//! | `POST /_stub/films` `{"title", "year", "set": {…}}` | overrides columns of the CSV or, by OMDb's names, fields of the answer |
//! | `DELETE /_stub/films` `{"title", "year"}` | the film is gone: `Movie not found!` |
//! | `POST /_stub/films/restore` | all films as in the file |
//! | `POST /_stub/reset` | everything as at the start |

// A test tool: it reads its file itself.
#![allow(clippy::disallowed_methods)]

mod answer;
mod api;
mod control;
mod faults;
mod films;
mod misbehave;
mod server;
mod stats;
mod wire;
mod world;

pub use faults::{Encoding, Fault, Place, Rule};
pub use server::Stub;
pub use stats::{FilmCalls, Snapshot};
pub use world::Options;
