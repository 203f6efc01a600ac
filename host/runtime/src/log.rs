//! A plugin's log lines: bounded, made harmless, and passed on as `tracing` events of target `plugin`.
//!
//! Does not write anywhere: the subscriber decides where events go.

use std::collections::VecDeque;
use std::sync::{Mutex, OnceLock, PoisonError};

use seams::foreign::{inert, words};
use serde::{Deserialize, Serialize};

use crate::bindings::Level;

/// Bytes of one line; the rest of a longer one is cut off.
pub(crate) const MAX_LINE: usize = 4096;
/// Lines kept for a fault's report.
const TAIL: usize = 20;

/// The log of one call.
#[derive(Debug)]
pub(crate) struct Log {
    budget: usize,
    tail: VecDeque<String>,
    dropped: u64,
}

impl Log {
    /// A log that passes on `budget` bytes.
    pub(crate) fn new(budget: u64) -> Self {
        Log { budget: usize::try_from(budget).unwrap_or(usize::MAX), tail: VecDeque::new(), dropped: 0 }
    }

    /// Whether no further line can be passed on.
    pub(crate) fn is_full(&self) -> bool {
        self.budget == 0
    }

    /// Whether a line has been dropped.
    pub(crate) fn has_dropped(&self) -> bool {
        self.dropped > 0
    }

    /// Counts a line as dropped, unread.
    pub(crate) fn drop_line(&mut self) {
        self.dropped += 1;
    }

    /// Passes a line on, or counts it as dropped. The first line over the budget ends the log, so that the log is a
    /// prefix of what was written.
    pub(crate) fn write(&mut self, plugin: &str, digest: &str, level: Level, line: &Line) {
        // Including the line end, so that empty lines are not free.
        let Some(left) = self.budget.checked_sub(line.0.len() + 1) else {
            self.budget = 0;
            self.dropped += 1;
            return;
        };
        self.budget = left;
        tell(plugin, digest, Told { level: level as u8, code: None, text: line.0.clone() });
        if self.tail.len() == TAIL {
            self.tail.pop_front();
        }
        self.tail.push_back(line.0.clone());
    }

    /// Reports dropped lines and returns the last lines.
    pub(crate) fn close(self, plugin: &str, digest: &str) -> Vec<String> {
        let dropped = self.dropped;
        if dropped > 0 {
            warn(plugin, digest, "P210", format!("{dropped} log lines dropped"));
        }
        self.tail.into()
    }
}

/// A line fit to be shown: cut and made harmless.
#[derive(Debug)]
pub(crate) struct Line(String);

impl Line {
    pub(crate) fn of(message: &str) -> Self {
        let end = message.floor_char_boundary(MAX_LINE);
        let mut line = inert(message.get(..end).unwrap_or_default()).into_owned();
        // Escaping makes the line longer.
        if end < message.len() || line.len() > MAX_LINE {
            line.truncate(line.floor_char_boundary(MAX_LINE));
            line.push('…');
        }
        Line(line)
    }
}

/// One event: a plugin's line, or the runtime's own message about a plugin.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Told {
    level: u8,
    code: Option<String>,
    text: String,
}

impl Told {
    /// The event made harmless again, for a host whose worker may have been taken over.
    pub(crate) fn inert(self) -> Self {
        Told { text: Line::of(&self.text).0, code: self.code.as_deref().map(words), ..self }
    }

    /// Size of its text in bytes.
    pub(crate) fn len(&self) -> usize {
        self.text.len()
    }
}

/// Events of a worker process; its host passes them on.
static KEPT: OnceLock<Mutex<Vec<Told>>> = OnceLock::new();

/// From now on events are kept for [`kept`]. For a process without a subscriber.
pub(crate) fn keep() {
    KEPT.get_or_init(Mutex::default);
}

/// The events that were kept since the last call.
pub(crate) fn kept() -> Vec<Told> {
    KEPT.get().map_or_else(Vec::new, |kept| std::mem::take(&mut *kept.lock().unwrap_or_else(PoisonError::into_inner)))
}

/// A warning of the runtime's own about a plugin.
pub(crate) fn warn(plugin: &str, digest: &str, code: &str, text: String) {
    tell(plugin, digest, Told { level: Level::Warn as u8, code: Some(code.to_owned()), text });
}

/// Passes an event on.
pub(crate) fn tell(plugin: &str, digest: &str, told: Told) {
    if let Some(kept) = KEPT.get() {
        kept.lock().unwrap_or_else(PoisonError::into_inner).push(told);
        return;
    }
    let (code, text) = (told.code.as_deref(), &told.text);
    match told.level {
        level if level == Level::Debug as u8 => tracing::debug!(target: "plugin", plugin, digest, code, "{text}"),
        level if level == Level::Info as u8 => tracing::info!(target: "plugin", plugin, digest, code, "{text}"),
        level if level == Level::Warn as u8 => tracing::warn!(target: "plugin", plugin, digest, code, "{text}"),
        _ => tracing::error!(target: "plugin", plugin, digest, code, "{text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_over_the_budget_are_counted_and_not_kept() {
        let mut log = Log::new(10);
        for _ in 0..4 {
            log.write("p", "d", Level::Info, &Line::of("1234"));
        }
        assert!(log.is_full());
        assert_eq!(log.dropped, 2);
        assert_eq!(log.close("p", "d"), ["1234", "1234"]);
    }

    #[test]
    fn empty_lines_are_bounded_too() {
        let mut log = Log::new(10);
        for _ in 0..100 {
            log.write("p", "d", Level::Info, &Line::of(""));
        }
        assert_eq!(log.dropped, 90);
    }

    #[test]
    fn a_long_line_is_cut_at_a_character() {
        let line = Line::of(&"é".repeat(MAX_LINE));
        assert_eq!(line.0, format!("{}…", "é".repeat(MAX_LINE / 2)));
        let grown = Line::of(&"\u{202e}".repeat(MAX_LINE / 3));
        assert!(grown.0.len() <= MAX_LINE + 3 && grown.0.ends_with('…'), "{} bytes", grown.0.len());
    }
}
