//! One row a value of `a`, with the ids that have it.
//!
//! Does not look at `b`.
use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Aggregate, Groups, Input, NoConfig, Output};

/// What is read.
#[derive(Input)]
pub struct Row<'a> {
    id: Option<&'a str>,
    a: Option<&'a str>,
}

/// What is made.
#[derive(Debug, PartialEq, Output)]
pub struct Group {
    a: Option<String>,
    rows: i64,
    ids: Vec<String>,
    none: Option<Vec<String>>,
}

/// The state.
#[derive(Default, Serialize, Deserialize)]
pub struct Ids(Groups<Option<String>, Vec<String>>);

impl Aggregate for Ids {
    type Config = NoConfig;
    type Row<'a> = Row<'a>;
    type Output = Group;

    fn add(&mut self, _: &NoConfig, row: Row<'_>) {
        self.0.of(&row.a.map(str::to_owned)).push(row.id.unwrap_or_default().to_owned());
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0, |mine, mut theirs| mine.append(&mut theirs));
    }

    fn finish(&self, _: &NoConfig) -> Vec<Group> {
        let row = |(a, ids): (&Option<String>, &Vec<String>)| {
            let mut ids = ids.clone();
            ids.sort();
            Group { a: a.clone(), rows: i64::try_from(ids.len()).unwrap_or(i64::MAX), ids, none: None }
        };
        self.0.sorted().into_iter().map(row).collect()
    }
}
