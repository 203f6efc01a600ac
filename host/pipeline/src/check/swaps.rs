//! `[swap]` and `[signatures]`: how another plugin takes over, and whose plugins may.
//!
//! Does not verify a signature: that takes the component.

use crate::authored::{Node, Value};
use crate::code;
use crate::plan::{Compare, Percent, Swap, TrustedKey};
use crate::problem::{Findings, Wrong};
use crate::reader::{Section, wrong_type};

/// How many inputs a plugin is tried on if the file does not say.
const REHEARSE: u32 = 100;
/// How many inputs a comparison takes if the file does not say.
const COMPARE: u32 = 1000;

pub(super) fn swap(top: &Section<'_>, out: &mut Findings) -> Swap {
    let section = top.section("swap", "swap", out);
    let number = |key, range, default, out: &mut Findings| {
        usize::try_from(section.number(key, range, default, out)).unwrap_or(usize::MAX)
    };
    let inputs = number("compare", 1..=1_000_000, COMPARE, out);
    let canary = section.table.get("canary").is_some();
    let one = Percent::new(1).unwrap_or(Percent::WHOLE);
    let share = section.percent("canary", one, out);
    let shadow = section.flag("shadow", false, out);
    if let Some(entry) = section.table.get("canary").filter(|_| shadow) {
        let wrong = Wrong::new(code::NO_EFFECT, "`canary` beside `shadow = true`, which compares everything");
        out.error(&entry.key_at, wrong.hint("delete one of the two"));
    }
    if let Some(entry) = section.table.get("canary").filter(|_| share == Percent::new(0).unwrap_or(one)) {
        let wrong = Wrong::new(code::OUT_OF_RANGE, "`canary` compares nothing").expected("1% to 100%");
        out.error(&entry.node.at, wrong.hint("leave it out to let a plugin take over as soon as it was tried"));
    }
    let share = if shadow { Percent::WHOLE } else { share };
    Swap {
        watch: section.flag("watch", true, out),
        rehearse: number("rehearse", 0..=10_000, REHEARSE, out),
        compare: (canary || shadow).then_some(Compare { share, inputs }),
    }
}

pub(super) fn trusted_keys(top: &Section<'_>, out: &mut Findings) -> Vec<TrustedKey> {
    let section = top.section("signatures", "signatures", out);
    let Some(entry) = section.table.get("trusted_keys") else { return Vec::new() };
    let Value::Array(items) = &entry.node.value else {
        out.error(&entry.node.at, wrong_type("trusted_keys", "a list of keys", &entry.node));
        return Vec::new();
    };
    if items.is_empty() {
        let wrong = Wrong::new(code::EMPTY, "`trusted_keys` names no key, so that no plugin could be loaded");
        out.error(&entry.node.at, wrong.hint("delete it to load plugins without a signature"));
    }
    items.iter().filter_map(|item| trusted_key(item, out)).collect()
}

fn trusted_key(item: &Node, out: &mut Findings) -> Option<TrustedKey> {
    let Value::Text(text) = &item.value else {
        out.error(&item.at, wrong_type("trusted_keys", "a list of strings", item));
        return None;
    };
    if let Some(key) = TrustedKey::parse(text) {
        return Some(key);
    }
    let wrong = Wrong::new(code::BAD_KEY, format!("`{text}` is no public key"));
    let wrong = wrong.expected("`ed25519:` and 64 hexadecimal digits");
    out.error(&item.at, wrong.hint("`sluicebox plugin keygen FILE` makes a pair and prints the public key"));
    None
}
