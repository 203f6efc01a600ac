//! Conservation, over every way of breaking it. Does not run guests: `tests/misbehave.rs` does.

use super::*;

fn note(index: u32) -> wit::Note {
    wit::Note { index, reason: "why".into() }
}

fn cleaned(row_of: &[u32], rejects: &[u32], skips: &[u32]) -> wit::Cleaned {
    let rows = crate::bindings::wit::Batch { rows: u32::try_from(row_of.len()).unwrap(), columns: Vec::new() };
    let notes = |indices: &[u32]| indices.iter().copied().map(note).collect();
    wit::Cleaned { rows, row_of: row_of.to_vec(), rejects: notes(rejects), skips: notes(skips) }
}

#[test]
fn rows_rejects_and_skips_that_cover_the_batch_pass() {
    assert!(conserved(&cleaned(&[0, 0, 3], &[2], &[1]), &[0, 1, 2, 3]).is_ok());
    assert!(conserved(&cleaned(&[], &[0, 1], &[]), &[4, 9]).is_ok());
}

#[test]
fn every_way_of_losing_or_doubling_a_document_is_named() {
    let cases: [(wit::Cleaned, &str, &str); 7] = [
        (cleaned(&[0], &[], &[]), "P130", "results for 1 of 2 documents: document 9"),
        (cleaned(&[0, 1, 2], &[], &[]), "P131", "document 2 in the rows, but the batch has 2"),
        (cleaned(&[0, 1], &[1], &[]), "P131", "document 9 in the rows and in the rejects"),
        (cleaned(&[0], &[1, 1], &[]), "P131", "document 9 twice in the rejects"),
        (cleaned(&[0], &[], &[1, 1]), "P131", "document 9 twice in the skips"),
        (cleaned(&[1, 0], &[], &[]), "P131", "row 1 of document 7 behind one of document 9"),
        (cleaned(&[u32::MAX], &[0], &[1]), "P131", "but the batch has 2"),
    ];
    for (cleaned, code, part) in cases {
        let fault = conserved(&cleaned, &[7, 9]).unwrap_err();
        assert_eq!(fault.code, code, "{}", fault.message);
        assert!(fault.message.contains(part), "{}", fault.message);
    }
}

#[test]
fn row_of_must_be_as_long_as_the_rows() {
    let mut short = cleaned(&[0, 1], &[], &[]);
    short.row_of.pop();
    assert_eq!(conserved(&short, &[0, 1]).unwrap_err().code, "P130");
}
