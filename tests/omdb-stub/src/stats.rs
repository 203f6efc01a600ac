//! Answers for what the stand-in has seen: calls by film, by outcome and by key, and how many at once.
//!
//! Does not count control calls. Keys are kept as they arrived: showing that a secret got here is what they are for.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

/// The counters at one moment.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// All calls, faulty and refused ones too.
    pub calls: u64,
    /// Each title and year as asked for, in the order of the first call.
    pub by_film: Vec<FilmCalls>,
    /// How many calls ended with which status; `reset` where the connection was reset instead.
    pub by_status: BTreeMap<String, u64>,
    /// Calls that a fault rule struck.
    pub faults: u64,
    /// Calls being answered now.
    pub in_flight: u64,
    /// The most that were ever being answered at once.
    pub in_flight_max: u64,
    /// Every API key that arrived, and how often.
    pub keys: BTreeMap<String, u64>,
}

/// The calls for one title and year.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct FilmCalls {
    /// As in the call; the id where the call was by id.
    pub title: String,
    /// As in the call; empty where none was given.
    pub year: String,
    /// How many.
    pub calls: u64,
}

impl Snapshot {
    /// How often this title and year were asked for.
    pub fn calls_for(&self, title: &str, year: &str) -> u64 {
        self.by_film.iter().filter(|film| film.title == title && film.year == year).map(|film| film.calls).sum()
    }

    pub(crate) fn begin(&mut self, title: &str, year: &str, key: Option<&str>) {
        self.calls += 1;
        self.in_flight += 1;
        self.in_flight_max = self.in_flight_max.max(self.in_flight);
        if let Some(key) = key {
            *self.keys.entry(key.to_owned()).or_default() += 1;
        }
        let known = self.by_film.iter_mut().find(|film| film.title == title && film.year == year);
        match known {
            Some(film) => film.calls += 1,
            None => self.by_film.push(FilmCalls { title: title.to_owned(), year: year.to_owned(), calls: 1 }),
        }
    }

    pub(crate) fn end(&mut self, outcome: &str) {
        self.in_flight = self.in_flight.saturating_sub(1);
        *self.by_status.entry(outcome.to_owned()).or_default() += 1;
    }

    /// Back to zero, but for the calls that are under way.
    pub(crate) fn zero(&mut self) {
        *self = Self { in_flight: self.in_flight, in_flight_max: self.in_flight, ..Self::default() };
    }
}
