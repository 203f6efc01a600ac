//! The list of registered secrets: where in some bytes any of them is, and what stands in its place.
//!
//! Does not know what the bytes are. Never removes a value: a service may still echo the one before a rotation.

use std::borrow::Cow;
use std::ops::Range;
use std::sync::{Arc, PoisonError, RwLock};

use pipeline::urls::{REDACTED, SHORTEST};

use super::needle::{self, Needle};

/// Knows every registered secret. Clones share one list.
#[derive(Clone, Default)]
pub struct Redactor(Arc<RwLock<Known>>);

#[derive(Default)]
struct Known {
    values: Vec<String>,
    needles: Vec<Needle>,
    /// The needles that a match with this first byte may be of.
    by_first_byte: Vec<Vec<usize>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// A redactor of one secret.
    #[must_use]
    pub fn of(secret: &str) -> Self {
        let redactor = Redactor::default();
        redactor.register(secret);
        redactor
    }

    /// Registers `secret`, so that it is found from now on. Returns whether it is long enough for that.
    pub fn register(&self, secret: &str) -> bool {
        if secret.len() < SHORTEST {
            return false;
        }
        let is_known = |known: &Known| known.values.iter().any(|value| value == secret);
        if is_known(&self.0.read().unwrap_or_else(PoisonError::into_inner)) {
            return true;
        }
        let mut known = self.0.write().unwrap_or_else(PoisonError::into_inner);
        if !is_known(&known) {
            known.values.push(secret.to_owned());
            known.needles.extend(needle::of_secret(secret));
            let firsts = |byte: u8| {
                let needles = known.needles.iter().enumerate();
                needles.filter(|(_, needle)| needle.may_begin_with(byte)).map(|(index, _)| index).collect()
            };
            known.by_first_byte = (0..=u8::MAX).map(firsts).collect();
        }
        true
    }

    /// Whether a secret is in `bytes`.
    #[must_use]
    pub fn holds(&self, bytes: &[u8]) -> bool {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        known.matches(bytes).next().is_some()
    }

    /// `text` without any secret.
    #[must_use]
    pub fn redact<'t>(&self, text: &'t str) -> Cow<'t, str> {
        match self.redact_bytes(text.as_bytes()) {
            Cow::Borrowed(_) => Cow::Borrowed(text),
            Cow::Owned(bytes) => Cow::Owned(String::from_utf8_lossy(&bytes).into_owned()),
        }
    }

    /// `bytes` without any secret.
    #[must_use]
    pub fn redact_bytes<'t>(&self, bytes: &'t [u8]) -> Cow<'t, [u8]> {
        self.replaced(bytes, REDACTED.as_bytes())
    }

    pub(super) fn replaced<'t>(&self, bytes: &'t [u8], with: &[u8]) -> Cow<'t, [u8]> {
        let places = self.places(bytes);
        if places.is_empty() {
            return Cow::Borrowed(bytes);
        }
        let mut clean = Vec::with_capacity(bytes.len());
        let mut from = 0;
        for place in places {
            clean.extend_from_slice(bytes.get(from..place.start).unwrap_or_default());
            clean.extend_from_slice(with);
            from = place.end;
        }
        clean.extend_from_slice(bytes.get(from..).unwrap_or_default());
        Cow::Owned(clean)
    }

    /// Where secrets are, in order and without overlap.
    fn places(&self, bytes: &[u8]) -> Vec<Range<usize>> {
        let known = self.0.read().unwrap_or_else(PoisonError::into_inner);
        let mut places: Vec<Range<usize>> = Vec::new();
        for mut place in known.matches(bytes) {
            // What is left of `\n` before a secret that begins with `n` would escape the next character.
            let before = bytes.get(..place.start).unwrap_or_default();
            let backslashes = before.iter().rev().take_while(|byte| **byte == b'\\').count();
            if backslashes % 2 == 1 {
                place.start -= 1;
            }
            match places.last_mut().filter(|last| place.start <= last.end) {
                Some(last) => last.end = last.end.max(place.end),
                None => places.push(place),
            }
        }
        places
    }
}

impl Known {
    /// The longest match at each place where there is one.
    fn matches<'k>(&'k self, bytes: &'k [u8]) -> impl Iterator<Item = Range<usize>> + 'k {
        bytes.iter().enumerate().filter_map(|(at, byte)| {
            let candidates = self.by_first_byte.get(usize::from(*byte))?;
            let ends = candidates.iter().filter_map(|index| self.needles.get(*index)?.end(bytes, at));
            ends.max().map(|end| at..end)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CANARY: &str = "canary/7f3a+9c \"5e\"&<é>";

    /// The canary as services, proxies and libraries write it.
    fn echoes() -> Vec<(&'static str, String)> {
        use base64::Engine as _;
        use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
        let percent = percent_encoding::utf8_percent_encode(CANARY, percent_encoding::NON_ALPHANUMERIC).to_string();
        let json = serde_json::to_string(CANARY).unwrap();
        let escaped: String = CANARY.encode_utf16().map(|unit| format!("\\u{unit:04X}")).collect();
        let entities: String = CANARY.chars().map(|c| format!("&#x{:x};", u32::from(c))).collect();
        let numbers: String = CANARY.chars().map(|c| format!("&#{};", u32::from(c))).collect();
        let hex = hex::encode(CANARY);
        let repr: String = CANARY.bytes().map(|byte| format!("\\x{byte:02x}")).collect();
        let basic = |user: &str| STANDARD.encode(format!("{user}:{CANARY}@"));
        let utf_16: Vec<u8> = CANARY.encode_utf16().flat_map(u16::to_le_bytes).collect();
        vec![
            ("plain", CANARY.to_owned()),
            ("percent", percent.clone()),
            ("percent, lower case", percent.to_lowercase()),
            ("percent twice", percent.replace('%', "%25")),
            ("form", url::form_urlencoded::byte_serialize(CANARY.as_bytes()).collect()),
            ("what a browser leaves", "canary/7f3a%2B9c%20%225e%22%26%3C%C3%A9%3E".to_owned()),
            ("json", json.trim_matches('"').to_owned()),
            ("json with escaped slashes", json.trim_matches('"').replace('/', "\\/")),
            (
                "json in json",
                serde_json::to_string(&json).unwrap().trim_matches('"').replace("\\\\\\\"", "\\\\\"").to_owned(),
            ),
            ("unicode escapes", escaped.clone()),
            ("unicode escapes, lower case", escaped.to_lowercase()),
            ("html", "canary/7f3a+9c &quot;5e&quot;&amp;&lt;é&gt;".to_owned()),
            ("html twice", "canary/7f3a+9c &amp;quot;5e&amp;quot;&amp;amp;&amp;lt;é&amp;gt;".to_owned()),
            ("html in hexadecimal", entities),
            ("html in numbers", numbers),
            ("hex", hex.clone()),
            ("HEX", hex.to_uppercase()),
            ("repr", repr),
            ("base64", STANDARD.encode(CANARY)),
            ("base64 without padding", STANDARD_NO_PAD.encode(CANARY)),
            ("base64url", URL_SAFE.encode(CANARY)),
            ("base64url without padding", URL_SAFE_NO_PAD.encode(CANARY)),
            ("basic, one off", basic("ab")),
            ("basic, two off", basic("abc")),
            ("basic, aligned", basic("abcde")),
            ("base64 in a query", STANDARD.encode(CANARY).replace('+', "%2B").replace('/', "%2f").replace('=', "%3D")),
            ("base64 of a query", STANDARD.encode(format!("?apikey={percent}&x=1"))),
            ("capitals", CANARY.to_uppercase().replace('É', "é")),
            ("utf-16", String::from_utf8(utf_16.iter().map(|b| if *b < 0x80 { *b } else { b'?' }).collect()).unwrap()),
        ]
    }

    #[test]
    fn a_secret_is_found_in_every_encoding_in_which_it_travels() {
        let redactor = Redactor::of(CANARY);
        for (name, echo) in echoes().into_iter().filter(|(name, _)| *name != "utf-16") {
            let text = format!("before <{echo}> behind");
            assert!(redactor.holds(text.as_bytes()), "{name}: {echo}");
            let redacted = redactor.redact(&text);
            assert!(redacted.starts_with("before <") && redacted.ends_with("> behind"), "{name}: {redacted}");
            assert!(redacted.contains(REDACTED) && !redacted.contains("7f3a"), "{name}: {redacted}");
            assert!(!redactor.holds(redacted.as_bytes()), "{name}: {redacted}");
        }
        for utf_16 in [u16::to_le_bytes, u16::to_be_bytes] {
            let bytes: Vec<u8> = CANARY.encode_utf16().flat_map(utf_16).collect();
            assert_eq!(&*redactor.redact_bytes(&bytes), REDACTED.as_bytes());
        }
    }

    #[test]
    fn what_only_looks_alike_stays() {
        let redactor = Redactor::of("canary-7f3a");
        for text in
            ["canary-7f3b", "canary 7f3a", "7f3a", "can&ary-7f3a", "%63%61%6e%61%72%79", "Y2FuYXJ5", "[redacted]"]
        {
            assert_eq!(redactor.redact(text), text);
        }
    }

    #[test]
    fn a_secret_that_contains_or_overlaps_another_goes_whole() {
        let redactor = Redactor::of("keys");
        redactor.register("keys-and-more");
        redactor.register("and-more-than-that");
        assert_eq!(redactor.redact("keys-and-more, keys"), "[redacted], [redacted]");
        assert_eq!(redactor.redact("<keys-and-more-than-that>"), "<[redacted]>");
    }

    #[test]
    fn a_clone_knows_what_is_registered_later_and_the_value_before_a_rotation() {
        let redactor = Redactor::of("the-old-one");
        let clone = redactor.clone();
        assert!(redactor.register("the-new-one"));
        assert_eq!(clone.redact("the-old-one the-new-one"), "[redacted] [redacted]");
    }

    #[test]
    fn a_value_too_short_to_be_told_from_chance_blots_nothing() {
        let redactor = Redactor::default();
        assert!(!redactor.register("") && !redactor.register("abc"));
        assert_eq!(redactor.redact("abc abc"), "abc abc");
        assert!(redactor.register("s3cr"));
        assert_eq!(redactor.redact("a s3cr and S3CR"), "a [redacted] and S3CR");
    }
}
