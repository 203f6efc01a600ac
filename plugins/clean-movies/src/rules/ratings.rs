//! The list `Ratings` as JSON, read in one pass into the three sources that are known.
//!
//! Nothing is kept of the others, and nothing is allocated unless a text has escapes in it. Not here:
//! what the values mean (`notation`).

use serde::{
    Deserialize, Deserializer,
    de::{SeqAccess, Visitor},
};
use std::{borrow::Cow, fmt};

/// The value that each known source gives, as it is written.
#[derive(Debug, Default)]
pub(super) struct Known<'a> {
    pub(super) imdb: Option<Cow<'a, str>>,
    pub(super) rotten_tomatoes: Option<Cow<'a, str>>,
    pub(super) metacritic: Option<Cow<'a, str>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Rating<'a> {
    #[serde(borrow)]
    source: Cow<'a, str>,
    #[serde(borrow)]
    value: Cow<'a, str>,
}

impl<'de> Deserialize<'de> for Known<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(List)
    }
}

struct List;

impl<'de> Visitor<'de> for List {
    type Value = Known<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of ratings")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Known<'de>, A::Error> {
        let mut known = Known::default();
        while let Some(Rating { source, value }) = list.next_element()? {
            match source.as_ref() {
                "Internet Movie Database" => known.imdb = Some(value),
                "Rotten Tomatoes" => known.rotten_tomatoes = Some(value),
                "Metacritic" => known.metacritic = Some(value),
                _ => {}
            }
        }
        Ok(known)
    }
}
