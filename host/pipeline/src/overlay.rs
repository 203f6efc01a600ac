//! Laying one tree over another: `[target.NAME]` over the file, `--set` over both.
//!
//! Tables merge key by key; everything else replaces what was there. A table over `[[aggregate]]` picks its members by their
//! `name`. Does not check whether a key may be there: the reader does, and finds its place in the target or the argument.

use super::authored::{self, Entry, Node, Table, Value};
use super::code;
use super::problem::{Findings, Place, Wrong, did_you_mean};

/// Lays `over` over `base`.
pub(super) fn merge(base: &mut Table, over: Table, out: &mut Findings) {
    for entry in over.entries {
        match base.get_mut(&entry.key) {
            Some(under) => merge_node(&mut under.node, entry, out),
            None => base.entries.push(entry),
        }
    }
}

fn merge_node(under: &mut Node, over: Entry, out: &mut Findings) {
    match (&mut under.value, over.node) {
        (Value::Table(under), Node { value: Value::Table(table), .. }) => merge(under, table, out),
        (Value::Array(members), Node { value: Value::Table(table), .. }) => {
            pick_members(members, &over.key, table, out)
        }
        (_, node) => *under = node,
    }
}

fn pick_members(members: &mut [Node], list: &str, over: Table, out: &mut Findings) {
    for entry in over.entries {
        let names: Vec<&str> = members.iter().filter_map(member_name).collect();
        let Some(index) = names.iter().position(|name| *name == entry.key) else {
            let wrong = Wrong::new(code::UNKNOWN_KEY, format!("there is no `{list}` with the name `{}`", entry.key));
            let hint = did_you_mean(&entry.key, names.iter().copied());
            out.error(&entry.key_at, wrong.expected(one_of(names)).maybe_hint(hint));
            continue;
        };
        let named = members.iter_mut().filter(|member| member_name(member).is_some()).nth(index);
        if let Some(member) = named {
            merge_node(member, entry, out);
        }
    }
}

fn member_name(member: &Node) -> Option<&str> {
    let Value::Table(table) = &member.value else { return None };
    match &table.get("name")?.node.value {
        Value::Text(name) => Some(name),
        _ => None,
    }
}

/// Reads the `--set` argument `argument`, which is `KEY.PATH=VALUE`: the value in TOML, or else taken as text, unchanged.
pub(super) fn parse_set(argument: &str, source: usize, out: &mut Findings) -> Option<Table> {
    let whole = Place { source, span: 0..argument.len() };
    let shape = |message: &str| {
        Wrong::new(code::BAD_SET, message).expected("`KEY.PATH=VALUE`").hint("for example --set source.top_n=100")
    };
    let Some((path, value)) = split_at_equals(argument) else {
        out.error(&whole, shape("`--set` without a `=`"));
        return None;
    };
    let offset = path.len() + 1;
    let node = authored::parse_value(value, source, offset).unwrap_or_else(|| Node {
        at: Place { source, span: offset..argument.len() },
        value: Value::Text(value.to_owned()),
    });
    // The path is read as TOML reads a dotted key, quoted parts included.
    let mut ignored = Findings::default();
    let single_line = !path.contains(['\n', '[', '#']);
    let mut table = authored::parse(&format!("{path}=0"), source, &mut ignored)
        .filter(|table| single_line && table.entries.len() == 1 && !ignored.has_errors());
    match table.as_mut().and_then(leaf) {
        Some(place) => *place = node,
        None => {
            let message =
                if path.is_empty() { "`--set` without a key".to_owned() } else { format!("`{path}` is not a key") };
            out.error(&Place { source, span: 0..path.len() }, shape(&message));
            out.mask(&node.at);
            return None;
        }
    }
    table
}

/// At the first `=` that is not inside a quoted key.
fn split_at_equals(argument: &str) -> Option<(&str, &str)> {
    let mut quote = None;
    for (index, letter) in argument.char_indices() {
        match (quote, letter) {
            (None, '=') => return Some((argument.get(..index)?, argument.get(index + 1..)?)),
            (None, '"' | '\'') => quote = Some(letter),
            (Some(open), _) if open == letter => quote = None,
            _ => {}
        }
    }
    None
}

/// The innermost value of a table that has one key at each level.
fn leaf(table: &mut Table) -> Option<&mut Node> {
    let node = &mut table.entries.first_mut()?.node;
    if matches!(node.value, Value::Table(_)) {
        let Value::Table(inner) = &mut node.value else { return None };
        return leaf(inner);
    }
    Some(node)
}

/// Whether `at` lies in the text of `node`.
pub(super) fn covers(node: &Node, at: &Place) -> bool {
    let within =
        |place: &Place| place.source == at.source && place.span.start <= at.span.start && at.span.end <= place.span.end;
    within(&node.at)
        || match &node.value {
            Value::Table(table) => table.entries.iter().any(|entry| within(&entry.key_at) || covers(&entry.node, at)),
            Value::Array(items) => items.iter().any(|item| covers(item, at)),
            _ => false,
        }
}

/// `a`, `b` or `c`.
pub(super) fn one_of<'a>(words: impl IntoIterator<Item = &'a str>) -> String {
    let mut words: Vec<String> = words.into_iter().map(|word| format!("`{word}`")).collect();
    match words.pop() {
        None => "none".to_owned(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} or {last}", words.join(", ")),
    }
}
