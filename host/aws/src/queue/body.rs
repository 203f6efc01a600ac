//! Messages as text: SQS carries the characters of XML 1.0 only.
//!
//! Does not count attributes: none are sent.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Before a body in base64. A body that begins with it goes in base64 itself.
const MARK: &str = "sluicebox:base64:";

/// The text for a body.
pub(super) fn encode(body: &[u8]) -> String {
    match std::str::from_utf8(body) {
        // SQS takes no empty text, either.
        Ok(text) if !text.is_empty() && !text.starts_with(MARK) && text.chars().all(is_carried) => text.to_owned(),
        _ => format!("{MARK}{}", STANDARD.encode(body)),
    }
}

/// The body of a text. A text that another sender wrote is taken as it is.
pub(crate) fn decode(text: String) -> Bytes {
    match text.strip_prefix(MARK).and_then(|encoded| STANDARD.decode(encoded).ok()) {
        Some(body) => body.into(),
        None => text.into(),
    }
}

fn is_carried(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..='\u{10FFFF}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_body_comes_back() {
        let all: Vec<u8> = (0..=255).collect();
        let marked = format!("{MARK}eA==");
        for body in
            [&b""[..], b"{\"a\": \"\xC3\xA4\"}", b"\0", b"a\x1Fb", "\u{FFFE}".as_bytes(), &all, marked.as_bytes()]
        {
            let text = encode(body);
            assert!(!text.is_empty() && text.chars().all(is_carried), "{text}");
            assert_eq!(decode(text), body);
        }
    }

    #[test]
    fn json_goes_as_it_is_and_what_others_sent_stays() {
        assert_eq!(encode(b"{\"key\": [1, null]}"), "{\"key\": [1, null]}");
        assert_eq!(decode(format!("{MARK}not base64!")), format!("{MARK}not base64!"));
    }
}
