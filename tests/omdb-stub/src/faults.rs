//! Answers for which call is to go wrong, and how: rules that a test sets, consumed in order.
//!
//! Does not carry a fault out; that is `wire`'s part.

use serde::{Deserialize, Serialize};

/// One way in which an answer can be bad.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Fault {
    /// A bare status, as from a proxy in front of the API.
    Status {
        /// 500, 502, 503, 429 or any other.
        status: u16,
        /// The `Retry-After` header, seconds or a date, as it is to be sent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        retry_after: Option<String>,
    },
    /// The right answer, late.
    Delay {
        /// How late.
        ms: u64,
    },
    /// 200 and well-formed HTTP, but the JSON ends in the middle.
    TruncatedJson,
    /// 200 and a web page where JSON should be.
    Html,
    /// The right answer, a byte at a time.
    SlowBody {
        /// Pause before each byte.
        ms_per_byte: u64,
    },
    /// A small gzip body that grows to this size.
    GzipBomb {
        /// Decoded size.
        mib: u32,
    },
    /// Latin-1 bytes that claim to be UTF-8.
    WrongCharset,
    /// A redirect to where cloud machines keep their credentials.
    Redirect {
        /// The `Location`.
        #[serde(default = "metadata_service")]
        to: String,
    },
    /// The key that came with the call, given back.
    Echo {
        /// How it is written.
        encoding: Encoding,
        /// Where it is.
        place: Place,
    },
    /// The connection is reset before the first byte of an answer.
    Reset,
    /// The head promises the whole body and the connection closes half-way.
    CloseMidBody,
}

/// How an echoed key is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Encoding {
    /// As it is.
    Plain,
    /// `%2F`, every character but letters and digits.
    Percent,
    /// `%2f`.
    PercentLower,
    /// `\u002f`, every character.
    Unicode,
    /// `&#x2f;`, every character but letters and digits.
    Html,
    /// Two digits a byte.
    Hex,
    /// Base64.
    Base64,
    /// Base64 of `user:KEY`, of the alphabet for URLs and without padding.
    Basic,
}

impl Encoding {
    /// All of them.
    pub const ALL: [Encoding; 8] = [
        Encoding::Plain,
        Encoding::Percent,
        Encoding::PercentLower,
        Encoding::Unicode,
        Encoding::Html,
        Encoding::Hex,
        Encoding::Base64,
        Encoding::Basic,
    ];

    /// `key`, written so.
    pub fn of(self, key: &str) -> String {
        use base64::Engine as _;
        let each = |odd: &dyn Fn(u8) -> String| -> String {
            key.bytes()
                .map(|byte| if byte.is_ascii_alphanumeric() { char::from(byte).to_string() } else { odd(byte) })
                .collect()
        };
        match self {
            Encoding::Plain => key.to_owned(),
            Encoding::Percent => each(&|byte| format!("%{byte:02X}")),
            Encoding::PercentLower => each(&|byte| format!("%{byte:02x}")),
            Encoding::Unicode => key.encode_utf16().map(|unit| format!("\\u{unit:04x}")).collect(),
            Encoding::Html => each(&|byte| format!("&#x{byte:x};")),
            Encoding::Hex => hex::encode(key),
            Encoding::Base64 => base64::engine::general_purpose::STANDARD.encode(key),
            Encoding::Basic => base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(format!("user:{key}")),
        }
    }
}

/// Where an echoed key is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Place {
    /// In the right answer, as a field.
    Document,
    /// In a web page with status 403.
    Page,
    /// In the headers of the right answer.
    Header,
    /// In the URL that a redirect leads to.
    Url,
}

impl Place {
    /// All of them.
    pub const ALL: [Place; 4] = [Place::Document, Place::Page, Place::Header, Place::Url];
}

fn metadata_service() -> String {
    "http://169.254.169.254/latest/meta-data/".to_owned()
}

/// When a fault happens. Without `next` and `every` it is every matching call.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What happens.
    pub fault: Fault,
    /// Only for so many matching calls from now on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<u64>,
    /// Only for every k-th matching call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub every: Option<u64>,
    /// Only for calls that ask for this title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

impl Rule {
    /// A rule for the next `calls` calls.
    pub fn next(fault: Fault, calls: u64) -> Self {
        Self { fault, next: Some(calls), every: None, title: None }
    }

    /// A rule for every `k`-th call.
    pub fn every(fault: Fault, k: u64) -> Self {
        Self { fault, next: None, every: Some(k), title: None }
    }

    /// What makes a rule meaningless, if anything.
    pub(crate) fn problem(&self) -> Option<String> {
        match (&self.fault, self.every) {
            (_, Some(0)) => Some("`every` must be at least 1".to_owned()),
            (Fault::Status { status, .. }, _) if !(200..=599).contains(status) => {
                Some(format!("`status` must be 200 to 599, got {status}"))
            }
            _ => None,
        }
    }
}

/// The rules in force, each with how many matching calls it has seen.
#[derive(Default)]
pub(crate) struct Faults {
    rules: Vec<(Rule, u64)>,
}

impl Faults {
    pub(crate) fn add(&mut self, rule: Rule) {
        self.rules.push((rule, 0));
    }

    pub(crate) fn clear(&mut self) {
        self.rules.clear();
    }

    /// Rules that can still strike; `next` shows what is left.
    pub(crate) fn list(&self) -> Vec<Rule> {
        self.rules.iter().map(|(rule, _)| rule.clone()).collect()
    }

    /// The fault for this call, if one is due: the oldest rule that strikes wins and only it is used up.
    pub(crate) fn strike(&mut self, title: Option<&str>) -> Option<Fault> {
        let mut due = None;
        for (rule, seen) in &mut self.rules {
            let matches = match (&rule.title, title) {
                (None, _) => true,
                (Some(wanted), Some(title)) => wanted.eq_ignore_ascii_case(title),
                (Some(_), None) => false,
            };
            if !matches || due.is_some() {
                continue;
            }
            *seen += 1;
            if rule.every.is_some_and(|k| !seen.is_multiple_of(k)) {
                continue;
            }
            if let Some(left) = &mut rule.next {
                if *left == 0 {
                    continue;
                }
                *left -= 1;
            }
            due = Some(rule.fault.clone());
        }
        self.rules.retain(|(rule, _)| rule.next != Some(0));
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hits(faults: &mut Faults, calls: usize) -> Vec<bool> {
        (0..calls).map(|_| faults.strike(None).is_some()).collect()
    }

    #[test]
    fn next_strikes_so_many_times_and_is_gone() {
        let mut faults = Faults::default();
        faults.add(Rule::next(Fault::Html, 2));
        assert_eq!(hits(&mut faults, 3), [true, true, false]);
        assert!(faults.list().is_empty());
    }

    #[test]
    fn every_strikes_each_kth_call() {
        let mut faults = Faults::default();
        faults.add(Rule::every(Fault::Reset, 3));
        assert_eq!(hits(&mut faults, 6), [false, false, true, false, false, true]);
    }

    #[test]
    fn rules_are_used_up_one_after_the_other() {
        let mut faults = Faults::default();
        faults.add(Rule::next(Fault::Html, 1));
        faults.add(Rule::next(Fault::Reset, 1));
        assert_eq!(faults.strike(None), Some(Fault::Html));
        assert_eq!(faults.strike(None), Some(Fault::Reset));
        assert_eq!(faults.strike(None), None);
    }

    #[test]
    fn a_title_limits_a_rule() {
        let mut faults = Faults::default();
        faults.add(Rule { title: Some("Alien".to_owned()), ..Rule::next(Fault::Html, 1) });
        assert_eq!(faults.strike(Some("Aliens")), None);
        assert_eq!(faults.strike(None), None);
        assert_eq!(faults.strike(Some("alien")), Some(Fault::Html));
    }

    #[test]
    fn an_unknown_field_is_refused() {
        let text = r#"{"fault": {"kind": "html"}, "nxt": 3}"#;
        assert!(serde_json::from_str::<Rule>(text).is_err());
    }
}
