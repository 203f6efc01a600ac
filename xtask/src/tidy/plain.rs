//! Answers for plain words: comments and pages avoid turns of phrase that stop a reader who has ten seconds.
//!
//! Does not judge grammar, code or strings, and skips what is within backticks. The phrases are put together from halves here, so that this
//! file does not find itself.

use super::finding::Finding;
use super::tree::Source;

/// A phrase that a comment or a page may not hold, and what to write instead.
const PHRASES: [(&str, &str); 6] = [
    (concat!("who", "ever"), "a noun: `a caller that`, `the process that`, `a user who`"),
    (concat!("of ", "which"), "`whose`, or two sentences"),
    (concat!("an", "ew"), "`again`, or `new`"),
    (concat!("is ", "another one"), "`differs`, or the noun: `is another file`"),
    (concat!("as it ", "stands"), "`as it is`, or `unchanged`"),
    (concat!("what it ", "is of"), "the noun: `its record`, `its source`"),
];

pub(super) fn check(source: &Source) -> Vec<Finding> {
    let words = words(&source.path, &source.text);
    let mut findings = Vec::new();
    for (at, first) in words.iter().enumerate() {
        for (phrase, instead) in PHRASES {
            let wanted = phrase.split(' ');
            let rest = words.iter().skip(at).map(|word| word.text.as_str());
            if rest.take(wanted.clone().count()).eq(wanted) {
                let hint = format!("`{phrase}`: write {instead}");
                findings.push(Finding::at(&source.path, first.line, "is not plain English", hint));
            }
        }
    }
    findings
}

/// A word of prose in lower case, or one sign between words.
struct Word {
    line: usize,
    text: String,
}

/// The words of a file's prose. A phrase may go over the end of a line, but not over a sign or the end of a paragraph.
fn words(path: &str, text: &str) -> Vec<Word> {
    let mut words = Vec::new();
    let (mut in_fence, mut in_code) = (false, false);
    for (index, line) in text.lines().enumerate() {
        let line_number = index + 1;
        let prose = prose(path, line).map_or("", str::trim);
        if prose.starts_with("```") {
            in_fence = !in_fence;
        }
        if prose.is_empty() || in_fence || prose.starts_with("```") {
            in_code = false;
            words.push(Word { line: line_number, text: String::new() });
            continue;
        }
        let mut word = String::new();
        for letter in prose.chars().chain([' ']) {
            if !in_code && (letter.is_alphanumeric() || letter == '_') {
                word.extend(letter.to_lowercase());
                continue;
            }
            if !word.is_empty() {
                words.push(Word { line: line_number, text: std::mem::take(&mut word) });
            }
            if letter == '`' {
                in_code = !in_code;
            }
            if !letter.is_whitespace() {
                words.push(Word { line: line_number, text: letter.to_string() });
            }
        }
    }
    words
}

/// What a line says to readers: all of it on a page, a comment in Rust and Python, nothing elsewhere.
fn prose<'a>(path: &str, line: &'a str) -> Option<&'a str> {
    let (_, extension) = path.rsplit_once('.')?;
    match extension {
        "md" => Some(line),
        "rs" => comment(line, "//").map(|text| text.trim_start_matches(['/', '!'])),
        "py" => comment(line, "#"),
        _ => None,
    }
}

/// What follows the first `mark` that begins the line or comes after a space, outside of a string that the line opens.
fn comment<'a>(line: &'a str, mark: &str) -> Option<&'a str> {
    let at = line.match_indices(mark).map(|(at, _)| at).find(|at| {
        let before = &line[..*at];
        before.trim().is_empty() || before.ends_with(' ') && before.matches('"').count().is_multiple_of(2)
    })?;
    Some(&line[at + mark.len()..])
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, source};
    use super::*;

    fn found(path: &str, text: &str) -> Vec<String> {
        places(check(&source(path, text)))
    }

    #[test]
    fn each_phrase_is_found_in_comments_and_pages_in_any_case() {
        for (phrase, _) in PHRASES {
            let phrase = phrase.to_uppercase();
            for mark in ["//", "///", "//!", "    //", "let a = \"b\"; //"] {
                assert_eq!(found("a.rs", &format!("\n{mark} So {phrase}.\n")), ["a.rs:2"], "{mark} {phrase}");
            }
            assert_eq!(found("a.py", &format!("a = 1  # {phrase}\n")), ["a.py:1"]);
            assert_eq!(found("a.md", &format!("({phrase}'s)\n")), ["a.md:1"]);
        }
    }

    #[test]
    fn code_strings_and_other_files_may_hold_them() {
        let word = PHRASES[0].0;
        for good in [format!("let {word} = 1;"), format!("let a = \" // {word}\";"), format!("// see `{word}`")] {
            assert!(found("a.rs", &good).is_empty(), "{good}");
        }
        assert!(found("a.py", &format!("{word} = \" # {word}\"\n")).is_empty());
        assert!(found("a.md", &format!("```sh\n{word}\n```\n")).is_empty());
        assert!(found("a.toml", &format!("# {word}\n")).is_empty());
    }

    #[test]
    fn only_whole_words_are_found() {
        let (word, phrase) = (PHRASES[2].0, PHRASES[1].0);
        assert!(found("a.rs", &format!("// {word}s, x{word}, {word}_x, proo{phrase}\n")).is_empty());
    }

    #[test]
    fn a_phrase_goes_over_a_line_and_not_over_a_sign_or_a_paragraph() {
        let (first, second) = PHRASES[1].0.split_once(' ').unwrap();
        assert_eq!(found("a.rs", &format!("/// a {first}\n/// {second} b\n")), ["a.rs:1"]);
        assert!(found("a.rs", &format!("/// a {first}. {second} b\n")).is_empty());
        assert!(found("a.rs", &format!("/// a {first}\n\n/// {second} b\n")).is_empty());
    }

    #[test]
    fn a_backtick_that_is_not_closed_ends_with_its_paragraph() {
        assert_eq!(found("a.md", &format!("a ` b\n\n{}\n", PHRASES[0].0)), ["a.md:3"]);
    }

    #[test]
    fn the_hint_says_what_to_write() {
        let finding = check(&source("a.md", PHRASES[2].0)).remove(0);
        assert_eq!(finding.hint, format!("`{}`: write `again`, or `new`", PHRASES[2].0));
    }
}
