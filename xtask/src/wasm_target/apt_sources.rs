//! Answers for one question to the machine's apt configuration: which mirrors of Debian's main archive does it use?
//!
//! Reads both forms in use (`*.sources` paragraphs and one-line `*.list` files). Does not know any mirror by itself, and skips
//! security archives, disabled paragraphs and other vendors' repositories.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};

/// Suites that only Debian's own archive has, by code name or by role.
const DEBIAN_SUITES: [&str; 12] = [
    "bullseye",
    "bookworm",
    "trixie",
    "forky",
    "duke",
    "sid",
    "oldoldstable",
    "oldstable",
    "stable",
    "testing",
    "unstable",
    "experimental",
];

/// The mirrors named under `etc_apt`, in file order, each once.
pub(crate) fn debian_mirrors(etc_apt: &Path) -> Result<Vec<String>> {
    let mut mirrors: Vec<String> = Vec::new();
    for file in source_files(etc_apt) {
        let Ok(text) = fs::read_to_string(&file) else {
            continue;
        };
        let found = match file.extension().and_then(|it| it.to_str()) {
            Some("sources") => from_paragraphs(&text),
            _ => from_lines(&text),
        };
        for mirror in found {
            if !mirrors.contains(&mirror) {
                mirrors.push(mirror);
            }
        }
    }
    if mirrors.is_empty() {
        bail!(
            "no source below {} is Debian's main archive\n  \
             hint: add one (`Types: deb`, `URIs: …`, `Suites: trixie`, `Components: main`) as {}",
            etc_apt.display(),
            etc_apt.join("sources.list.d/debian.sources").display()
        );
    }
    Ok(mirrors)
}

fn source_files(etc_apt: &Path) -> Vec<PathBuf> {
    let mut parts: Vec<PathBuf> = fs::read_dir(etc_apt.join("sources.list.d"))
        .into_iter()
        .flatten()
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.extension().is_some_and(|it| it == "sources" || it == "list"))
        .collect();
    parts.sort();
    parts.insert(0, etc_apt.join("sources.list"));
    parts
}

/// `deb [options] URI SUITE COMPONENT…`
fn from_lines(text: &str) -> Vec<String> {
    text.lines()
        .filter_map(|line| {
            let line = line.split('#').next()?.trim();
            let rest = line.strip_prefix("deb")?;
            let rest = rest.strip_prefix([' ', '\t'])?.trim_start();
            let rest = match rest.strip_prefix('[') {
                Some(options) => options.split_once(']')?.1,
                None => rest,
            };
            let mut words = rest.split_whitespace();
            let (uri, suite) = (words.next()?, words.next()?);
            is_main_archive(uri, &[suite], &words.collect::<Vec<_>>()).then(|| uri.to_owned())
        })
        .collect()
}

/// Paragraphs of `Field: values`, where a line that starts with a blank continues the one before.
fn from_paragraphs(text: &str) -> Vec<String> {
    let text: String = text
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| if line.trim().is_empty() { "\n" } else { line.trim_end() })
        .map(|line| format!("{line}\n"))
        .collect();
    text.split("\n\n")
        .filter(|paragraph| {
            let types = field(paragraph, "types");
            let enabled = field(paragraph, "enabled");
            types.contains(&"deb") && !enabled.iter().any(|it| it.eq_ignore_ascii_case("no"))
        })
        .flat_map(|paragraph| {
            let suites = field(paragraph, "suites");
            let components = field(paragraph, "components");
            field(paragraph, "uris")
                .into_iter()
                .filter(move |uri| is_main_archive(uri, &suites, &components))
                .map(str::to_owned)
        })
        .collect()
}

/// All words of a field, over its continuation lines.
fn field<'a>(paragraph: &'a str, name: &str) -> Vec<&'a str> {
    let mut words = Vec::new();
    let mut inside = false;
    for line in paragraph.lines() {
        let values = if line.starts_with([' ', '\t']) {
            inside.then_some(line)
        } else {
            let parts = line.split_once(':');
            inside = parts.is_some_and(|(key, _)| key.eq_ignore_ascii_case(name));
            parts.filter(|_| inside).map(|(_, values)| values)
        };
        words.extend(values.into_iter().flat_map(str::split_whitespace));
    }
    words
}

fn is_main_archive(uri: &str, suites: &[&str], components: &[&str]) -> bool {
    let debian = |suite: &&str| DEBIAN_SUITES.contains(suite);
    components.contains(&"main")
        && suites.iter().any(debian)
        && !uri.starts_with("cdrom:")
        && !uri.trim_end_matches('/').ends_with("security")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_form() {
        let text = "# deb http://commented.example/debian trixie main\n\
                    deb-src http://source.example/debian trixie main\n\
                    deb [arch=amd64 signed-by=/x.gpg] http://a.example/debian bookworm main contrib # note\n\
                    deb http://b.example/debian-security bookworm-security main\n\
                    deb cdrom:[disc]/ trixie main\n\
                    deb http://vendor.example/apt tool-bookworm main\n\
                    deb\thttps://c.example/debian\tstable\tmain\n";
        assert_eq!(from_lines(text), ["http://a.example/debian", "https://c.example/debian"]);
    }

    #[test]
    fn paragraph_form() {
        let text = "Types: deb deb-src\n# a comment inside\nURIs: http://a.example/debian\n http://b.example/debian\n\
                    Suites: bookworm bookworm-updates\nComponents: main\n\n\
                    Types: deb\nURIs: http://off.example/debian\nSuites: trixie\nComponents: main\nEnabled: no\n   \n\
                    types: deb\nuris: http://c.example/debian\nsuites:\n trixie\ncomponents: main\n\n\
                    Types: deb-src\nURIs: http://src.example/debian\nSuites: trixie\nComponents: main\n\n\
                    Types: deb\nURIs: http://s.example/debian-security\nSuites: bookworm-security\nComponents: main\n";
        assert_eq!(
            from_paragraphs(text),
            ["http://a.example/debian", "http://b.example/debian", "http://c.example/debian"]
        );
    }

    #[test]
    fn mirrors_are_read_from_both_forms_and_named_once() -> Result<()> {
        let etc = tempfile::tempdir()?;
        fs::create_dir(etc.path().join("sources.list.d"))?;
        fs::write(etc.path().join("sources.list"), "deb http://a.example/debian trixie main\n")?;
        fs::write(
            etc.path().join("sources.list.d/x.sources"),
            "Types: deb\nURIs: http://a.example/debian http://b.example/debian\nSuites: trixie\nComponents: main\n",
        )?;
        fs::write(
            etc.path().join("sources.list.d/y.sources.disabled"),
            "Types: deb\nURIs: http://c.example/debian\nSuites: trixie\nComponents: main\n",
        )?;
        assert_eq!(debian_mirrors(etc.path())?, ["http://a.example/debian", "http://b.example/debian"]);
        Ok(())
    }

    #[test]
    fn no_mirror_says_what_to_add() {
        let etc = tempfile::tempdir().unwrap();
        let error = debian_mirrors(etc.path()).unwrap_err().to_string();
        assert!(error.contains("Components: main"), "{error}");
    }
}
