//! Whether a text mentions a record: its key, or the values of all its key columns.
//!
//! Does not know columns: a value counts where it stands by itself, and a key of few characters only where it stands in quotes.

use lake::quarantine::Refused;
use records::keys::Key;

/// A shorter key would be found everywhere by chance.
const SHORTEST: usize = 4;

/// Whether a refusal belongs to the record: by its key, or if it has none, by the kept text of its line or message.
pub(super) fn refused(refused: &Refused, key: &Key) -> bool {
    match &refused.key {
        Some(own) => own == key,
        None => {
            let record = serde_json::to_string(&refused.record).unwrap_or_default();
            let line = refused.line.as_ref().map(|line| line.text.as_str());
            [record.as_str(), &refused.reason].into_iter().chain(line).any(|text| text_of(text, key))
        }
    }
}

/// Whether a text mentions the record.
pub(super) fn text_of(text: &str, key: &Key) -> bool {
    let parts: Vec<String> = key.as_str().split('/').map(decoded).collect();
    let length: usize = parts.iter().map(|part| part.chars().count()).sum();
    let quoted = |word: &str| {
        // As text, as JSON, and as JSON within JSON.
        ["\"", "\\\"", "`", "'"].iter().any(|quote| text.contains(&format!("{quote}{word}{quote}")))
    };
    if quoted(key.as_str()) || (parts.len() > 1 && parts.iter().all(|part| quoted(part))) {
        return true;
    }
    length >= SHORTEST && (stands_in(text, key.as_str()) || parts.iter().all(|part| stands_in(text, part)))
}

/// A key's value as it was before it was put into the key.
fn decoded(part: &str) -> String {
    percent_encoding::percent_decode_str(part).decode_utf8_lossy().into_owned()
}

/// Whether the text holds the word with no letter or digit right beside it.
fn stands_in(text: &str, word: &str) -> bool {
    !word.is_empty()
        && text.match_indices(word).any(|(at, found)| {
            let before = text.get(..at).and_then(|before| before.chars().next_back());
            let after = text.get(at + found.len()..).and_then(|after| after.chars().next());
            !before.is_some_and(char::is_alphanumeric) && !after.is_some_and(char::is_alphanumeric)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn speaks(text: &str, key: &str) -> bool {
        text_of(text, &Key::from_text(key))
    }

    #[test]
    fn a_text_speaks_of_a_key_or_of_all_its_values_and_never_of_a_part_of_a_word() {
        assert!(speaks("record The Fog/1980 cannot be read", "The Fog/1980"));
        assert!(speaks("The Fog,1980,\"broken", "The Fog/1980"));
        assert!(!speaks("The Fog,1981,\"broken", "The Fog/1980"));
        assert!(!speaks("The Foghorn 1980", "The Fog/1980"));
        assert!(speaks(r#"{"message":"{\"key\":\"o4\"}"}"#, "o4"));
        assert!(!speaks("4 of o4x, 17", "o4") && !speaks("o4 of 17", "o4"));
    }
}
