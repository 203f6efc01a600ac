//! Answers for the verb `data`: the pipeline's source list `data/movies.csv`, made from `data/films.csv`.
//!
//! Repairs nothing, and the same input always gives the same bytes, so that `tidy` can tell whether the file is current.

use std::fs;

use anyhow::{Context, Result};

use crate::shell::{self, step};

const FROM: &str = "data/films.csv";
const TO: &str = "data/movies.csv";

/// Writes the list, or says that it is current.
pub(crate) fn make() -> Result<()> {
    if is_current()? {
        step(format!("{TO} is current"));
        return Ok(());
    }
    let path = shell::workspace_root().join(TO);
    fs::write(&path, derived()?).with_context(|| format!("cannot write `{TO}`"))?;
    step(format!("wrote {TO}"));
    Ok(())
}

/// Whether the file is exactly what would be written.
pub(crate) fn is_current() -> Result<bool> {
    let there = fs::read_to_string(shell::workspace_root().join(TO)).unwrap_or_default();
    Ok(there == derived()?)
}

fn derived() -> Result<String> {
    let films =
        fs::read_to_string(shell::workspace_root().join(FROM)).with_context(|| format!("cannot read `{FROM}`"))?;
    source_list(&films).with_context(|| format!("in `{FROM}`"))
}

fn source_list(films: &str) -> Result<String> {
    let mut reader = csv::Reader::from_reader(films.as_bytes());
    let headers = reader.headers()?.clone();
    let column =
        |name: &str| headers.iter().position(|header| header == name).with_context(|| format!("no column `{name}`"));
    let (title, date, votes) = (column("title")?, column("release_date")?, column("imdb_votes")?);
    let mut list = csv::Writer::from_writer(Vec::new());
    list.write_record(["title", "year", "imdb_votes"])?;
    for film in reader.records() {
        let film = film?;
        let cell = |index: usize| film.get(index).unwrap_or_default();
        list.write_record([cell(title), year(cell(date)), cell(votes)])?;
    }
    Ok(String::from_utf8(list.into_inner()?)?)
}

/// The four digits at the end of a date such as `Jun 12 1998`; nothing when there are none.
fn year(date: &str) -> &str {
    let last = date.rsplit(' ').next().unwrap_or_default();
    if last.len() == 4 && last.bytes().all(|byte| byte.is_ascii_digit()) { last } else { "" }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn takes_three_columns_in_source_order() {
        let films = "title,release_date,imdb_votes\n\"First, Last\",Aug 07 1998,207\n1776,,\n,Nov 03 2006,5\n";
        let list = source_list(films).unwrap();
        assert_eq!(list, "title,year,imdb_votes\n\"First, Last\",1998,207\n1776,,\n,2006,5\n");
    }

    #[test]
    fn a_missing_column_is_named() {
        let error = source_list("title,release_date\n").unwrap_err().to_string();
        assert_eq!(error, "no column `imdb_votes`");
    }

    #[test]
    fn the_file_in_the_tree_is_current_and_whole() {
        assert!(is_current().unwrap(), "run: cargo xtask data");
        assert_eq!(derived().unwrap().lines().count(), 3202);
    }
}
