//! Types that no column has, each with the one to use.

use sluicebox_sdk::{Input, Output};
use std::{borrow::Cow, collections::HashMap};

type Money = i64;

#[derive(Input)]
struct Film<'a> {
    votes: u32,
    rating: Option<f32>,
    initial: char,
    title: Cow<'a, str>,
    released: NaiveDate,
    seen: Option<DateTime<Utc>>,
    extra: HashMap<String, String>,
    box_office: Money,
    pair: (i64, i64),
    twice: Option<Option<i64>>,
    holes: Vec<Option<String>>,
    deep: Vec<Vec<i64>>,
    small: Vec<u8>,
}

#[derive(Output)]
struct Row<'a> {
    votes: usize,
    text: &'a mut str,
    bytes: &'a [u8],
}

fn main() {}
