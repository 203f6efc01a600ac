//! Test results, for people and for machines.
//!
//! Does not judge: `verdict` does.

use serde_json::{Value, json};

use super::verdict::{Tested, TestedCase, Verdict};
use crate::golden::difference::Difference;
use crate::golden::exact;
use crate::output::{Output, Tone, counted};

/// The differences of one case that people see; machines get all.
const SHOWN: usize = 40;

/// The document for machines.
pub(super) fn document(tested: &[Tested]) -> Value {
    let cases = || tested.iter().flat_map(|plugin| &plugin.cases);
    let failed = cases().filter(|case| !case.verdict.is_good()).count();
    json!({ "plugins": tested, "cases": cases().count(), "failed": failed })
}

/// The text for people: a line a case, what is wrong with each, and the sum.
pub(super) fn text(tested: &[Tested], output: &Output) -> String {
    let mut table = output.table(&["plugin", "case", "", "ms"]);
    for plugin in tested {
        if plugin.cases.is_empty() {
            table.add_row(vec![
                plugin.plugin.clone().into(),
                "".into(),
                Output::cell(Tone::Notable, "no cases"),
                "".into(),
            ]);
        }
        for case in &plugin.cases {
            let (tone, word) = word(&case.verdict);
            table.add_row(vec![
                plugin.plugin.clone().into(),
                case.case.clone().into(),
                Output::cell(tone, word),
                case.millis.to_string().into(),
            ]);
        }
    }
    let mut parts = vec![table.trim_fmt()];
    for plugin in tested {
        let wrong = plugin.cases.iter().filter(|case| !case.verdict.is_good());
        parts.extend(wrong.map(|case| explained(&plugin.plugin, case, output)));
    }
    parts.push(sum(tested));
    parts.join("\n\n")
}

fn word(verdict: &Verdict) -> (Tone, &'static str) {
    match verdict {
        Verdict::Passed => (Tone::Good, "ok"),
        Verdict::Blessed => (Tone::Notable, "blessed"),
        Verdict::Differs { .. } => (Tone::Bad, "differs"),
        Verdict::Unstable { .. } => (Tone::Bad, "unstable"),
        Verdict::Unwritten => (Tone::Bad, "unwritten"),
        Verdict::Broken { .. } => (Tone::Bad, "broken"),
    }
}

fn explained(plugin: &str, case: &TestedCase, output: &Output) -> String {
    let title = output.tone(Tone::Bad, &format!("{plugin}/{}", case.case));
    let hint = |text: &str| format!("\n  {} {}", output.tone(Tone::Notable, "hint:"), text.replace('\n', "\n    "));
    match &case.verdict {
        Verdict::Passed | Verdict::Blessed => String::new(),
        Verdict::Differs { differences } => format!("{title}\n{}", listed(differences, ("expected", "got"), output)),
        Verdict::Unstable { way, differences } => format!(
            "{title}  another table for {way}\n{}{}",
            listed(differences, ("in one go", "that way"), output),
            hint("a merge must not depend on the order; sum integers (tenths, cents), not floating-point numbers")
        ),
        Verdict::Unwritten => {
            format!(
                "{title}  no `expected.json`{}",
                hint(&format!("`sluicebox plugin test {plugin} --bless` writes what the plugin answers now"))
            )
        }
        Verdict::Broken { message, hint: advice, details } => {
            let details: String =
                details.iter().map(|line| format!("\n  {}", output.tone(Tone::Faint, line))).collect();
            let advice = advice.as_deref().map(hint).unwrap_or_default();
            format!("{title}  {message}{details}{advice}")
        }
    }
}

fn listed(differences: &[Difference], (one, other): (&str, &str), output: &Output) -> String {
    let mut table = output.table(&["  where", one, other]);
    for difference in differences.iter().take(SHOWN) {
        let place = if difference.at.is_empty() { "the whole" } else { &difference.at };
        table.add_row(vec![
            format!("  {place}").into(),
            Output::cell(Tone::Good, value(difference.expected.as_ref())),
            Output::cell(Tone::Bad, value(difference.got.as_ref())),
        ]);
    }
    let more = differences.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!("\n  … and {more} more: `--json` has all") } else { String::new() };
    format!("{}{rest}", table.trim_fmt())
}

fn value(value: Option<&Value>) -> String {
    value.map_or_else(|| "nothing".to_owned(), |value| exact::text(value, false))
}

fn sum(tested: &[Tested]) -> String {
    let count = |is: fn(&Verdict) -> bool| {
        tested.iter().flat_map(|plugin| &plugin.cases).filter(|case| is(&case.verdict)).count()
    };
    let blessed = match count(|verdict| *verdict == Verdict::Blessed) {
        0 => String::new(),
        blessed => format!("{blessed} blessed, "),
    };
    let ok = count(|verdict| *verdict == Verdict::Passed);
    format!(
        "{}: {ok} ok, {blessed}{} wrong",
        counted(count(|_| true), "case", "cases"),
        count(|verdict| !verdict.is_good())
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::ColorChoice;
    use crate::redact::Redactor;

    fn tested(verdict: Verdict) -> Vec<Tested> {
        vec![Tested { plugin: "clean-x".into(), cases: vec![TestedCase { case: "first".into(), millis: 3, verdict }] }]
    }

    fn shown(verdict: Verdict) -> String {
        text(&tested(verdict), &Output::new(false, ColorChoice::Never, Redactor::default()))
    }

    #[test]
    fn a_difference_stands_in_a_line_of_its_own() {
        let difference = Difference { at: "rows[0].name".into(), expected: Some(json!("a")), got: None };
        let text = shown(Verdict::Differs { differences: vec![difference] });
        let expected = "\
plugin   case            ms
clean-x  first  differs  3

clean-x/first
  where         expected  got
  rows[0].name  \"a\"       nothing

1 case: 0 ok, 1 wrong";
        assert_eq!(text, expected);
    }

    #[test]
    fn an_unwritten_case_says_how_it_is_written() {
        assert!(shown(Verdict::Unwritten).contains("sluicebox plugin test clean-x --bless"));
    }

    #[test]
    fn machines_get_the_verdict_beside_the_case() {
        let document = document(&tested(Verdict::Passed));
        assert_eq!(document["plugins"][0]["cases"][0], json!({"case": "first", "millis": 3, "result": "passed"}));
        assert_eq!((document["cases"].as_u64(), document["failed"].as_u64()), (Some(1), Some(0)));
    }
}
