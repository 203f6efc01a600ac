//! `[secrets]` and `[endpoints]`: the only doors out, and the keys to them.
//!
//! Does not read a secret and calls nothing.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroU32;
use std::time::Duration;

use crate::authored::{Entry, Value};
use crate::code;
use crate::overlay::one_of;
use crate::plan::{Endpoint, Rate, SecretRef, Template, TemplatePart};
use crate::problem::{Findings, Place, Wrong, did_you_mean};
use crate::reader::{Section, text_of};
use crate::uris;
use crate::values;

/// The headers that belong to the connection and not to the request.
const OWN_HEADERS: &[&str] = &[
    "accept-encoding",
    "connection",
    "content-length",
    "expect",
    "host",
    "keep-alive",
    "proxy-authorization",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Names of headers and parameters that mostly hold a credential.
const CREDENTIALS: &[&str] = &[
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "authorization",
    "cookie",
    "password",
    "token",
    "x-api-key",
    "x-auth-token",
];

/// The declared secrets.
#[derive(Debug, Default)]
pub(super) struct Declared {
    secrets: BTreeMap<String, (Place, Option<SecretRef>)>,
}

impl Declared {
    pub(super) fn into_plan(self) -> BTreeMap<String, SecretRef> {
        self.secrets.into_iter().filter_map(|(name, (_, reference))| Some((name, reference?))).collect()
    }
}

pub(super) fn secrets(top: &Section<'_>, out: &mut Findings) -> Declared {
    let mut declared = Declared::default();
    for entry in &top.names("secrets", out).table.entries {
        out.take(&entry.key_at, values::name(&entry.key));
        let reference = text_of(entry, out).map(values::secret);
        if !matches!(reference, Some(Ok(_))) {
            // Any other text here is most likely the secret itself.
            out.mask(&entry.node.at);
        }
        let reference = reference.and_then(|reference| out.take(&entry.node.at, reference));
        declared.secrets.insert(entry.key.clone(), (entry.key_at.clone(), reference));
    }
    declared
}

pub(super) fn endpoints(top: &Section<'_>, declared: &Declared, out: &mut Findings) -> BTreeMap<String, Endpoint> {
    let used = RefCell::new(BTreeSet::new());
    let section = top.names("endpoints", out);
    let mut endpoints = BTreeMap::new();
    for entry in &section.table.entries {
        out.take(&entry.key_at, values::name(&entry.key));
        let one = section.section(&entry.key, "endpoints.*", out);
        if let Some(endpoint) = endpoint(&one, declared, &used, out) {
            endpoints.insert(entry.key.clone(), endpoint);
        }
        if top.table.get("enrich").is_none() {
            let wrong = Wrong::new(code::UNUSED_ENDPOINT, format!("nothing can call endpoint `{}`", entry.key));
            out.warn(
                &entry.key_at,
                wrong.hint("only an `[enrich]` plugin makes requests: add one, or delete the endpoint"),
            );
        }
    }
    let used = used.into_inner();
    let unused = declared.secrets.iter().filter(|(name, (_, reference))| reference.is_some() && !used.contains(*name));
    for (name, (at, _)) in unused {
        let wrong = Wrong::new(code::UNUSED_SECRET, format!("secret `{name}` is not used"));
        let hint = format!("use it in an endpoint as `{{secret:{name}}}`, or delete it");
        out.warn(at, wrong.hint(hint));
    }
    endpoints
}

fn endpoint(
    section: &Section<'_>,
    declared: &Declared,
    used: &RefCell<BTreeSet<String>>,
    out: &mut Findings,
) -> Option<Endpoint> {
    section.require("url", "url = \"https://api.example.com/\"", out);
    let url = section.parsed("url", uris::base_url, out);
    let second = Duration::from_secs(1);
    let template = |entry: &Entry, out: &mut Findings| template(entry, declared, used, out);
    let query = section.names("query", out).table.entries.iter();
    let query = query.filter_map(|entry| Some((entry.key.clone(), template(entry, out)?))).collect();
    let mut headers = Vec::new();
    for entry in &section.names("headers", out).table.entries {
        let name = out.take(&entry.key_at, header_name(&entry.key));
        let value = template(entry, out).filter(|value| header_value(value, entry, out));
        headers.extend(name.zip(value));
    }
    let attempts = section.number("attempts", 1..=20, 4, out);
    Some(Endpoint {
        query,
        headers,
        rate: rate(section, out),
        timeout: section.duration("timeout", second / 10..=300 * second, 10 * second, out),
        attempts: NonZeroU32::new(attempts)?,
        max_body: section.size("max_body", 1 << 10..=64 << 20, 1 << 20, out),
        url: url?,
    })
}

fn rate(section: &Section<'_>, out: &mut Findings) -> Option<Rate> {
    // One at a time by default: a bucket that starts full lets through twice the rate in its first second.
    let burst = section.number("burst", 1..=10_000, 1, out);
    if let (Some(entry), None) = (section.table.get("burst"), section.table.get("rate")) {
        let wrong = Wrong::new(code::NO_EFFECT, "`burst` without `rate` has no effect");
        out.error(&entry.key_at, wrong.hint("add for example `rate = \"10/s\"`"));
    }
    let (count, per) = section.parsed("rate", values::rate, out)?;
    Some(Rate { interval: per / count, burst: NonZeroU32::new(burst)? })
}

fn template(
    entry: &Entry,
    declared: &Declared,
    used: &RefCell<BTreeSet<String>>,
    out: &mut Findings,
) -> Option<Template> {
    let text = text_of(entry, out)?;
    let template = out.take(&entry.node.at, values::template(text))?;
    let mut has_secret = false;
    for part in &template.0 {
        let TemplatePart::Secret(name) = part else { continue };
        has_secret = true;
        used.borrow_mut().insert(name.clone());
        if !declared.secrets.contains_key(name) {
            let names = || declared.secrets.keys().map(String::as_str);
            let wrong = Wrong::new(code::UNDECLARED_SECRET, format!("secret `{name}` is not declared"));
            let declare =
                format!("declare it: `[secrets]` with `{name} = \"env:{}\"`", name.to_uppercase().replace('-', "_"));
            let hint = did_you_mean(name, names()).unwrap_or(declare);
            let wrong = if declared.secrets.is_empty() { wrong } else { wrong.expected(one_of(names())) };
            out.error(&entry.node.at, wrong.hint(hint));
        }
    }
    if !has_secret && CREDENTIALS.contains(&entry.key.to_lowercase().as_str()) {
        out.mask(&entry.node.at);
        let wrong = Wrong::new(code::PLAIN_SECRET, format!("`{}` looks like a credential in plain text", entry.key));
        out.warn(&entry.node.at, wrong.hint("declare it in `[secrets]` and write `{secret:NAME}` here"));
    }
    Some(template)
}

fn header_name(name: &str) -> Result<String, Wrong> {
    let lower = name.to_lowercase();
    let token = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
    if lower.is_empty() || !lower.chars().all(token) {
        let wrong = Wrong::new(code::BAD_HEADER, format!("`{}` is not the name of a header", name.escape_debug()));
        return Err(wrong.expected("letters, digits and `-`"));
    }
    if OWN_HEADERS.contains(&lower.as_str()) {
        return Err(
            Wrong::new(code::BAD_HEADER, format!("the host sets the header `{lower}` itself")).hint("delete it")
        );
    }
    Ok(lower)
}

fn header_value(value: &Template, entry: &Entry, out: &mut Findings) -> bool {
    let printable = value.0.iter().all(|part| match part {
        TemplatePart::Text(text) => text.chars().all(|c| c == '\t' || (' '..='~').contains(&c)),
        TemplatePart::Secret(_) => true,
    });
    if !printable && matches!(entry.node.value, Value::Text(_)) {
        let wrong =
            Wrong::new(code::BAD_HEADER, format!("header `{}` holds a character that headers cannot carry", entry.key));
        out.error(&entry.node.at, wrong.expected("printable ASCII, no line breaks"));
    }
    printable
}
