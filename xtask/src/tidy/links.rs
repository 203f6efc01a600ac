//! Answers for links in pages of Markdown: each leads to a file that is there, and to a heading that the file has. A page of the book
//! links to pages of the book alone, and `SUMMARY.md` names each page.
//!
//! Does not follow links to the web.

use std::collections::BTreeSet;
use std::path::Path;

use super::finding::Finding;
use super::tree::Source;

/// The pages of the book.
const BOOK: &str = "docs/src/";
const SUMMARY: &str = "docs/src/SUMMARY.md";

/// Findings over the whole tree, which is in `root`.
pub(super) fn check(root: &Path, sources: &[Source]) -> Vec<Finding> {
    let pages: Vec<&Source> = sources.iter().filter(|source| source.path.ends_with(".md")).collect();
    let mut findings: Vec<Finding> = pages.iter().flat_map(|page| of_page(root, page, &pages)).collect();
    let listed: BTreeSet<String> = pages
        .iter()
        .filter(|page| page.path == SUMMARY)
        .flat_map(|page| links(&page.text))
        .filter_map(|(_, target)| resolved(SUMMARY, &target))
        .collect();
    for page in pages.iter().filter(|page| page.path.starts_with(BOOK) && page.path != SUMMARY) {
        if !listed.contains(&page.path) {
            findings.push(Finding::at(&page.path, 1, "is in no table of contents", format!("add it to {SUMMARY}")));
        }
    }
    findings
}

fn of_page(root: &Path, page: &Source, pages: &[&Source]) -> Vec<Finding> {
    let mut findings = Vec::new();
    for (line, target) in links(&page.text) {
        let (path, anchor) =
            target.split_once('#').map_or((target.as_str(), None), |(path, anchor)| (path, Some(anchor)));
        let mut finding =
            |hint: String| findings.push(Finding::at(&page.path, line, "has a link that leads nowhere", hint));
        let found = if path.is_empty() { Some(page.path.clone()) } else { resolved(&page.path, path) };
        let Some(found) = found.filter(|found| root.join(found).exists() || pages.iter().any(|it| it.path == *found))
        else {
            finding(format!("`{target}`: no such file"));
            continue;
        };
        if page.path.starts_with(BOOK) && !found.starts_with(BOOK) {
            finding(format!("`{target}` is not in the book: name the file instead of linking to it"));
        }
        let other = pages.iter().find(|it| it.path == found);
        if let (Some(anchor), Some(other)) = (anchor, other)
            && !anchors(&other.text).contains(anchor)
        {
            finding(format!("`{target}`: `{found}` has no such heading"));
        }
    }
    findings
}

/// Where a link leads from the workspace root; nothing if it leads out of it.
fn resolved(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.trim_end_matches('/').split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()?),
            part => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The links to files and headings, with their lines. Code has none.
fn links(text: &str) -> Vec<(usize, String)> {
    let mut links = Vec::new();
    for (line, prose) in prose(text) {
        for (at, _) in prose.match_indices("](") {
            let target = prose.get(at + 2..).and_then(|rest| rest.split(')').next()).unwrap_or_default();
            if !target.contains("://") && !target.starts_with("mailto:") && !target.is_empty() {
                links.push((line, target.to_owned()));
            }
        }
    }
    links
}

/// What a link behind `#` may name.
fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut in_code = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_code = !in_code;
        }
        if let Some(heading) = line.strip_prefix('#').filter(|_| !in_code) {
            anchors.insert(slug(heading.trim_start_matches('#').trim()));
        }
        for rest in line.split("<a id=\"").skip(1) {
            anchors.insert(rest.split('"').next().unwrap_or_default().to_owned());
        }
    }
    anchors
}

/// A heading's anchor, as GitHub and mdBook make it.
fn slug(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

/// Lines without blocks of code and without code in backticks.
fn prose(text: &str) -> impl Iterator<Item = (usize, String)> {
    let mut in_code = false;
    text.lines().enumerate().filter_map(move |(index, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        let words: Vec<&str> = line.split('`').step_by(2).collect();
        (!in_code && !fence).then(|| (index + 1, words.join("")))
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::{places, source};
    use super::*;

    fn found(pages: &[Source]) -> Vec<String> {
        places(check(Path::new("no-such-folder"), pages))
    }

    #[test]
    fn links_lead_to_files_and_headings() {
        let summary = source(SUMMARY, "[One](one.md)\n");
        let good =
            source("docs/src/one.md", "# A b: c\n[b](#a-b-c) `[x](y)` [w](https://example.org)\n```\n[z](z.md)\n```\n");
        let readme = source("README.md", "[one](docs/src/one.md#a-b-c)\n[two](two.md)\n[c](docs/src/one.md#c)\n");
        assert_eq!(found(&[summary, good, readme]), ["README.md:2", "README.md:3"]);
    }

    #[test]
    fn the_book_links_to_itself_and_lists_all_pages() {
        let summary = source(SUMMARY, "[One](one.md)\n");
        let out = source("docs/src/one.md", "[r](../../README.md)\n");
        let lost = source("docs/src/lost.md", "# Lost\n");
        let readme = source("README.md", "");
        assert_eq!(found(&[summary, out, lost, readme]), ["docs/src/one.md:1", "docs/src/lost.md:1"]);
    }
}
