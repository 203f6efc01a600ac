//! No text makes the checker panic, and all that it reports can be shown: arbitrary texts, and good ones with a few bytes changed.

// A test fails by panicking.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

use pipeline::{Overrides, check, examine};
use proptest::prelude::*;

const FULL: &str = include_str!("../../../tests/golden/good-full.toml");
const TARGET: &str = include_str!("../../../tests/golden/good-target.toml");

/// Runs everything that can be made of a text; each problem must lie in the text that it is about.
fn exercise(text: &str, overrides: &Overrides) {
    match examine("p.toml", text, overrides) {
        Ok(checked) => assert!(checked.plan.describe().starts_with('{')),
        Err(problems) => {
            assert!(!problems.as_slice().is_empty());
            assert!(problems.to_string().contains("error[C") && problems.to_colored().contains("error"));
            for problem in problems.as_slice().iter().filter(|problem| problem.file == "p.toml") {
                assert!(problem.span.end <= text.len() && problem.line <= text.matches('\n').count() + 1);
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn arbitrary_text(text in any::<String>()) {
        exercise(&text, &Overrides::default());
    }

    #[test]
    fn text_that_looks_like_toml(text in "(\\[{1,2}[a-z.]{1,9}\\]{1,2}\n|[a-zé.\"]{1,6} ?= ?[0-9a-z\"'{}\\[\\],:=/ü\t-]{0,12}\r?\n){0,12}") {
        exercise(&text, &Overrides::default());
    }

    #[test]
    fn good_text_with_a_change(
        base in prop::sample::select(&[FULL, TARGET][..]),
        at in any::<prop::sample::Index>(),
        removed in 0_usize..12,
        added in "[\"'{}\\[\\]=.,a-z0-9\n\r\tü-]{0,6}",
    ) {
        let letters: Vec<char> = base.chars().collect();
        let at = at.index(letters.len());
        let text: String = letters[..at].iter().copied().chain(added.chars()).chain(letters[at..].iter().copied().skip(removed)).collect();
        exercise(&text, &Overrides { target: Some("aws".to_owned()), set: Vec::new() });
    }

    #[test]
    fn arbitrary_arguments(target in any::<Option<String>>(), set in prop::collection::vec(any::<String>(), 0..3), path in "[a-z.\"'\\[ -]{0,20}", value in any::<String>()) {
        let set = set.into_iter().chain([format!("{path}={value}")]).collect();
        exercise(TARGET, &Overrides { target, set });
    }
}

/// A text that is most likely a secret is in no form of any problem.
#[test]
fn a_pasted_secret_is_never_shown() {
    let secret = "hunter2";
    let good = "[pipeline]\nname = \"orders\"\n[source]\nuri = \"a.csv\"\nkey = [\"id\"]\n[clean]\nplugin = \"p\"\n[enrich]\nplugin = \"p\"\n";
    let mistakes = [
        format!("[secrets]\ntoken = \"{secret}\"\n"),
        format!("[secrets]\ntoken = {secret}\n"),
        format!("[secrets]\ntoken = \"env:{secret} and more\"\n"),
        format!("[secrets]\ntoken = [\"{secret}\"]\n"),
        format!("[target.aws.secrets]\ntoken = '{secret}\n"),
        format!("[endpoints.x]\nurl = \"https://me:{secret}@example.com/\"\n"),
        format!(
            "[endpoints.x]\nurl = \"https://example.com/\"\nheaders.Authorization = \"Bearer {secret}\"\nfoo = 1\n"
        ),
        format!("[queue]\nurl = \"https://me:{secret}@example.com/\"\n"),
        format!("[lake]\nbronze = \"s3://me:{secret}@bucket/x\"\n"),
        format!("[[aggregate]]\nname = \"a\"\nplugin = \"https://me:{secret}@example.com/x\"\n"),
    ];
    for mistake in mistakes {
        let problems = check("p.toml", &format!("{good}{mistake}"), &Overrides::default()).unwrap_err();
        let json = serde_json::to_string(&problems).unwrap();
        let all = format!("{problems}\n{}\n{json}\n{problems:?}", problems.to_colored());
        assert!(!all.contains(secret), "shown by:\n{mistake}\n{all}");
    }
    for argument in [format!("secrets.token={secret}"), format!("secrets token={secret}")] {
        let overrides = Overrides { target: None, set: vec![argument] };
        let problems = check("p.toml", good, &overrides).unwrap_err();
        assert!(!format!("{problems}{problems:?}").contains(secret), "{problems}");
    }
}
