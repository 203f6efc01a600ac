//! Text and tables in the width of a terminal: lines break between words, and a table that is too wide becomes a list.
//!
//! Does not know the content. Without a terminal nothing is laid out.

use comfy_table::{Attribute, Cell, ColumnConstraint, ContentArrangement, Row, Width, presets};
use unicode_width::UnicodeWidthStr as _;

/// `text` with no line longer than `width`, as far as its words allow: the rest of a line is indented below its beginning.
pub(crate) fn wrapped(text: &str, width: usize) -> String {
    let mut all = String::with_capacity(text.len());
    for line in text.split_inclusive('\n') {
        let (line, end) = line.strip_suffix('\n').map_or((line, ""), |line| (line, "\n"));
        if visible(line) <= width {
            all.push_str(line);
        } else {
            all.push_str(&wrapped_line(line, width));
        }
        all.push_str(end);
    }
    all
}

fn wrapped_line(line: &str, width: usize) -> String {
    let indent = line.len() - line.trim_start_matches(' ').len();
    // Deeper than its beginning, but not so deep that no word fits.
    let below = " ".repeat((indent + 2).min(width / 2));
    let (mut text, mut used) = (" ".repeat(indent), indent);
    let mut at_start = true;
    for word in words(line.trim_start_matches(' ')) {
        let (gap, word) = word;
        let size = visible(word);
        if !at_start && used + gap + size > width {
            text.push('\n');
            text.push_str(&below);
            used = below.len();
        } else {
            text.push_str(&" ".repeat(gap));
            used += gap;
        }
        text.push_str(word);
        used += size;
        at_start = false;
    }
    text
}

/// The words of a line, each with the number of blanks in front of it.
fn words(line: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = line;
    std::iter::from_fn(move || {
        let word = rest.trim_start_matches(' ');
        let gap = rest.len() - word.len();
        if word.is_empty() {
            return None;
        }
        let (word, after) = word.split_at(word.find(' ').unwrap_or(word.len()));
        rest = after;
        Some((gap, word))
    })
}

/// How many columns a text needs: colours need none.
fn visible(text: &str) -> usize {
    let mut width = 0;
    let mut parts = text.split('\u{1b}');
    width += parts.next().map_or(0, |first| first.width());
    for part in parts {
        width += part.split_once('m').map_or(0, |(_, shown)| shown.width());
    }
    width
}

/// A table.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    inner: comfy_table::Table,
    /// The width of the terminal, if there is one.
    width: Option<usize>,
}

impl Table {
    pub(super) fn new(headings: &[&str], color: bool, width: Option<usize>) -> Self {
        let mut inner = comfy_table::Table::new();
        inner.load_style(presets::NOTHING);
        if color {
            inner.enforce_styling();
        } else {
            inner.force_no_tty();
        }
        inner.set_header(headings.iter().map(|heading| Cell::new(heading).add_attribute(Attribute::Bold)));
        let last = headings.len().saturating_sub(1);
        for (index, column) in inner.column_iter_mut().enumerate() {
            column.set_padding((0, if index == last { 0 } else { 2 }));
        }
        Table { inner, width }
    }

    /// Adds a row.
    pub(crate) fn add_row<T: Into<Row>>(&mut self, row: T) -> &mut Self {
        self.inner.add_row(row);
        self
    }

    /// The table as text, without blanks at the ends of its lines.
    pub(crate) fn trim_fmt(&self) -> String {
        let Some(width) = self.width else { return self.inner.trim_fmt() };
        let rows = || self.inner.header().into_iter().chain(self.inner.row_iter());
        let columns = rows().map(Row::cell_count).max().unwrap_or_default();
        let (mut whole, mut least) = (vec![0; columns], vec![0; columns]);
        for row in rows() {
            for ((whole, least), cell) in whole.iter_mut().zip(&mut least).zip(row.cell_iter()) {
                let content = cell.content();
                *whole = content.lines().map(visible).max().unwrap_or_default().max(*whole);
                *least = content.split_whitespace().map(visible).max().unwrap_or_default().max(*least);
            }
        }
        let between = 2 * columns.saturating_sub(1);
        if whole.iter().sum::<usize>() + between <= width {
            return self.inner.trim_fmt();
        }
        if least.iter().sum::<usize>() + between > width {
            return self.listed(width);
        }
        let mut fitted = self.inner.clone();
        fitted.set_content_arrangement(ContentArrangement::Dynamic);
        fitted.set_width(u16::try_from(width).unwrap_or(u16::MAX));
        let last = columns.saturating_sub(1);
        for ((index, column), least) in fitted.column_iter_mut().enumerate().zip(&least) {
            // A column's width includes its padding.
            let least = least + if index == last { 0 } else { 2 };
            column.set_constraint(ColumnConstraint::LowerBoundary(Width::Fixed(
                u16::try_from(least).unwrap_or(u16::MAX),
            )));
        }
        fitted.trim_fmt()
    }

    /// Each row as lines of heading and value.
    fn listed(&self, width: usize) -> String {
        let headings: Vec<String> =
            self.inner.header().map(|row| row.cell_iter().map(Cell::content).collect()).unwrap_or_default();
        let longest = headings.iter().map(|heading| visible(heading.trim())).max().unwrap_or_default();
        let items = self.inner.row_iter().map(|row| {
            let mut lines = Vec::new();
            for (index, cell) in row.cell_iter().enumerate() {
                let (heading, content) = (headings.get(index).map_or("", |text| text.trim()), cell.content());
                if content.trim().is_empty() {
                    continue;
                }
                let gap = " ".repeat(longest.saturating_sub(visible(heading)) + 2);
                let line =
                    if longest == 0 { content.trim().to_owned() } else { format!("{heading}{gap}{}", content.trim()) };
                lines.push(wrapped(&line.replace('\n', " "), width));
            }
            lines.join("\n")
        });
        items.collect::<Vec<_>>().join("\n\n")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "  hint: `sluicebox quarantine show ID` shows one whole; when its cause is mended, `sluicebox quarantine replay` makes them again";

    /// Every word of a text is a word of the other, in that order.
    #[track_caller]
    fn same_words(text: &str, laid_out: &str) {
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(text), words(laid_out), "{laid_out}");
    }

    #[test]
    fn no_word_of_a_text_is_broken_in_40_60_and_80_columns() {
        for width in [40, 60, 80] {
            let laid_out = wrapped(TEXT, width);
            same_words(TEXT, &laid_out);
            assert!(laid_out.lines().all(|line| visible(line) <= width), "{laid_out}");
            assert!(laid_out.lines().skip(1).all(|line| line.starts_with("    ")), "{laid_out}");
        }
        assert_eq!(wrapped("a\n\nb", 40), "a\n\nb");
        let long = format!("see {}", "x".repeat(90));
        assert!(wrapped(&long, 40).contains(&"x".repeat(90)), "what has no blank stays whole");
    }

    #[test]
    fn colours_take_no_room() {
        assert_eq!(visible("\u{1b}[1;31merror\u{1b}[0m: a"), 8);
    }

    fn table(width: Option<usize>) -> Table {
        let mut table = Table::new(&["layer", "rows", "complete up to", "behind", ""], false, width);
        table.add_row(vec![
            "silver",
            "5166",
            "20261124T030000Z",
            "12 records, 1h",
            "of 5166 record versions 5154 stand, 12 skipped",
        ]);
        table.add_row(vec!["gold directors", "10", "-", "0 records", "not made yet"]);
        table
    }

    #[test]
    fn no_word_of_a_table_is_broken_in_40_60_and_80_columns() {
        let words: Vec<String> = table(None).trim_fmt().split_whitespace().map(str::to_owned).collect();
        for width in [40, 60, 80, 200] {
            let shown = table(Some(width)).trim_fmt();
            assert!(shown.lines().all(|line| visible(line) <= width), "{width}:\n{shown}");
            for word in &words {
                assert!(shown.split_whitespace().any(|there| there == word), "`{word}` is broken in {width}:\n{shown}");
            }
        }
        assert!(table(Some(40)).trim_fmt().starts_with("layer           silver\n"), "{}", table(Some(40)).trim_fmt());
    }
}
