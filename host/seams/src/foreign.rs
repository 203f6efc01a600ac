//! Words of others: what plugins, sources and services say, cut at one length and harmless on every terminal and in every log.
//!
//! Does not hide secrets (`redaction` does), and does not touch what is data: values in tables stay as they are until they are shown.

use std::any::Any;
use std::borrow::Cow;

/// Bytes of a reason, or of any other text in a plugin's own words, that are kept. The text after them says how many more there were.
pub const MOST_WORDS: usize = 4 << 10;
/// Room for the text that follows a cut, so that cutting it again changes nothing.
const ROOM: usize = 48;

/// Words as they are kept and shown: at most [`MOST_WORDS`] bytes, the rest counted (`… 17 more bytes`), harmless except for line breaks: a
/// reason may have a hint below it. Code that shows a reason keeps its lines apart from others, or uses [`inert`].
#[must_use]
pub fn words(text: &str) -> String {
    let mut kept = String::new();
    for (at, character) in text.char_indices() {
        // The rest is short enough to be kept, or to be what a first cut has said.
        if kept.len() >= MOST_WORDS && text.len() - at > ROOM {
            kept.push_str(&format!("… {} more bytes", text.len() - at));
            return kept;
        }
        push(&mut kept, character);
    }
    kept
}

/// `text`, cut at so many bytes, with the rest counted.
#[must_use]
pub fn cut(text: &str, most: usize) -> Cow<'_, str> {
    if text.len() <= most.saturating_add(ROOM) {
        return Cow::Borrowed(text);
    }
    let end = text.floor_char_boundary(most);
    Cow::Owned(format!("{}… {} more bytes", text.get(..end).unwrap_or_default(), text.len() - end))
}

/// `text` in one line, with everything escaped that a terminal or a reader of logs may take for more than text.
#[must_use]
pub fn inert(text: &str) -> Cow<'_, str> {
    escaped(text, is_odd)
}

/// As [`inert`], with line breaks left as they are: for text whose lines are shown below each other.
#[must_use]
pub fn inert_lines(text: &str) -> Cow<'_, str> {
    escaped(text, |c| c != '\n' && is_odd(c))
}

/// A JSON text that means the same, with everything escaped in it that a terminal may take for more than text: such characters are only in
/// strings. Line breaks between values stay.
#[must_use]
pub fn inert_json(text: &str) -> Cow<'_, str> {
    let odd = |c: char| c != '\n' && is_odd(c);
    if !text.contains(odd) {
        return Cow::Borrowed(text);
    }
    let mut made = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if odd(character) {
            for unit in character.encode_utf16(&mut [0; 2]) {
                made.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            made.push(character);
        }
    }
    Cow::Owned(made)
}

fn escaped(text: &str, odd: impl Fn(char) -> bool) -> Cow<'_, str> {
    if !text.contains(&odd) {
        return Cow::Borrowed(text);
    }
    let mut made = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if odd(character) {
            made.extend(character.escape_default());
        } else {
            made.push(character);
        }
    }
    Cow::Owned(made)
}

fn push(text: &mut String, character: char) {
    if character != '\n' && is_odd(character) {
        text.extend(character.escape_default());
    } else {
        text.push(character);
    }
}

/// What a caught panic says, or that it says nothing.
#[must_use]
pub fn panic_text(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str).or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("without a message")
}

/// Whether a character is more than a sign on paper: it moves the cursor, begins an escape sequence, ends a line, or hides or reorders
/// other characters. C0, DEL and C1, blanks of no width, marks of direction, and tags.
#[must_use]
pub fn is_odd(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_sixty_mib_are_cut_and_the_rest_is_counted() {
        let long = "x".repeat(60 << 20);
        let kept = words(&long);
        assert_eq!(kept, format!("{}… {} more bytes", "x".repeat(MOST_WORDS), (60 << 20) - MOST_WORDS));
        assert_eq!(words(&kept), kept, "cutting again changes nothing");
        assert_eq!(cut(&"é".repeat(100), 51), format!("{}… 150 more bytes", "é".repeat(25)));
        assert_eq!(cut("short", 1), "short", "what would be as long cut is not cut");
        let grown = words(&"\u{202e}".repeat(MOST_WORDS));
        assert!(grown.len() < MOST_WORDS + ROOM, "{} bytes", grown.len());
        assert_eq!(words(&grown), grown);
    }

    #[test]
    fn escapes_in_reasons_keys_and_values_are_text() {
        let hostile = "a\u{1b}[31m\u{9b}2J\nerror[P101]\u{202e}x\u{200b}\u{7f}";
        let text = "a\\u{1b}[31m\\u{9b}2J\\nerror[P101]\\u{202e}x\\u{200b}\\u{7f}";
        assert_eq!(inert(hostile), text);
        assert_eq!(words(hostile), text.replace("\\n", "\n"));
        let json = serde_json::to_string_pretty(&serde_json::json!({ "a": format!("{hostile}\u{e0041}") })).unwrap();
        let shown = inert_json(&json);
        assert!(shown.chars().all(|c| c == '\n' || !is_odd(c)), "{shown}");
        let same = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(same(&shown), same(&json));
        assert!(inert_lines(hostile).contains("2J\nerror"));
        assert!(matches!(inert("Amélie — ok"), Cow::Borrowed(_)));
    }
}
