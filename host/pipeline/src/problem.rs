//! What is wrong with a pipeline file, as a person and as a machine reads it.
//!
//! Does not find problems: `pipeline::check` does. Does not say what a code means: `pipeline::code` does.

use std::ops::Range;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use serde::Serialize;

/// Whether a problem stops the pipeline.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// There is no plan.
    Error,
    /// There is a plan; the author should look.
    Warning,
}

/// One thing that is wrong, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Problem {
    /// Whether it stops the pipeline.
    pub severity: Severity,
    /// One of [`code::CODES`](super::code::CODES).
    pub code: &'static str,
    /// The file's name as it was given to `check`, or `--set` or `--target` for what came from the command line.
    pub file: String,
    /// Line in the file (or in the argument), from 1.
    pub line: usize,
    /// Column in that line, in characters, from 1.
    pub column: usize,
    /// Bytes of the text that the problem is about.
    pub span: Range<usize>,
    /// What is wrong, what was found included.
    pub message: String,
    /// What would be right.
    pub expected: Option<String>,
    /// What to do.
    pub hint: Option<String>,
    #[serde(skip)]
    source: usize,
}

/// Everything that is wrong with a pipeline file, by place. Serializes as a list of [`Problem`]s.
#[derive(Clone, Debug, Serialize)]
#[serde(transparent)]
pub struct Problems {
    list: Vec<Problem>,
    #[serde(skip)]
    sources: Vec<Source>,
}

impl Problems {
    /// The problems, sorted by place; there is at least one.
    #[must_use]
    pub fn as_slice(&self) -> &[Problem] {
        &self.list
    }

    /// The problems as text for a terminal, in ANSI colours. Without colours it is this type's `Display`.
    #[must_use]
    pub fn to_colored(&self) -> String {
        self.render(&Renderer::styled())
    }

    /// One problem with a text as a whole.
    pub(super) fn single(problem: Wrong, source: Source) -> Self {
        let at = Place { source: 0, span: 0..0 };
        let sources = vec![source];
        let list = locate(Severity::Error, at, problem, &sources).into_iter().collect();
        Problems { list, sources }
    }

    fn render(&self, renderer: &Renderer) -> String {
        let reports: Vec<String> = self.list.iter().map(|problem| self.render_one(problem, renderer)).collect();
        reports.join("\n\n")
    }

    fn render_one(&self, problem: &Problem, renderer: &Renderer) -> String {
        let level = match problem.severity {
            Severity::Error => Level::ERROR,
            Severity::Warning => Level::WARNING,
        };
        let text = self.sources.get(problem.source).map_or("", |source| source.text.as_str());
        let mut mark = AnnotationKind::Primary.span(problem.span.clone());
        if let Some(expected) = &problem.expected {
            mark = mark.label(format!("expected {expected}"));
        }
        let snippet = Snippet::source(text).path(problem.file.as_str()).annotation(mark);
        let mut group: Group<'_> = level.primary_title(problem.message.as_str()).id(problem.code).element(snippet);
        if let Some(hint) = &problem.hint {
            group = group.element(Level::HELP.with_name("hint").message(hint.as_str()));
        }
        renderer.render(&[group])
    }
}

impl std::fmt::Display for Problems {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.render(&Renderer::plain()))
    }
}

impl std::error::Error for Problems {}

/// A text that problems point into: the file, or an argument.
#[derive(Clone, Debug)]
pub(super) struct Source {
    /// The name that a user knows it by.
    pub(super) name: String,
    /// The text itself.
    pub(super) text: String,
}

/// Some bytes of a [`Source`], which is named by its index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) source: usize,
    pub(super) span: Range<usize>,
}

/// What is wrong, not yet with its place.
#[derive(Clone, Debug)]
pub(super) struct Wrong {
    code: &'static str,
    message: String,
    expected: Option<String>,
    hint: Option<String>,
}

impl Wrong {
    pub(super) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Wrong { code, message: message.into(), expected: None, hint: None }
    }

    pub(super) fn expected(mut self, expected: impl Into<String>) -> Self {
        self.expected = Some(expected.into());
        self
    }

    /// With what would be right, if that can be said.
    pub(super) fn maybe_expected(self, expected: Option<String>) -> Self {
        Wrong { expected, ..self }
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With a hint, if there is something to say.
    pub(super) fn maybe_hint(mut self, hint: Option<String>) -> Self {
        self.hint = hint.or(self.hint);
        self
    }
}

/// Problems on their way in: found in any order, some of them twice.
#[derive(Debug, Default)]
pub(super) struct Findings {
    found: Vec<(Severity, Place, Wrong)>,
    masked: Vec<Place>,
}

impl Findings {
    pub(super) fn error(&mut self, at: &Place, wrong: Wrong) {
        self.found.push((Severity::Error, at.clone(), wrong));
    }

    pub(super) fn warn(&mut self, at: &Place, wrong: Wrong) {
        self.found.push((Severity::Warning, at.clone(), wrong));
    }

    /// Takes the value, reporting what is wrong with it.
    pub(super) fn take<T>(&mut self, at: &Place, result: Result<T, Wrong>) -> Option<T> {
        result.map_err(|wrong| self.error(at, wrong)).ok()
    }

    /// Never shows the text at `at`: it may be a credential.
    pub(super) fn mask(&mut self, at: &Place) {
        self.masked.push(at.clone());
    }

    pub(super) fn has_errors(&self) -> bool {
        self.found.iter().any(|(severity, ..)| *severity == Severity::Error)
    }

    /// Adds everything that `others` has.
    pub(super) fn absorb(&mut self, others: Findings) {
        self.found.extend(others.found);
        self.masked.extend(others.masked);
    }

    /// Adds the errors of `others` if `belongs` accepts their place. Keeps only the warnings that `others` has as well.
    pub(super) fn merge_variant(&mut self, others: Findings, belongs: impl Fn(&Place) -> bool) {
        let same = |a: &(Severity, Place, Wrong), b: &(Severity, Place, Wrong)| a.1 == b.1 && a.2.code == b.2.code;
        self.found.retain(|mine| mine.0 == Severity::Error || others.found.iter().any(|theirs| same(mine, theirs)));
        for theirs in others.found {
            if theirs.0 == Severity::Error && belongs(&theirs.1) && !self.found.iter().any(|mine| same(mine, &theirs)) {
                self.found.push(theirs);
            }
        }
        self.masked.extend(others.masked);
    }

    /// Everything found, in the order of the text; `None` if there is nothing.
    pub(super) fn into_problems(self, mut sources: Vec<Source>) -> Option<Problems> {
        for place in &self.masked {
            if let Some(source) = sources.get_mut(place.source) {
                mask(&mut source.text, &place.span);
            }
        }
        let mut list: Vec<Problem> =
            self.found.into_iter().filter_map(|(severity, at, wrong)| locate(severity, at, wrong, &sources)).collect();
        list.sort_by_key(|problem| (problem.source, problem.span.start, problem.span.end));
        list.dedup();
        (!list.is_empty()).then_some(Problems { list, sources })
    }
}

fn locate(severity: Severity, at: Place, wrong: Wrong, sources: &[Source]) -> Option<Problem> {
    let source = sources.get(at.source)?;
    let start = floor_boundary(&source.text, at.span.start);
    let end = floor_boundary(&source.text, at.span.end).max(start);
    let before = source.text.get(..start).unwrap_or_default();
    let line_start = before.rfind('\n').map_or(0, |newline| newline + 1);
    Some(Problem {
        severity,
        code: wrong.code,
        file: source.name.clone(),
        line: line_of(&source.text, start),
        column: before.get(line_start..).unwrap_or_default().chars().count() + 1,
        span: start..end,
        message: wrong.message,
        expected: wrong.expected,
        hint: wrong.hint,
        source: at.source,
    })
}

/// The line of a byte, from 1.
pub(super) fn line_of(text: &str, byte: usize) -> usize {
    text.bytes().take(byte).filter(|byte| *byte == b'\n').count() + 1
}

fn floor_boundary(text: &str, index: usize) -> usize {
    let mut index = index.min(text.len());
    while !text.is_char_boundary(index) {
        index -= 1;
    }
    index
}

/// Replaces a range by as many bytes of asterisks, so that every other span stays right.
fn mask(text: &mut String, span: &Range<usize>) {
    let span = floor_boundary(text, span.start)..floor_boundary(text, span.end);
    if span.start < span.end {
        text.replace_range(span.clone(), &"*".repeat(span.len()));
    }
}

/// The candidate that the author of `word` most likely meant.
#[must_use]
pub fn nearest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(&word.to_lowercase(), &candidate.to_lowercase()), candidate))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// All candidates that are as near to a word as the nearest of them.
#[derive(Clone, Debug)]
pub struct Nearest {
    word: String,
    least: usize,
    words: std::collections::BTreeSet<String>,
}

impl Nearest {
    /// None yet.
    #[must_use]
    pub fn to(word: &str) -> Self {
        let least = (word.chars().count() / 3).clamp(1, 3);
        Nearest { word: word.to_lowercase(), least, words: std::collections::BTreeSet::new() }
    }

    /// Takes a candidate into account.
    pub fn look_at(&mut self, candidate: &str) {
        // A difference in length is a distance: that excludes most candidates.
        if candidate.len().abs_diff(self.word.len()) > self.least * 4 {
            return;
        }
        let distance = strsim::damerau_levenshtein(&self.word, &candidate.to_lowercase());
        if distance < self.least {
            self.words.clear();
        }
        if distance <= self.least {
            self.least = distance;
            self.words.insert(candidate.to_owned());
        }
    }

    /// The nearest ones, sorted.
    #[must_use]
    pub fn into_words(self) -> Vec<String> {
        self.words.into_iter().collect()
    }
}

/// "did you mean …?", if a candidate is near.
#[must_use]
pub fn did_you_mean<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|candidate| format!("did you mean `{candidate}`?"))
}
