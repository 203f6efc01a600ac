//! Answers for the paths that a Rust file names: those of its `use` lines, and those in the code that a crate's own module may stand behind.
//!
//! Does not know which modules there are. Comments and strings hold no paths, and code for tests alone is left out.

use proc_macro2::{Delimiter, Group, Spacing, TokenStream, TokenTree};

use super::modules::Path;

/// A path where it stands.
pub(super) struct Named {
    /// The module that it stands in, of the file or inside of it.
    pub(super) module: Path,
    pub(super) path: Path,
    /// What a `use` calls it.
    pub(super) imported_as: Option<String>,
}

/// All paths of a file that is `module`; none where the file is no Rust.
pub(super) fn named(module: &[String], text: &str) -> Vec<Named> {
    let mut found = Vec::new();
    if let Ok(tokens) = text.parse() {
        walk(module, tokens, &mut found);
    }
    found
}

fn walk(module: &[String], tokens: TokenStream, found: &mut Vec<Named>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    let mut rest = tokens.as_slice();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        match first {
            TokenTree::Punct(punct) if punct.as_char() == '#' => match after {
                [TokenTree::Group(attribute), after @ ..] if is_for_tests(attribute) => rest = behind_item(after),
                [TokenTree::Punct(bang), TokenTree::Group(attribute), ..]
                    if bang.as_char() == '!' && is_for_tests(attribute) =>
                {
                    return;
                }
                _ => {}
            },
            TokenTree::Punct(punct) if punct.as_char() == ':' && punct.spacing() == Spacing::Joint => {
                // `<T>::name` and `::name`: no module of ours begins there.
                rest = behind_path(after.get(1..).unwrap_or_default()).1;
            }
            TokenTree::Ident(word) => rest = word_at(module, &word.to_string(), after, found),
            TokenTree::Group(group) => walk(module, group.stream(), found),
            _ => {}
        }
    }
}

/// Reads what a word begins, and returns the rest.
fn word_at<'t>(module: &[String], word: &str, after: &'t [TokenTree], found: &mut Vec<Named>) -> &'t [TokenTree] {
    match (word, after) {
        // `pub(in crate::x)` names a module without needing it.
        ("pub", [TokenTree::Group(group), after @ ..]) if group.delimiter() == Delimiter::Parenthesis => {
            let tuple_field = !matches!(
                group.stream().into_iter().next(),
                Some(TokenTree::Ident(first)) if ["crate", "self", "super", "in"].iter().any(|word| first == word)
            );
            if tuple_field {
                walk(module, group.stream(), found);
            }
            after
        }
        ("mod", [TokenTree::Ident(name), TokenTree::Group(body), after @ ..]) => {
            let inside: Path = module.iter().cloned().chain([name.to_string()]).collect();
            walk(&inside, body.stream(), found);
            after
        }
        // What is exported stands in the crate's root, wherever it is written.
        ("macro_rules", [bang, TokenTree::Ident(name), after @ ..]) if is(Some(bang), '!') => {
            let path = std::iter::once("crate".to_owned()).chain(module.iter().cloned()).collect();
            found.push(Named { module: Path::new(), path, imported_as: Some(name.to_string()) });
            after
        }
        ("use", after) if !is(after.first(), '<') => {
            let end = after.iter().position(|token| is(Some(token), ';')).unwrap_or(after.len());
            let (tree, after) = after.split_at(end);
            imports(module, &[], tree, found);
            after
        }
        (first, after) => {
            let (mut path, after) = behind_path_of(first, after);
            if path.len() > 1 {
                path.truncate(path.iter().position(|segment| segment == "*").unwrap_or(path.len()));
                found.push(Named { module: module.to_vec(), path, imported_as: None });
            }
            after
        }
    }
}

/// The leaves of a `use`, with what stands before its braces.
fn imports(module: &[String], before: &[String], tree: &[TokenTree], found: &mut Vec<Named>) {
    if is(tree.first(), ':') && before.is_empty() {
        // `::name` is a crate, also beside a module of that name: an empty segment is no module's child.
        return imports(module, &[String::new()], tree.get(2..).unwrap_or_default(), found);
    }
    let (segments, after) = match tree.split_first() {
        Some((TokenTree::Ident(first), after)) => behind_path_of(&first.to_string(), after),
        _ => (Path::new(), tree),
    };
    let mut path: Path = before.iter().cloned().chain(segments).collect();
    match after {
        [TokenTree::Group(braces)] => {
            let leaves: Vec<TokenTree> = braces.stream().into_iter().collect();
            leaves
                .split(|token| is(Some(token), ','))
                .filter(|leaf| !leaf.is_empty())
                .for_each(|leaf| imports(module, &path, leaf, found));
        }
        [TokenTree::Punct(colon), _, rest @ ..] if colon.as_char() == ':' => imports(module, &path, rest, found),
        _ => {
            if path.last().is_some_and(|last| last == "self") && path.len() > 1 {
                path.pop();
            }
            let renamed = match after {
                [TokenTree::Ident(_), TokenTree::Ident(name)] => Some(name.to_string()),
                _ => None,
            };
            let star = is(after.first(), '*');
            let imported_as = if star { None } else { renamed.or_else(|| path.last().cloned()) };
            if !path.is_empty() {
                found.push(Named { module: module.to_vec(), path, imported_as });
            }
        }
    }
}

fn behind_path_of<'t>(first: &str, after: &'t [TokenTree]) -> (Path, &'t [TokenTree]) {
    let (more, after) = match after {
        [TokenTree::Punct(one), TokenTree::Punct(two), rest @ ..] if one.as_char() == ':' && two.as_char() == ':' => {
            let (more, behind) = behind_path(rest);
            if more.is_empty() { (more, after) } else { (more, behind) }
        }
        _ => (Path::new(), after),
    };
    (std::iter::once(first.to_owned()).chain(more).collect(), after)
}

/// The segments at the front, and what is behind them.
fn behind_path(tokens: &[TokenTree]) -> (Path, &[TokenTree]) {
    match tokens.split_first() {
        Some((TokenTree::Ident(word), after)) => behind_path_of(&word.to_string(), after),
        _ => (Path::new(), tokens),
    }
}

/// `[cfg(test)]` or `[cfg(all(test, …))]`.
fn is_for_tests(attribute: &Group) -> bool {
    let text = attribute.stream().to_string().replace(' ', "");
    text == "cfg(test)" || text.starts_with("cfg(all(test,")
}

/// What is behind the item at the front: it ends with its braces or its semicolon.
fn behind_item(tokens: &[TokenTree]) -> &[TokenTree] {
    let end = tokens.iter().position(|token| match token {
        TokenTree::Group(group) => group.delimiter() == Delimiter::Brace,
        token => is(Some(token), ';'),
    });
    end.and_then(|end| tokens.get(end + 1..)).unwrap_or_default()
}

fn is(token: Option<&TokenTree>, wanted: char) -> bool {
    matches!(token, Some(TokenTree::Punct(punct)) if punct.as_char() == wanted)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(text: &str) -> Vec<String> {
        let told = |it: Named| match it.imported_as {
            Some(name) => format!("{} as {name}", it.path.join("::")),
            None => it.path.join("::"),
        };
        named(&[], text).into_iter().map(told).collect()
    }

    #[test]
    fn uses_are_taken_apart() {
        let text = "pub(crate) use a::{self, b::{c, d as e}, f::*}; use ::g::h; use super::i::{j,};";
        assert_eq!(all(text), ["a as a", "a::b::c as c", "a::b::d as e", "a::f", "::g::h as h", "super::i::j as j"]);
    }

    #[test]
    fn paths_are_found_in_code_and_in_macros() {
        let text = "fn f(x: &super::A<crate::B>) -> Vec<c::D> { say!(\"\", self::e(1)); <T as x::Y>::Z; let y: ::c::D; g::<u8>::new() }";
        assert_eq!(all(text), ["super::A", "crate::B", "c::D", "self::e", "x::Y"]);
    }

    #[test]
    fn modules_inside_a_file_have_their_own_path() {
        let found =
            named(&["a".to_owned()], "mod b { use super::c; } struct T(pub (d::E, u8)); pub(in f::g) fn h() {}");
        let told: Vec<(String, String)> = found.iter().map(|it| (it.module.join("::"), it.path.join("::"))).collect();
        let expected = [("a::b", "super::c"), ("a", "d::E")].map(|(a, b)| (a.to_owned(), b.to_owned()));
        assert_eq!(told, expected);
    }
}
