//! The rows themselves, by id: what Gold's files make of every type.
//!
//! Does not add anything up.
use serde::{Deserialize, Serialize};
use sluicebox_sdk::{Aggregate, Date, Groups, Input, NoConfig, Output, Timestamp};

/// What is read.
#[derive(Input)]
pub struct Row<'a> {
    id: Option<&'a str>,
    ts: Option<Timestamp>,
    d: Option<Date>,
    n: Option<i64>,
    x: Option<f64>,
    t: Option<&'a str>,
    b: Option<bool>,
}

/// What is made.
#[derive(Debug, PartialEq, Output)]
pub struct Line {
    id: Option<String>,
    ts: Option<Timestamp>,
    d: Option<Date>,
    n: Option<i64>,
    x: Option<f64>,
    t: Option<String>,
    b: Option<bool>,
}

#[derive(Clone, Default, Serialize, Deserialize)]
struct Kept {
    ts: Option<i64>,
    d: Option<i32>,
    n: Option<i64>,
    x: Option<u64>,
    t: Option<String>,
    b: Option<bool>,
}

/// The state.
#[derive(Default, Serialize, Deserialize)]
pub struct Lines(Groups<String, Vec<Kept>>);

impl Aggregate for Lines {
    type Config = NoConfig;
    type Row<'a> = Row<'a>;
    type Output = Line;

    fn add(&mut self, _: &NoConfig, row: Row<'_>) {
        self.0.of(row.id.unwrap_or_default()).push(Kept {
            ts: row.ts.map(Timestamp::micros),
            d: row.d.map(|d| d.days()),
            n: row.n,
            x: row.x.map(f64::to_bits),
            t: row.t.map(str::to_owned),
            b: row.b,
        });
    }

    fn merge(&mut self, other: Self) {
        self.0.merge(other.0, |mine, mut theirs| mine.append(&mut theirs));
    }

    fn finish(&self, _: &NoConfig) -> Vec<Line> {
        let mut lines = Vec::new();
        for (id, all) in self.0.sorted() {
            for kept in all {
                lines.push(Line {
                    id: Some(id.clone()),
                    ts: kept.ts.map(Timestamp::from_micros),
                    d: kept.d.map(Date::from_days),
                    n: kept.n,
                    x: kept.x.map(f64::from_bits),
                    t: kept.t.clone(),
                    b: kept.b,
                });
            }
        }
        lines
    }
}
