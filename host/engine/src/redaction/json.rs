//! A body without secrets that is still JSON, if it was.
//!
//! Does not read what the document means: strings and numbers are looked at one by one, all else stays byte for byte.

use bytes::Bytes;
use pipeline::urls::REDACTED;
use serde::de::IgnoredAny;

use super::redactor::Redactor;

fn is_json(text: &[u8]) -> bool {
    serde_json::from_slice::<IgnoredAny>(text).is_ok()
}

impl Redactor {
    /// `body` without any secret: JSON stays JSON.
    #[must_use]
    pub fn redact_body(&self, body: &Bytes) -> Bytes {
        if !is_json(body) {
            return match self.redact_bytes(body) {
                std::borrow::Cow::Borrowed(_) => body.clone(),
                std::borrow::Cow::Owned(clean) => clean.into(),
            };
        }
        let clean = self.by_token(body);
        if !self.holds(&clean) {
            return if clean == body[..] { body.clone() } else { clean.into() };
        }
        // The secret is itself a piece of JSON, of several tokens.
        let quoted = format!("\"{REDACTED}\"");
        let candidates = [self.redact_bytes(&clean), self.replaced(&clean, quoted.as_bytes())];
        let valid = candidates.into_iter().find(|candidate| is_json(candidate));
        valid.map_or_else(|| quoted.into(), |clean| clean.into_owned().into())
    }

    fn by_token(&self, text: &[u8]) -> Vec<u8> {
        let mut clean = Vec::with_capacity(text.len());
        let mut rest = text;
        while let Some(first) = rest.first().copied() {
            let length = match first {
                b'"' => string_length(rest),
                b'-' | b'0'..=b'9' => rest.iter().take_while(|byte| is_of_number(**byte)).count(),
                _ => 1,
            };
            let (token, behind) = rest.split_at(length.clamp(1, rest.len()));
            match first {
                b'"' => clean.extend(self.string(token)),
                b'-' | b'0'..=b'9' if self.holds(token) => clean.extend(format!("\"{REDACTED}\"").bytes()),
                _ => clean.extend_from_slice(token),
            }
            rest = behind;
        }
        clean
    }

    /// A string without secrets, as it was written if it holds none.
    fn string(&self, token: &[u8]) -> Vec<u8> {
        let Ok(text) = serde_json::from_slice::<String>(token) else { return self.redact_bytes(token).into_owned() };
        match self.redact(&text) {
            std::borrow::Cow::Borrowed(_) => token.to_vec(),
            std::borrow::Cow::Owned(clean) => serde_json::to_vec(&clean).unwrap_or_default(),
        }
    }
}

fn is_of_number(byte: u8) -> bool {
    matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')
}

/// The length of the string that `text` begins with, quotes included.
fn string_length(text: &[u8]) -> usize {
    let mut escaped = false;
    for (index, byte) in text.iter().enumerate().skip(1) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = true,
            b'"' => return index + 1,
            _ => {}
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn redacted(secret: &str, body: &str) -> String {
        let clean = Redactor::of(secret).redact_body(&Bytes::from(body.to_owned()));
        String::from_utf8(clean.to_vec()).unwrap()
    }

    #[test]
    fn json_stays_json_whatever_stands_around_the_secret() {
        for (secret, body, expected) in [
            ("s3cret", r#"{"a": "x s3cret", "n": 1.10}"#, r#"{"a": "x [redacted]", "n": 1.10}"#),
            ("s3cret", r#"{"s3cret": ["s3cret"]}"#, r#"{"[redacted]": ["[redacted]"]}"#),
            // Not the secret to a JSON reader, but its bytes all the same.
            ("nabc", r#"["\nabc", "nabc"]"#, r#"["[redacted]", "[redacted]"]"#),
            ("a\"b\\c", r#"["<a\"b\\c>"]"#, r#"["<[redacted]>"]"#),
            (
                "12345",
                r#"{"pin": 12345, "n": 1.5, "s": "12345"}"#,
                r#"{"pin": "[redacted]", "n": 1.5, "s": "[redacted]"}"#,
            ),
            (r#"{"k": 1}"#, r#"{"is": {"k": 1}}"#, r#"{"is": "[redacted]"}"#),
            (
                "s3cret",
                r#"["\u00733cret", "\u0073\u0033cret", "{\"k\":\"s3\\u0063ret\"}"]"#,
                r#"["[redacted]", "[redacted]", "{\"k\":\"[redacted]\"}"]"#,
            ),
        ] {
            assert_eq!(redacted(secret, body), expected);
            assert!(is_json(expected.as_bytes()));
        }
    }

    #[test]
    fn a_body_without_a_secret_stays_byte_for_byte() {
        for body in ["{\"a\" : \"\\u0041\\/\" , \"n\":1e400}", "<html>", "", "{\"cut\": \"off", "\u{feff}{}"] {
            assert_eq!(redacted("s3cret", body), body);
        }
    }

    #[test]
    fn what_is_no_json_is_redacted_all_the_same() {
        assert_eq!(redacted("s3cret", "<a href=\"?k=s%33cret\">"), "<a href=\"?k=[redacted]\">");
        assert_eq!(redacted("nabc", "{\"a\":\"\\nabc\"} {}"), "{\"a\":\"[redacted]\"} {}");
    }
}
