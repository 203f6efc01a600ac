//! One text to be found, each of its characters in any of the ways in which text is escaped.
//!
//! Escapes are matched character by character and not as a few whole forms, because each program escapes a different set of characters. A
//! browser leaves a slash as it is, PHP escapes it in JSON, and a proxy escapes once more what was escaped already.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// A piece of Base64 with fewer characters would be found by chance.
const LEAST_BASE64: usize = 6;
/// From this length on a value is also found in other capitals, unless it is a mere word.
const LEAST_FOLDED: usize = 8;

/// HTML's names of what passwords and keys are made of.
const ENTITIES: &[(&str, char)] = &[
    ("amp", '&'),
    ("lt", '<'),
    ("gt", '>'),
    ("quot", '"'),
    ("apos", '\''),
    ("sol", '/'),
    ("bsol", '\\'),
    ("plus", '+'),
    ("equals", '='),
    ("num", '#'),
    ("percnt", '%'),
    ("dollar", '$'),
    ("excl", '!'),
    ("quest", '?'),
    ("commat", '@'),
    ("colon", ':'),
    ("semi", ';'),
    ("comma", ','),
    ("period", '.'),
    ("ast", '*'),
    ("lpar", '('),
    ("rpar", ')'),
    ("lbrack", '['),
    ("lsqb", '['),
    ("rbrack", ']'),
    ("rsqb", ']'),
    ("lbrace", '{'),
    ("lcub", '{'),
    ("rbrace", '}'),
    ("rcub", '}'),
    ("lowbar", '_'),
    ("grave", '`'),
    ("verbar", '|'),
    ("nbsp", ' '),
];

/// What to look for, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Escaped in any way, capitals as they are.
    Escaped,
    /// The same, in capitals or not.
    Folded,
    /// Base64, of either alphabet, escaped in any way.
    Base64,
    /// Byte by byte.
    Exact,
}

/// A text to be found.
#[derive(Debug)]
pub(super) struct Needle {
    how: How,
    text: Vec<char>,
    /// For [`How::Exact`].
    bytes: Vec<u8>,
}

/// All forms in which `secret` is looked for.
pub(super) fn of_secret(secret: &str) -> Vec<Needle> {
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(&json);
    let mut texts = vec![
        secret.to_owned(),
        json.to_owned(),
        utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::byte_serialize(secret.as_bytes()).collect(),
    ];
    texts.sort();
    texts.dedup();
    let is_word = secret.chars().all(char::is_alphabetic);
    let how = if secret.len() >= LEAST_FOLDED && !is_word { How::Folded } else { How::Escaped };
    let mut needles = vec![Needle::text(secret, how)];
    for text in &texts {
        needles.push(Needle::text(&hex::encode(text), How::Folded));
        needles.extend(base64_of(text).into_iter().map(|piece| Needle::text(&piece, How::Base64)));
    }
    for bytes in [u16::to_le_bytes, u16::to_be_bytes] {
        let bytes = secret.encode_utf16().flat_map(bytes).collect();
        needles.push(Needle { how: How::Exact, text: Vec::new(), bytes });
    }
    needles
}

/// The characters of Base64 that `text` alone decides, for each of the three places in a group where it can begin.
fn base64_of(text: &str) -> Vec<String> {
    let mut pieces = Vec::new();
    for before in 0..3 {
        let padded = [vec![0; before], text.as_bytes().to_vec()].concat();
        let encoded = STANDARD_NO_PAD.encode(&padded);
        let (first, behind) = ((before * 8).div_ceil(6), padded.len() * 8 / 6);
        let piece = encoded.get(first..behind).unwrap_or_default();
        if piece.len() >= LEAST_BASE64 {
            pieces.push(piece.to_owned());
        } else if before == 0 && encoded.len() >= LEAST_BASE64 {
            pieces.push(encoded);
        }
    }
    pieces
}

impl Needle {
    fn text(text: &str, how: How) -> Self {
        Needle { how, text: text.chars().collect(), bytes: Vec::new() }
    }

    /// Whether a match can begin with this byte.
    pub(super) fn may_begin_with(&self, byte: u8) -> bool {
        if self.how == How::Exact {
            return self.bytes.first() == Some(&byte);
        }
        let Some(first) = self.text.first().copied() else { return false };
        matches!(byte, b'%' | b'\\' | b'&' | b'=') || !self.plain(&[byte], 0, first, true).is_empty()
    }

    /// Where a match that begins at `at` ends.
    pub(super) fn end(&self, bytes: &[u8], at: usize) -> Option<usize> {
        if self.how == How::Exact {
            return bytes.get(at..)?.starts_with(&self.bytes).then_some(at + self.bytes.len());
        }
        let mut places = vec![at];
        for letter in &self.text {
            let mut next: Vec<usize> = places.iter().flat_map(|at| self.letter(bytes, *at, *letter)).collect();
            next.sort_unstable();
            next.dedup();
            if next.is_empty() {
                return None;
            }
            places = next;
        }
        places.last().copied()
    }

    /// Where `letter` ends that begins at `at`, for each way of writing it.
    fn letter(&self, bytes: &[u8], at: usize, letter: char) -> Vec<usize> {
        let mut ends = self.plain(bytes, at, letter, false);
        match bytes.get(at) {
            Some(b'%' | b'=') => {
                ends.extend(octets(bytes, at, letter));
                ends.extend(
                    hex_digits(bytes, at, "%u", 4).filter(|(_, value)| *value == u32::from(letter)).map(|(end, _)| end),
                );
            }
            Some(b'\\') => ends.extend(escape(bytes, at, letter)),
            Some(b'&') => ends.extend(entity(bytes, at, letter)),
            _ => {}
        }
        ends
    }

    /// The letter as it is, or what an alphabet or an encoding writes for it. `begins`: it is enough that the first byte fits.
    fn plain(&self, bytes: &[u8], at: usize, letter: char, begins: bool) -> Vec<usize> {
        let rest = bytes.get(at..).unwrap_or_default();
        let Some(first) = rest.first().copied() else { return Vec::new() };
        let mut buffer = [0; 4];
        let utf_8 = letter.encode_utf8(&mut buffer).as_bytes();
        let fits = if begins { utf_8.first() == Some(&first) } else { rest.starts_with(utf_8) };
        let mut ends = Vec::new();
        if fits {
            ends.push(at + utf_8.len());
        }
        let others: &[u8] = match (self.how, letter) {
            (How::Base64, '+') => b"-",
            (How::Base64, '/') => b"_",
            (How::Escaped | How::Folded, ' ') => b"+",
            _ => b"",
        };
        let folded =
            self.how == How::Folded && letter.is_ascii_alphabetic() && first.eq_ignore_ascii_case(&(letter as u8));
        let latin_1 = letter > '\u{7f}' && u8::try_from(u32::from(letter)) == Ok(first);
        if !fits && (others.contains(&first) || folded || latin_1) {
            ends.push(at + 1);
        }
        ends
    }
}

/// The bytes of a letter in UTF-8, each as `%2F`, escaped once or twice more, or as `=2F`.
fn octets(bytes: &[u8], mut at: usize, letter: char) -> Option<usize> {
    let mut buffer = [0; 4];
    for octet in letter.encode_utf8(&mut buffer).bytes() {
        let prefixes = ["%", "%25", "%2525", "="];
        let mut found = prefixes.iter().filter_map(|prefix| hex_digits(bytes, at, prefix, 2).next());
        at = found.find(|(_, value)| *value == u32::from(octet))?.0;
    }
    Some(at)
}

/// What `digits` hexadecimal digits after `prefix` say, and where they end.
fn hex_digits(bytes: &[u8], at: usize, prefix: &str, digits: usize) -> impl Iterator<Item = (usize, u32)> {
    let from = at + prefix.len();
    let found = bytes.get(at..from).filter(|there| *there == prefix.as_bytes()).and_then(|_| {
        let text = std::str::from_utf8(bytes.get(from..from + digits)?).ok()?;
        let plain = text.bytes().all(|digit| digit.is_ascii_hexdigit());
        u32::from_str_radix(text, 16).ok().filter(|_| plain).map(|value| (from + digits, value))
    });
    found.into_iter()
}

/// A letter after any number of backslashes: `\/`, `\"`, `\n`, `\u002f`, `\u{2f}`, `\x2f`.
fn escape(bytes: &[u8], at: usize, letter: char) -> Vec<usize> {
    let rest = bytes.get(at..).unwrap_or_default();
    let run = rest.iter().take_while(|byte| **byte == b'\\').count();
    if letter == '\\' {
        // However often it is escaped. The next letter decides how many of the run belong to this one.
        return (1..=run).map(|count| at + count).chain(unicode(bytes, at + run, letter)).collect();
    }
    let at = at + run;
    let mut buffer = [0; 4];
    let as_it_is = letter.encode_utf8(&mut buffer).as_bytes();
    let short = match letter {
        '\n' => b"n",
        '\r' => b"r",
        '\t' => b"t",
        '\u{8}' => b"b",
        '\u{c}' => b"f",
        _ => as_it_is,
    };
    // A backslash before a letter or a digit is an escape of something else.
    let means_itself = short != as_it_is || !letter.is_ascii_alphanumeric();
    let behind = bytes.get(at..).unwrap_or_default();
    let mut ends: Vec<usize> = unicode(bytes, at, letter).into_iter().collect();
    if means_itself && behind.starts_with(short) {
        ends.push(at + short.len());
    }
    ends
}

/// What stands after a backslash: `u002f` (two of them for what is beyond 16 bits), `u{2f}`, `x2f`.
fn unicode(bytes: &[u8], at: usize, letter: char) -> Option<usize> {
    let mut units = [0; 2];
    let units = letter.encode_utf16(&mut units);
    let mut end = at;
    let mut found = true;
    for (index, unit) in units.iter().enumerate() {
        let from =
            end + bytes.get(end..).unwrap_or_default().iter().take_while(|byte| index > 0 && **byte == b'\\').count();
        match hex_digits(bytes, from, "u", 4).next() {
            Some((behind, value)) if value == u32::from(*unit) => end = behind,
            _ => found = false,
        }
    }
    if found {
        return Some(end);
    }
    if bytes.get(at..)?.starts_with(b"u{") {
        let length = bytes.get(at + 2..)?.iter().take(7).position(|byte| *byte == b'}')?;
        let (end, value) = hex_digits(bytes, at, "u{", length).next()?;
        return (value == u32::from(letter)).then_some(end + 1);
    }
    let mut buffer = [0; 4];
    let mut end = at;
    for (index, octet) in letter.encode_utf8(&mut buffer).bytes().enumerate() {
        let from = end + bytes.get(end..)?.iter().take_while(|byte| index > 0 && **byte == b'\\').count();
        let (behind, value) = hex_digits(bytes, from, "x", 2).next()?;
        if value != u32::from(octet) {
            return None;
        }
        end = behind;
    }
    Some(end)
}

/// `&quot;`, `&#34;` or `&#x22;`, the `&` itself escaped any number of times.
fn entity(bytes: &[u8], at: usize, letter: char) -> Option<usize> {
    let mut from = at + 1;
    // `&amp;` alone is an ampersand; after it the name of another entity may go on.
    let mut whole = None;
    while let Some(rest) = bytes.get(from..).filter(|rest| rest.starts_with(b"amp;")) {
        from += b"amp;".len();
        whole = (letter == '&').then_some(from);
        if rest.len() == b"amp;".len() {
            break;
        }
    }
    let rest = bytes.get(from..).unwrap_or_default();
    let named = rest.iter().take(12).position(|byte| *byte == b';').and_then(|length| {
        let name = std::str::from_utf8(rest.get(..length)?).ok()?;
        let number = name.strip_prefix('#');
        let value = match number.map(|number| (number, number.strip_prefix(['x', 'X']))) {
            Some((_, Some(digits))) => u32::from_str_radix(digits, 16).ok().and_then(char::from_u32),
            Some((digits, None)) => digits.parse().ok().and_then(char::from_u32),
            None => ENTITIES.iter().find(|(known, _)| *known == name).map(|(_, letter)| *letter),
        };
        (value == Some(letter)).then_some(from + length + 1)
    });
    named.or(whole)
}
