//! The program's output: one result on stdout, as a table for people or as one JSON document for machines; notices and
//! progress on stderr.
//!
//! Does not log (`logging` does) and does not choose the words. The redactor filters everything on its way out.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use comfy_table::{Attribute, Cell};
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use seams::foreign::{inert_json, inert_lines};
use serde::Serialize;

use crate::env_vars;
use crate::redact::{RedactingWriter, Redactor};

mod layout;

pub(crate) use layout::{Table, wrapped};

/// When colours are used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ColorChoice {
    /// On a terminal, unless NO_COLOR is set
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

impl ColorChoice {
    /// Whether a stream is written in colour.
    pub(crate) fn for_stream(self, is_terminal: bool) -> bool {
        match self {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let refused = std::env::var_os(env_vars::NO_COLOR).is_some_and(|value| !value.is_empty());
                let dumb = std::env::var_os("TERM").is_some_and(|term| term == "dumb");
                is_terminal && !refused && !dumb
            }
        }
    }
}

/// A colour with a meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tone {
    /// As it should be.
    Good,
    /// Wrong.
    Bad,
    /// Worth a look.
    Notable,
    /// Less important than its surroundings.
    Faint,
}

impl Tone {
    fn ansi(self) -> &'static str {
        match self {
            Tone::Good => "32",
            Tone::Bad => "1;31",
            Tone::Notable => "33",
            Tone::Faint => "2",
        }
    }

    /// `text` in this tone, if colours are on.
    pub(crate) fn paint(self, color: bool, text: &str) -> String {
        if color { format!("\u{1b}[{}m{text}\u{1b}[0m", self.ansi()) } else { text.to_owned() }
    }
}

/// Where results and notices go, and in which form.
#[derive(Clone, Debug)]
pub(crate) struct Output {
    json: bool,
    stdout_color: bool,
    stderr_color: bool,
    progress: MultiProgress,
    redactor: Redactor,
}

impl Output {
    /// An output for this process's streams.
    pub(crate) fn new(json: bool, color: ColorChoice, redactor: Redactor) -> Self {
        let visible = io::stderr().is_terminal();
        let target = if visible { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        Output {
            json,
            stdout_color: color.for_stream(io::stdout().is_terminal()),
            stderr_color: color.for_stream(visible),
            progress: MultiProgress::with_draw_target(target),
            redactor,
        }
    }

    /// Whether the output is for machines.
    pub(crate) fn json(&self) -> bool {
        self.json
    }

    /// Whether stderr is written in colour.
    pub(crate) fn stderr_color(&self) -> bool {
        self.stderr_color
    }

    /// `text` in a tone, for a result on stdout.
    pub(crate) fn tone(&self, tone: Tone, text: &str) -> String {
        tone.paint(self.stdout_color, text)
    }

    /// The bars on stderr. All other output there goes through its `suspend`.
    pub(crate) fn progress(&self) -> &MultiProgress {
        &self.progress
    }

    /// Shows a command's result on stdout: `document` as JSON for machines, else the text that `human` makes of it.
    pub(crate) fn report<T: Serialize>(&self, document: &T, human: impl FnOnce(&T) -> String) -> anyhow::Result<()> {
        let mut text = match (self.json, width_of(&io::stdout())) {
            (true, _) => inert_json(&serde_json::to_string_pretty(document)?).into_owned(),
            (false, Some(width)) => wrapped(&shown(&human(document), self.stdout_color), width),
            (false, None) => shown(&human(document), self.stdout_color),
        };
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        self.print(&text)?;
        Ok(())
    }

    /// Writes text to stdout unchanged: for a file rather than a result, such as a script.
    pub(crate) fn print(&self, text: &str) -> io::Result<()> {
        self.write(io::stdout().lock(), text)
    }

    /// Writes a notice to stderr.
    pub(crate) fn notice(&self, text: &str) -> io::Result<()> {
        let text = shown(text, self.stderr_color);
        let text = width_of(&io::stderr()).map_or_else(|| text.clone(), |width| wrapped(&text, width));
        self.progress.suspend(|| self.write(io::stderr().lock(), &format!("{text}\n")))
    }

    fn write(&self, stream: impl Write, text: &str) -> io::Result<()> {
        let mut stream = RedactingWriter::new(&self.redactor, stream);
        let written = stream.write_all(text.as_bytes()).and_then(|()| stream.flush());
        match written {
            // The reader has closed the pipe (`sluicebox … | head`).
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            other => other,
        }
    }

    /// A table for stdout, with these headings.
    pub(crate) fn table(&self, headings: &[&str]) -> Table {
        Table::new(headings, self.stdout_color, width_of(&io::stdout()))
    }

    /// A cell in a tone.
    pub(crate) fn cell(tone: Tone, text: impl ToString) -> Cell {
        use comfy_table::Color;
        let cell = Cell::new(text);
        match tone {
            Tone::Good => cell.fg(Color::Green),
            Tone::Bad => cell.fg(Color::Red).add_attribute(Attribute::Bold),
            Tone::Notable => cell.fg(Color::Yellow),
            Tone::Faint => cell.add_attribute(Attribute::Dim),
        }
    }

    /// A bar on stderr over `length` steps, with an estimate of the remaining time; shown only on a terminal.
    pub(crate) fn countdown(&self, length: u64, message: impl Into<String>) -> ProgressBar {
        let template = "{msg} {bar:24} {human_pos}/{human_len}, {eta} left";
        let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
        let bar = self.progress.add(ProgressBar::new(length)).with_style(style).with_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }

    /// A bar on stderr, shown only on a terminal: over `length` steps, or without an end if there is none.
    pub(crate) fn bar(&self, length: Option<u64>, message: impl Into<String>) -> ProgressBar {
        let (bar, style) = match length {
            Some(length) => (ProgressBar::new(length), bar_style()),
            None => {
                let style = ProgressStyle::with_template("{spinner} {msg}");
                (ProgressBar::new_spinner(), style.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            }
        };
        let bar = self.progress.add(bar).with_style(style).with_message(message.into());
        bar.enable_steady_tick(Duration::from_millis(120));
        bar
    }
}

/// Text for people. All else is escaped, but for line breaks and, in `color`, colours. Callers escape foreign text first, so that every
/// colour here is ours.
fn shown(text: &str, color: bool) -> String {
    let mut rest = text;
    let mut made = String::with_capacity(text.len());
    while let Some(at) = rest.find('\u{1b}') {
        let (before, from) = rest.split_at(at);
        made.push_str(&inert_lines(before));
        let painted = from.strip_prefix("\u{1b}[").map_or(0, |inner| {
            let codes = inner.len() - inner.trim_start_matches(|c: char| c.is_ascii_digit() || c == ';').len();
            if inner.get(codes..).is_some_and(|after| after.starts_with('m')) { codes + 3 } else { 0 }
        });
        let (sequence, after) = from.split_at(if color && painted > 0 { painted } else { 1 });
        if sequence.len() > 1 {
            made.push_str(sequence);
        } else {
            made.push_str("\\u{1b}");
        }
        rest = after;
    }
    made.push_str(&inert_lines(rest));
    made
}

/// The style of a bar with a known length.
pub(crate) fn bar_style() -> ProgressStyle {
    let style = ProgressStyle::with_template("{msg} {bar:24} {human_pos}/{human_len}");
    style.unwrap_or_else(|_| ProgressStyle::default_bar())
}

/// The width of the terminal that a stream is, if it is one.
#[cfg(unix)]
fn width_of(stream: &(impl IsTerminal + std::os::fd::AsFd)) -> Option<usize> {
    let (terminal_size::Width(width), _) = stream.is_terminal().then(|| terminal_size::terminal_size_of(stream))??;
    Some(usize::from(width))
}

#[cfg(not(unix))]
fn width_of(stream: &impl IsTerminal) -> Option<usize> {
    let (terminal_size::Width(width), _) = stream.is_terminal().then(terminal_size::terminal_size)??;
    Some(usize::from(width))
}

/// A digest for people: its kind and the first twelve digits, enough to tell it from others. Machines get all of it.
pub(crate) fn short_digest(digest: &str) -> &str {
    const DIGITS: usize = 12;
    let kind = digest.find(':').map_or(0, |colon| colon + 1);
    digest.get(..kind + DIGITS).unwrap_or(digest)
}

/// `1 record`, `2 records`.
pub(crate) fn counted(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

/// `5,166`: with a comma between thousands.
pub(crate) fn grouped(count: usize) -> String {
    let digits = count.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Bytes as people read them: `176.2 KiB`.
pub(crate) fn size(bytes: u64) -> String {
    indicatif::BinaryBytes(bytes).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_without_colour_is_plain_text_in_columns() {
        let output = Output::new(false, ColorChoice::Never, Redactor::default());
        let mut table = output.table(&["name", "rows"]);
        table.add_row(vec!["silver", "10"]);
        assert_eq!(table.trim_fmt(), "name    rows\nsilver  10");
    }

    #[test]
    fn what_is_shown_moves_no_cursor_and_only_paints_where_there_are_colours() {
        let text = "a\u{1b}[31mred\u{1b}[0m\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}2J\u{202e}\nnext";
        let plain = shown(text, false);
        assert!(plain.chars().all(|c| c == '\n' || !seams::foreign::is_odd(c)), "{plain:?}");
        let colored = shown(text, true);
        assert!(colored.contains("\u{1b}[31mred\u{1b}[0m") && !colored.contains("\u{1b}[2J"), "{colored:?}");
        assert_eq!(colored.matches('\u{1b}').count(), 2);
    }

    #[test]
    fn a_choice_beats_the_terminal() {
        assert!(ColorChoice::Always.for_stream(false));
        assert!(!ColorChoice::Never.for_stream(true));
        assert!(!ColorChoice::Auto.for_stream(false));
    }

    #[test]
    fn people_see_twelve_digits_of_a_digest() {
        assert_eq!(short_digest(&format!("sha256:{}", "a1b2c3d4e5f60718".repeat(4))), "sha256:a1b2c3d4e5f6");
        assert_eq!(short_digest("-"), "-");
    }

    #[test]
    fn thousands_are_told_apart() {
        assert_eq!([0, 999, 1_000, 5_166, 1_234_567].map(grouped), ["0", "999", "1,000", "5,166", "1,234,567"]);
    }

    #[test]
    fn one_is_singular() {
        assert_eq!(counted(1, "case", "cases"), "1 case");
        assert_eq!(counted(0, "case", "cases"), "0 cases");
    }
}
