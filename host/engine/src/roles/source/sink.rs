//! Where readers of sources push what they find: keeps the first n records in the asked order, and counts everything.
//!
//! Does not read, and does not decide how many bad lines are too many.

use std::collections::HashSet;

use pipeline::plan::OrderBy;
use records::document;
use records::record::Record;

use super::error::Damage;
use super::order::Rank;
use super::reading::{BadLine, Reading, Taken};

/// Most bytes of a bad line that are kept.
const MOST_TEXT: usize = 4 << 10;

/// Takes what a reader finds. Keeps the first n of any number of records in memory for 2n.
pub(super) struct Sink<'a> {
    order: Option<&'a OrderBy>,
    most: usize,
    kept: Vec<(Rank, Taken)>,
    numbers: usize,
    texts: usize,
    seen: HashSet<String>,
    named: bool,
    only_columns: bool,
    reading: Reading,
}

impl<'a> Sink<'a> {
    pub(super) fn new(order: Option<&'a OrderBy>, most: usize) -> Self {
        Sink {
            order,
            most,
            kept: Vec::new(),
            numbers: 0,
            texts: 0,
            seen: HashSet::new(),
            named: false,
            only_columns: false,
            reading: Reading::default(),
        }
    }

    /// A sink that wants no records.
    pub(super) fn for_columns() -> Self {
        Sink { only_columns: true, ..Sink::new(None, 0) }
    }

    /// The columns of a format that names them; call it before the first record. False if records are not asked for.
    pub(super) fn columns(&mut self, columns: Vec<String>) -> Result<bool, Damage> {
        checked(&columns)?;
        self.named = true;
        self.reading.columns = columns;
        Ok(!self.only_columns)
    }

    /// Takes a record that has passed `records::document`, or that the reader knows would pass.
    pub(super) fn record(&mut self, number: u64, record: Record) {
        self.reading.total += 1;
        if !self.named {
            for column in record.keys().filter(|column| !self.seen.contains(*column)).collect::<Vec<_>>() {
                self.seen.insert(column.to_owned());
                self.reading.columns.push(column.to_owned());
            }
        }
        let Some(order) = self.order else {
            if self.kept.len() < self.most {
                self.kept.push((Rank::Nothing, Taken { number, record }));
            }
            return;
        };
        let rank = Rank::of(record.get(&order.column));
        match &rank {
            Rank::Number(_) => self.numbers += 1,
            Rank::Text(_) => self.texts += 1,
            Rank::Nothing => {}
        }
        self.kept.push((rank, Taken { number, record }));
        if self.kept.len() >= self.most.saturating_mul(2) {
            self.cut();
        }
    }

    /// A line that is no record.
    pub(super) fn bad(&mut self, number: u64, text: &[u8], reason: impl Into<String>) {
        let kept = text.get(..text.len().min(MOST_TEXT)).unwrap_or_default();
        let mut shown = String::from_utf8_lossy(kept).into_owned();
        if kept.len() < text.len() {
            // A character that was cut in two.
            while shown.ends_with(char::REPLACEMENT_CHARACTER) {
                shown.pop();
            }
            shown.push_str(&format!("… ({} bytes in all)", text.len()));
        }
        self.reading.bad.push(BadLine { number, text: shown, reason: reason.into() });
    }

    /// Something that an operator should know, once.
    pub(super) fn notice(&mut self, notice: impl Into<String>) {
        let notice = notice.into();
        if !self.reading.notices.contains(&notice) {
            self.reading.notices.push(notice);
        }
    }

    fn cut(&mut self) {
        if let Some(order) = self.order {
            // Stable: of equal ones the earlier stays in front.
            self.kept.sort_by(|(a, _), (b, _)| a.compare(b, order.descending));
        }
        self.kept.truncate(self.most);
    }

    pub(super) fn finish(mut self) -> Reading {
        self.cut();
        self.reading.records = self.kept.into_iter().map(|(_, taken)| taken).collect();
        self.reading.not_numbers = if self.numbers > 0 { self.texts } else { 0 };
        self.reading
    }
}

/// Refuses columns that a format names and that cannot be: reserved ones, and two of one name.
fn checked(columns: &[String]) -> Result<(), Damage> {
    for (index, column) in columns.iter().enumerate() {
        if columns.iter().take(index).any(|earlier| earlier == column) {
            let damage = Damage::whole(format!("column `{column}` stands twice in the header"));
            return Err(damage.hint("give one of them another name in the source"));
        }
        if document::is_reserved(column) {
            let damage = Damage::whole(document::reserved(column));
            return Err(damage.hint("give it another name in the source"));
        }
    }
    Ok(())
}
