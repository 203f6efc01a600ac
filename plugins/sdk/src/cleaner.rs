//! The world `cleaner`: a pure function from one document's fields to rows.
//!
//! [`clean`] runs it over a batch and keeps the account that the contract asks for: every document
//! ends in exactly one of rows, skips and rejects, because a [`Verdict`] is exactly one of them.

use crate::{Input, Output, Refusal, columns::Batch};

/// The outcome of one document.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict<R> {
    /// One row.
    Row(R),
    /// Several rows; together they are what Silver holds under the document's key. None at all is a
    /// skip, since every document must be accounted for.
    Rows(Vec<R>),
    /// The document rightly makes no row.
    Skip(String),
    /// The document cannot be cleaned: it is quarantined with this reason.
    Reject(String),
}

impl<R> From<R> for Verdict<R> {
    fn from(row: R) -> Self {
        Self::Row(row)
    }
}

impl<R, E: Into<Refusal>> From<Result<R, E>> for Verdict<R> {
    fn from(result: Result<R, E>) -> Self {
        match result.map_err(Into::into) {
            Ok(row) => Self::Row(row),
            Err(Refusal::Skip(reason)) => Self::Skip(reason),
            Err(Refusal::Reject(reason)) => Self::Reject(reason),
        }
    }
}

/// Why a document made no row: the contract's `note`.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Index of the document in the input.
    pub index: u32,
    /// In the plugin's words.
    pub reason: String,
}

/// The outcome of a batch: the contract's `cleaned`.
#[doc(hidden)]
#[derive(Debug, Clone, PartialEq)]
pub struct Cleaned {
    /// The rows.
    pub rows: Batch,
    /// For each row, its document.
    pub row_of: Vec<u32>,
    /// Documents that cannot be cleaned.
    pub rejects: Vec<Note>,
    /// Documents that rightly make no row.
    pub skips: Vec<Note>,
}

/// Runs the rules over a batch of documents.
#[doc(hidden)]
pub fn clean<'b, I, O, V>(documents: &'b Batch, mut rules: impl FnMut(I) -> V) -> Cleaned
where
    I: Input<'b>,
    O: Output,
    V: Into<Verdict<O>>,
{
    let columns = I::columns(documents);
    let mut rows = O::builders(documents.rows as usize);
    let mut row_of = Vec::with_capacity(documents.rows as usize);
    let (mut rejects, mut skips) = (Vec::new(), Vec::new());
    for index in 0..documents.rows {
        match rules(I::row(&columns, index as usize)).into() {
            Verdict::Row(row) => {
                row.push(&mut rows);
                row_of.push(index);
            }
            Verdict::Rows(several) if several.is_empty() => {
                skips.push(Note { index, reason: "no rows".to_owned() });
            }
            Verdict::Rows(several) => {
                for row in several {
                    row.push(&mut rows);
                    row_of.push(index);
                }
            }
            Verdict::Skip(reason) => skips.push(Note { index, reason }),
            Verdict::Reject(reason) => rejects.push(Note { index, reason }),
        }
    }
    Cleaned { rows: O::finish(rows), row_of, rejects, skips }
}

/// Makes a crate a cleaner plugin. Write it once, in `lib.rs`.
///
/// ```
/// use sluicebox_sdk::{Input, Output, Refusal};
///
/// #[derive(Input)]
/// struct Film<'a> {
///     #[field(pointer = "/Title")]
///     title: Option<&'a str>,
/// }
///
/// #[derive(Output)]
/// struct Row<'a> {
///     title: &'a str,
/// }
///
/// fn clean<'a>(_: &sluicebox_sdk::NoConfig, film: Film<'a>) -> Result<Row<'a>, Refusal> {
///     let title = film.title.ok_or("`Title`: expected text, got nothing")?;
///     Ok(Row { title })
/// }
///
/// sluicebox_sdk::cleaner! { input = Film, output = Row, clean = clean }
/// # fn main() {}
/// ```
///
/// `clean` takes the settings and one document, and returns a [`Verdict`], a row, or a `Result` of a
/// row. `config = TYPE` comes first when the plugin has settings (see [`Config`](crate::Config)).
/// Name and version in the descriptor are the crate's.
#[macro_export]
macro_rules! cleaner {
    (config = $config:ty, input = $input:ty, output = $output:ty, clean = $clean:expr $(,)?) => {
        const _: () = {
            $crate::__world!(
                cleaner,
                config = $config,
                input = <$input as $crate::Input>::FIELDS,
                output = <$output as $crate::Output>::FIELDS
            );

            impl bindings::exports::sluicebox::plugin::clean::Guest for Plugin {
                fn clean(documents: $crate::columns::Batch) -> $crate::cleaner::Cleaned {
                    let config = CONFIG.get();
                    $crate::cleaner::clean::<$input, $output, _>(&documents, |document| $clean(config, document))
                }
            }
        };
    };
    (input = $($rest:tt)*) => {
        $crate::cleaner! { config = $crate::NoConfig, input = $($rest)* }
    };
    ($($other:tt)*) => {
        compile_error!("expected `cleaner! { config = TYPE, input = TYPE, output = TYPE, clean = FUNCTION }`; `config` may be left out");
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(crate::Input)]
    struct Document<'a> {
        text: &'a str,
    }

    #[derive(crate::Input, crate::Output, Debug, PartialEq)]
    struct Row<'a> {
        text: &'a str,
    }

    fn documents(texts: &[&str]) -> Batch {
        let mut rows = Row::builders(0);
        for text in texts {
            Row { text }.push(&mut rows);
        }
        Row::finish(rows)
    }

    fn note(index: u32, reason: &str) -> Note {
        Note { index, reason: reason.to_owned() }
    }

    #[test]
    fn every_document_ends_in_exactly_one_place() {
        let documents = documents(&["one", "no", "two", "later", "none", "one"]);
        let cleaned = clean::<Document<'_>, Row<'_>, _>(&documents, |document| match document.text {
            "no" => Verdict::Reject("bad".to_owned()),
            "later" => Verdict::Skip("not now".to_owned()),
            "none" => Verdict::Rows(Vec::new()),
            "two" => Verdict::Rows(vec![Row { text: "2a" }, Row { text: "2b" }]),
            text => Verdict::Row(Row { text }),
        });
        assert_eq!(cleaned.row_of, [0, 2, 2, 5]);
        assert_eq!(cleaned.rejects, [note(1, "bad")]);
        assert_eq!(cleaned.skips, [note(3, "not now"), note(4, "no rows")]);
        let columns = Row::columns(&cleaned.rows);
        let texts: Vec<_> = (0..4).map(|row| Row::row(&columns, row).text).collect();
        assert_eq!(texts, ["one", "2a", "2b", "one"]);
    }

    #[test]
    fn rules_may_return_rows_results_and_refusals() {
        let verdict: Verdict<u8> = 1.into();
        assert_eq!(verdict, Verdict::Row(1));
        let verdict: Verdict<u8> = Err::<u8, _>("text").into();
        assert_eq!(verdict, Verdict::Reject("text".to_owned()));
        let verdict: Verdict<u8> = Err::<u8, _>(Refusal::skip("quiet")).into();
        assert_eq!(verdict, Verdict::Skip("quiet".to_owned()));
    }
}
