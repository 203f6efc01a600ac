//! Reads JSON: one object a line, or one list of objects, also one within a document.
//!
//! A line or element that is no record is refused alone. `instead_*` says what a text is that does not fit its format.

use pipeline::plan::Source;
use records::document::{self, Unfit};
use records::record::Record;

use super::error::Damage;
use super::scan::Scan;
use super::sink::Sink;
use super::text;

/// One object a line; blank lines do not count.
pub(super) fn read_lines(source: &Source, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Damage> {
    let text = text::open(source, bytes)?;
    for (line, number) in text.split(|byte| *byte == b'\n').zip(1_u64..) {
        let line = line.trim_ascii();
        if !line.is_empty() {
            one(source, line, number, sink);
        }
    }
    Ok(())
}

/// One list of objects: the text itself, or what `[source] records` points to in it.
pub(super) fn read_array(source: &Source, bytes: &[u8], sink: &mut Sink<'_>) -> Result<(), Damage> {
    let text = text::open(source, bytes)?;
    let mut scan = Scan::new(text);
    if let Some(pointer) = &source.records {
        // What stands around the list is not read, but must be whole: a file that was cut after the list is damaged.
        let mut whole = Scan::new(text);
        whole.value()?;
        nothing_behind(&mut whole)?;
        seek(&mut scan, pointer)?;
    }
    if scan.peek() != Some(b'[') {
        return Err(instead_of_list(source, scan));
    }
    elements(source, &mut scan, sink)?;
    match source.records {
        Some(_) => Ok(()),
        None => nothing_behind(&mut scan),
    }
}

fn elements(source: &Source, scan: &mut Scan<'_>, sink: &mut Sink<'_>) -> Result<(), Damage> {
    scan.takes(b'[');
    if scan.takes(b']') {
        sink.notice(format!("source `{}` holds an empty list: no record", source.location));
        return Ok(());
    }
    loop {
        scan.peek();
        let line = scan.line();
        let range = scan.element()?;
        if range.is_empty() {
            let what =
                if scan.peek() == Some(b']') { "behind the last element" } else { "without an element before it" };
            let damage = Damage::at_line(line, format!("found a comma {what}"));
            return Err(damage.hint("JSON has no such comma: take it out of the source"));
        }
        one(source, scan.text(range), line, sink);
        if scan.takes(b']') {
            return Ok(());
        }
        scan.takes(b',');
    }
}

fn nothing_behind(scan: &mut Scan<'_>) -> Result<(), Damage> {
    match scan.peek() {
        None => Ok(()),
        Some(byte) => {
            Err(Damage::at_line(scan.line(), format!("found {} behind the end of the JSON text", shown(byte))))
        }
    }
}

/// A record, or a line that is no record.
fn one(source: &Source, piece: &[u8], line: u64, sink: &mut Sink<'_>) {
    match record(piece) {
        Ok(record) => sink.record(line, record),
        Err(unfit) => {
            let mut reason = text::not_utf8(piece).unwrap_or_else(|| told(&unfit, line));
            if std::str::from_utf8(piece).is_err() {
                reason = format!("{reason}; {}", text::to_utf8(source));
            }
            sink.bad(line, piece, reason);
        }
    }
}

fn record(piece: &[u8]) -> Result<Record, Unfit> {
    let mut unfit = match document::record(piece) {
        Ok(record) => return Ok(record),
        Err(unfit) => unfit,
    };
    if unfit.reason == "trailing characters" {
        let mut scan = Scan::new(piece);
        let first = scan.value().is_ok_and(|range| document::check_bytes(scan.text(range)).is_ok());
        if first && scan.peek() == Some(b'{') {
            unfit.reason = "a second object without a line break or comma before it".to_owned();
        }
    }
    Err(unfit)
}

/// What is wrong, with lines counted in the file.
fn told(unfit: &Unfit, line: u64) -> String {
    let within = u64::try_from(unfit.line).unwrap_or(1);
    match (within, unfit.column) {
        (0, _) | (_, 0) => unfit.reason.clone(),
        (1, column) => format!("{}, at column {column}", unfit.reason),
        (within, column) => format!("{}, at line {} column {column}", unfit.reason, line + within - 1),
    }
}

/// Goes to what a JSON pointer (RFC 6901) names.
fn seek(scan: &mut Scan<'_>, pointer: &str) -> Result<(), Damage> {
    for token in pointer.split('/').skip(1) {
        let token = token.replace("~1", "/").replace("~0", "~");
        let lists = lists_in(scan.clone());
        let found = match scan.peek() {
            Some(b'{') => member(scan, &token)?,
            Some(b'[') => nth(scan, &token)?,
            _ => false,
        };
        if !found {
            let damage = Damage::whole(format!("there is nothing at `{pointer}`, which `records` names"));
            return Err(match lists.as_slice() {
                [] => damage.hint("`records` is a JSON pointer to the list of records, such as `/data`"),
                lists => damage.hint(format!("the lists there are {}", written(lists))),
            });
        }
    }
    Ok(())
}

/// Goes to the value of a member of the object that begins here.
fn member(scan: &mut Scan<'_>, name: &str) -> Result<bool, Damage> {
    scan.takes(b'{');
    while scan.peek() == Some(b'"') {
        let line = scan.line();
        let key = scan.value()?;
        let key: String = serde_json::from_slice(scan.text(key))
            .map_err(|error| Damage::at_line(line, format!("a key is not text: {error}")))?;
        if !scan.takes(b':') {
            return Err(Damage::at_line(scan.line(), format!("expected `:` behind the key `{key}`")));
        }
        if key == name {
            return Ok(true);
        }
        scan.value()?;
        scan.takes(b',');
    }
    Ok(false)
}

/// Goes to an element of the list that begins here.
fn nth(scan: &mut Scan<'_>, index: &str) -> Result<bool, Damage> {
    let Ok(index) = index.parse::<usize>() else { return Ok(false) };
    scan.takes(b'[');
    for _ in 0..index {
        scan.element()?;
        if !scan.takes(b',') {
            return Ok(false);
        }
    }
    Ok(!matches!(scan.peek(), None | Some(b']')))
}

/// Pointers to the lists of objects that the object which begins here has as members; most have one.
fn lists_in(mut scan: Scan<'_>) -> Vec<String> {
    let mut lists = Vec::new();
    if !scan.takes(b'{') {
        return lists;
    }
    while scan.peek() == Some(b'"') {
        let Ok(key) = scan.value() else { break };
        let Ok(key) = serde_json::from_slice::<String>(scan.text(key)) else { break };
        if !scan.takes(b':') {
            break;
        }
        let Ok(value) = scan.value() else { break };
        if scan.text(value).strip_prefix(b"[").is_some_and(|rest| rest.trim_ascii_start().starts_with(b"{")) {
            lists.push(format!("/{}", key.replace('~', "~0").replace('/', "~1")));
        }
        scan.takes(b',');
    }
    lists
}

fn written(pointers: &[String]) -> String {
    pointers.iter().map(|pointer| format!("`{pointer}`")).collect::<Vec<_>>().join(", ")
}

fn shown(byte: u8) -> String {
    if byte.is_ascii_graphic() { format!("`{}`", char::from(byte)) } else { format!("byte 0x{byte:02X}") }
}

/// What stands where a list of records should begin.
fn instead_of_list(source: &Source, mut scan: Scan<'_>) -> Damage {
    let (line, within) = (scan.line(), source.records.is_some());
    let start = scan.clone();
    match scan.peek() {
        Some(b'{') => {}
        Some(b'/' | b'#') => {
            let damage = Damage::at_line(line, "found a comment, which JSON does not have; expected a list of objects");
            return damage.hint("take the comments out of the source");
        }
        _ => {
            let found: String = String::from_utf8_lossy(scan.rest_of_line()).chars().take(40).collect();
            let damage = Damage::at_line(line, format!("found `{found}`, expected a list of objects"));
            return damage.hint(match table_like(found.as_bytes()) {
                true => "if it is CSV: `format = \"csv\"` under `[source]`",
                false => {
                    "a source without records is `[]`; of another document `records` under `[source]` names the list"
                }
            });
        }
    }
    if let Err(damage) = scan.value() {
        return damage;
    }
    let lists = lists_in(start);
    if let Some(list) = lists.first() {
        let prefix = source.records.as_deref().unwrap_or_default();
        let damage = Damage::at_line(line, format!("found one object with lists in it: {}", written(&lists)));
        return damage.hint(format!("if those are the records: `records = \"{prefix}{list}\"` under `[source]`"));
    }
    if within {
        return Damage::at_line(line, "found one object, expected a list of objects");
    }
    let several = scan.peek().is_some();
    let found = if several { "objects one behind the other" } else { "one object" };
    let damage = Damage::at_line(line, format!("found {found}, expected a list of objects"));
    let own_line = if several { scan.line() > 1 } else { scan.line() == 1 || scan.line() == line };
    damage.hint(if own_line && several {
        "if each stands on a line of its own: `format = \"jsonl\"` under `[source]`".to_owned()
    } else if own_line {
        "if that object is the only record: `format = \"jsonl\"` under `[source]`".to_owned()
    } else {
        one_a_line(source)
    })
}

fn one_a_line(source: &Source) -> String {
    let location = source.location.to_string();
    let name = location.rsplit(['/', '\\']).next().unwrap_or(&location);
    let stem = name.rsplit_once('.').map_or(name, |(stem, _)| stem);
    format!(
        "write one object a line, for example `jq -c . {name} > {stem}-lines.jsonl`, and name that as `uri` under `[source]`"
    )
}

/// Whether a line looks like one of a table.
fn table_like(line: &[u8]) -> bool {
    line.iter().any(|byte| b",;\t".contains(byte)) && !line.starts_with(b"{") && !line.starts_with(b"[")
}

/// How the first value of a text stands in its lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shape {
    /// It ends on the line on which it begins.
    OnOneLine,
    /// It ends on a later line, so that no line is a value of its own.
    OverLines,
}

/// What a text is if its lines are no records.
pub(super) fn instead_of_lines(source: &Source, bytes: &[u8]) -> Option<(Shape, Damage)> {
    let text = text::open(source, bytes).ok()?;
    let mut scan = Scan::new(text);
    let first = scan.peek()?;
    let (start, begun) = (scan.clone(), scan.line());
    if table_like(scan.rest_of_line()) {
        let damage = Damage::at_line(begun, "found text, expected one object a line");
        return Some((Shape::OnOneLine, damage.hint("if it is CSV: `format = \"csv\"` under `[source]`")));
    }
    if scan.value().is_err() {
        return None;
    }
    let shape = if scan.line() > begun { Shape::OverLines } else { Shape::OnOneLine };
    let damage = match first {
        b'[' => {
            let damage = Damage::at_line(begun, "found a list, expected one object a line");
            damage.hint("if its elements are the records: `format = \"json\"` under `[source]`")
        }
        b'{' if !text.contains(&b'\n') && text.contains(&b'\r') => {
            let damage = Damage::whole("its lines end with CR alone, expected LF or CR LF");
            damage.hint("convert it, for example with `tr '\\r' '\\n'`")
        }
        b'{' if shape == Shape::OverLines => {
            let lists = if scan.peek().is_none() { lists_in(start) } else { Vec::new() };
            let damage = Damage::at_line(begun, "found an object over several lines, expected one object a line");
            damage.hint(match lists.first() {
                Some(list) => {
                    format!("if the list in it is the records: `format = \"json\"` and `records = \"{list}\"` under `[source]`")
                }
                None => one_a_line(source),
            })
        }
        b'{' if scan.peek() == Some(b'{') && scan.line() == begun => {
            let damage = Damage::at_line(begun, "found a second object without a line break before it");
            damage.hint(one_a_line(source))
        }
        _ => return None,
    };
    Some((shape, damage))
}
