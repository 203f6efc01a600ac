//! What the bytes of a text source are, before they are read as a format: packed, another kind of file, in another encoding, empty.
//!
//! Does not unpack or convert: it says what is there and which command does.

use pipeline::plan::Source;

use super::error::Damage;

/// The text within a source that should be text, without a byte order mark.
pub(super) fn open<'a>(source: &Source, bytes: &'a [u8]) -> Result<&'a [u8], Damage> {
    let location = source.location.to_string();
    if let Some(damage) = encoding(&location, bytes).or_else(|| other_kind(&location, bytes)) {
        return Err(damage);
    }
    let text = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
    if text.trim_ascii().is_empty() {
        let found =
            if bytes.is_empty() { "0 bytes".to_owned() } else { format!("{} bytes, all of them blank", bytes.len()) };
        let damage = Damage::whole(format!("it is empty: {found}"));
        return Err(damage.hint(format!(
            "whatever writes `{location}` has written nothing; the tick is not taken, the next try reads it again"
        )));
    }
    let start = text.trim_ascii_start();
    let begins = |tag: &str| start.get(..tag.len()).is_some_and(|start| start.eq_ignore_ascii_case(tag.as_bytes()));
    if begins("<!doctype html") || begins("<html") {
        let damage = Damage::whole("it is a web page (HTML)");
        return Err(damage.hint("open the address in a browser: it may ask to log in, or report an error"));
    }
    Ok(text)
}

/// A source that is no text at all, or is packed: what it is and how to get at it. Also of use before reading Parquet.
pub(super) fn other_kind(location: &str, bytes: &[u8]) -> Option<Damage> {
    const UNPACK: [(&[u8], &str, &str); 6] = [
        (b"\x1F\x8B", "packed with gzip", "gzip -dc"),
        (b"\x28\xB5\x2F\xFD", "packed with zstd", "zstd -dc"),
        (b"BZh", "packed with bzip2", "bzip2 -dc"),
        (b"\xFD7zXZ\0", "packed with xz", "xz -dc"),
        (b"\x04\x22\x4D\x18", "packed with lz4", "lz4 -dc"),
        (b"7z\xBC\xAF\x27\x1C", "a 7-Zip archive", "7z x -so"),
    ];
    const KINDS: [(&[u8], &str, &str); 9] = [
        (b"PAR1", "Parquet", "set `format = \"parquet\"` under `[source]`"),
        (b"\xD0\xCF\x11\xE0", "an Excel workbook", "save it as CSV (UTF-8)"),
        (
            b"SQLite format 3\0",
            "an SQLite database",
            "export the table as CSV, for example with `sqlite3 -csv -header`",
        ),
        (b"%PDF-", "a PDF document", "export the data as CSV"),
        (b"ARROW1", "an Arrow (Feather) file", "write it as Parquet and set `format = \"parquet\"` under `[source]`"),
        (b"Obj\x01", "an Avro file", "write it as Parquet and set `format = \"parquet\"` under `[source]`"),
        (b"ORC", "an ORC file", "write it as Parquet and set `format = \"parquet\"` under `[source]`"),
        (b"\x89PNG", "a picture (PNG)", "name a file of records as `uri` under `[source]`"),
        (b"\xFF\xD8\xFF", "a picture (JPEG)", "name a file of records as `uri` under `[source]`"),
    ];
    // Letters that a header line could begin with count only where what follows them is no text.
    let lettered = |magic: &[u8]| magic.is_ascii() && magic.iter().all(u8::is_ascii_alphanumeric);
    let binary = bytes.iter().take(64).any(|byte| byte.is_ascii_control() && !byte.is_ascii_whitespace());
    let is = |magic: &[u8]| bytes.starts_with(magic) && (binary || !lettered(magic));
    if let Some((_, what, command)) = UNPACK.iter().find(|(magic, ..)| is(magic)) {
        return Some(packed(location, what, command));
    }
    if bytes.starts_with(b"PK\x03\x04") {
        let head = bytes.get(..bytes.len().min(8 << 10)).unwrap_or_default();
        let office = memchr::memmem::find(head, b"[Content_Types].xml").is_some();
        return Some(if office {
            Damage::whole("it is an Excel workbook").hint("save it as CSV (UTF-8)")
        } else {
            packed(location, "a zip archive", "unzip -p")
        });
    }
    let (_, what, hint) = KINDS.iter().find(|(magic, ..)| is(magic))?;
    Some(Damage::whole(format!("it is {what}")).hint(*hint))
}

fn packed(location: &str, what: &str, command: &str) -> Damage {
    let name = location.rsplit(['/', '\\']).next().unwrap_or(location);
    let hint =
        format!("unpack it, for example `{command} {name} > unpacked-{name}`, and name that as `uri` under `[source]`");
    Damage::whole(format!("it is {what}")).hint(hint)
}

/// UTF-16 and UTF-32, with or without a byte order mark.
fn encoding(location: &str, bytes: &[u8]) -> Option<Damage> {
    const MARKS: [(&[u8], &str); 4] = [
        (b"\xFF\xFE\0\0", "UTF-32LE"),
        (b"\0\0\xFE\xFF", "UTF-32BE"),
        (b"\xFF\xFE", "UTF-16LE"),
        (b"\xFE\xFF", "UTF-16BE"),
    ];
    let marked = MARKS.iter().find(|(mark, _)| bytes.starts_with(mark)).map(|(_, name)| *name);
    let name = marked.or_else(|| without_mark(bytes))?;
    Some(Damage::whole(format!("it is encoded in {name}, expected UTF-8")).hint(convert(location, name)))
}

/// Text of mostly Latin letters in UTF-16 or UTF-32 has zeros in regular places.
fn without_mark(bytes: &[u8]) -> Option<&'static str> {
    let head = bytes.get(..bytes.len().min(4 << 10) / 4 * 4)?;
    let zeros = |place: usize| head.iter().skip(place).step_by(4).filter(|byte| **byte == 0).count();
    let (all, most) = (head.len() / 4, |zeros: usize| zeros * 10 >= head.len() / 4 * 9);
    if all < 2 {
        return None;
    }
    match [0, 1, 2, 3].map(|place| most(zeros(place))) {
        [false, true, true, true] => Some("UTF-32LE"),
        [true, true, true, false] => Some("UTF-32BE"),
        [false, true, false, true] => Some("UTF-16LE"),
        [true, false, true, false] => Some("UTF-16BE"),
        _ => None,
    }
}

/// The command that makes UTF-8 of a file.
fn convert(location: &str, from: &str) -> String {
    let name = location.rsplit(['/', '\\']).next().unwrap_or(location);
    format!(
        "convert it, for example `iconv -f {from} -t UTF-8 {name} > utf8-{name}`, and name that as `uri` under `[source]`"
    )
}

/// Why a piece of a source is not UTF-8, if it is not: the byte, its column and what it is in the likely encoding.
pub(super) fn not_utf8(piece: &[u8]) -> Option<String> {
    let at = std::str::from_utf8(piece).err()?.valid_up_to();
    let byte = piece.get(at).copied().unwrap_or_default();
    let latin = if byte >= 0xA0 { format!(", in Latin-1 it is `{}`", char::from(byte)) } else { String::new() };
    Some(format!("byte 0x{byte:02X} at column {} is not UTF-8{latin}", at + 1))
}

/// What helps against a file with such bytes.
pub(super) fn to_utf8(source: &Source) -> String {
    convert(&source.location.to_string(), "WINDOWS-1252")
}

#[cfg(test)]
mod tests {
    use super::super::tests::source;
    use super::*;
    use pipeline::plan::SourceFormat;

    fn opened(bytes: &[u8]) -> Result<String, Damage> {
        let text = open(&source(SourceFormat::Csv, None, 9), bytes)?;
        Ok(String::from_utf8_lossy(text).into_owned())
    }

    #[test]
    fn an_encoding_that_is_not_utf_8_is_named_with_the_command_that_converts_it() {
        let text = "id,name\n1,Köln\n2,Bonn\n";
        let wide = |big: bool| {
            text.encode_utf16().flat_map(move |unit| if big { unit.to_be_bytes() } else { unit.to_le_bytes() })
        };
        let wider = |big: bool| {
            text.chars().flat_map(move |c| if big { u32::from(c).to_be_bytes() } else { u32::from(c).to_le_bytes() })
        };
        let marked = |mark: &[u8], rest: Vec<u8>| [mark, &rest].concat();
        let cases: [(Vec<u8>, &str); 8] = [
            (marked(b"\xFF\xFE", wide(false).collect()), "UTF-16LE"),
            (marked(b"\xFE\xFF", wide(true).collect()), "UTF-16BE"),
            (wide(false).collect(), "UTF-16LE"),
            (wide(true).collect(), "UTF-16BE"),
            (marked(b"\xFF\xFE\0\0", wider(false).collect()), "UTF-32LE"),
            (marked(b"\0\0\xFE\xFF", wider(true).collect()), "UTF-32BE"),
            (wider(false).collect(), "UTF-32LE"),
            (wider(true).collect(), "UTF-32BE"),
        ];
        for (bytes, name) in cases {
            let damage = opened(&bytes).unwrap_err();
            assert!(damage.reason.contains(&format!("{name}, expected UTF-8")), "{damage:?}");
            assert!(damage.hint.unwrap().contains(&format!("iconv -f {name} -t UTF-8 x.csv")));
        }
        assert_eq!(not_utf8(b"K\xF6ln").unwrap(), "byte 0xF6 at column 2 is not UTF-8, in Latin-1 it is `ö`");
        assert_eq!(not_utf8("Köln".as_bytes()), None);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_text() {
        assert_eq!(opened(b"\xEF\xBB\xBFid\n1\n").unwrap(), "id\n1\n");
    }

    #[test]
    fn packed_and_foreign_files_are_named_with_what_to_do() {
        let cases: [(&[u8], &str, &str); 8] = [
            (b"\x1F\x8B\x08\0\0", "packed with gzip", "gzip -dc x.csv"),
            (b"PK\x03\x04\x14\0", "a zip archive", "unzip -p x.csv"),
            (b"PK\x03\x04\x14\0\0\0[Content_Types].xml", "an Excel workbook", "save it as CSV"),
            (b"\x28\xB5\x2F\xFD\x04", "packed with zstd", "zstd -dc x.csv"),
            (b"PAR1\x15\0", "Parquet", "format = \"parquet\""),
            (b"SQLite format 3\0\x10", "an SQLite database", "CSV"),
            (b"ORC\x0A\0", "an ORC file", "Parquet"),
            (b"\n <!DOCTYPE html>\n<html>", "a web page", "browser"),
        ];
        for (bytes, what, hint) in cases {
            let damage = opened(bytes).unwrap_err();
            assert!(
                damage.reason.contains(what) && damage.hint.as_deref().unwrap_or_default().contains(hint),
                "{damage:?}"
            );
        }
        for header in ["ORC,name\n1,2\n", "PAR1,PAR2\n1,2\n", "BZh,b\n1,2\n"] {
            assert!(opened(header.as_bytes()).is_ok(), "{header}");
        }
    }

    #[test]
    fn an_empty_source_is_said_to_be_empty() {
        for (bytes, what) in
            [(&b""[..], "empty: 0 bytes"), (b"\xEF\xBB\xBF", "blank"), (b" \r\n\n", "4 bytes, all of them blank")]
        {
            assert!(opened(bytes).unwrap_err().reason.contains(what), "{what}");
        }
    }
}
