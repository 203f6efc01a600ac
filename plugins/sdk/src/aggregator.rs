//! The world `aggregator`: a state that rows are added to, that can be saved and merged, and that
//! becomes a table.
//!
//! Partial results are saved with `postcard`, which is compact and has no field names: a state is
//! read back by the same version of the plugin only, which is what the contract promises. Not here:
//! which rows come in which partial, which is the host's affair and must not matter.

use crate::{Config, Input, Output, columns::Batch};
use serde::{Serialize, de::DeserializeOwned};

/// An aggregation.
///
/// The host folds rows in any order and in any number of partials, keeps the partials, and merges
/// them again when a row has changed. So the result must not depend on how rows were spread:
/// [`merge`](Self::merge) must be associative and commutative, and merging an empty state must change
/// nothing. `sluicebox plugin test` tries all three on your golden cases. The host tries the first two on
/// the partial results that a lake has, before it publishes a table (P141). Three things help:
///
/// - **Sum integers.** Floating-point addition is not associative: `(0.1 + 0.2) + 0.3` and
///   `0.1 + (0.2 + 0.3)` differ in the last bit, so a sum of floats changes with the number of
///   buckets. Sum cents, tenths, counts, and divide in [`finish`](Self::finish).
/// - **Group in [`Groups`](crate::Groups)**, whose saved bytes and whose order are those of its keys.
/// - **Sort the table** by something that no two rows share.
pub trait Aggregate: Default + Serialize + DeserializeOwned {
    /// The settings; [`NoConfig`](crate::NoConfig) where there are none.
    type Config: Config;
    /// What is read of each row of Silver.
    type Row<'a>: Input<'a>;
    /// A row of the table.
    type Output: Output;

    /// Adds a row.
    fn add(&mut self, config: &Self::Config, row: Self::Row<'_>);
    /// Adds another state.
    fn merge(&mut self, other: Self);
    /// The table, in an order that does not depend on how rows came.
    fn finish(&self, config: &Self::Config) -> Vec<Self::Output>;
}

/// Adds the rows of a batch.
#[doc(hidden)]
pub fn add<A: Aggregate>(state: &mut A, config: &A::Config, rows: &Batch) {
    let columns = <A::Row<'_> as Input<'_>>::columns(rows);
    for row in 0..rows.rows as usize {
        state.add(config, <A::Row<'_> as Input<'_>>::row(&columns, row));
    }
}

/// A state as bytes.
#[doc(hidden)]
#[allow(clippy::expect_used, reason = "fails only for a state whose own `Serialize` does: a trap names the plugin")]
pub fn save<A: Aggregate>(state: &A) -> Vec<u8> {
    postcard::to_stdvec(state).expect("the state can be written")
}

/// Adds a saved state.
#[doc(hidden)]
pub fn merge<A: Aggregate>(state: &mut A, partial: &[u8]) -> Result<(), String> {
    let (other, rest) = postcard::take_from_bytes(partial)
        .map_err(|error| format!("this is no partial result of this version of the plugin: {error}"))?;
    if !rest.is_empty() {
        return Err(format!(
            "this is no partial result of this version of the plugin: {} bytes are left over",
            rest.len()
        ));
    }
    state.merge(other);
    Ok(())
}

/// The table of a state.
#[doc(hidden)]
pub fn finish<A: Aggregate>(state: &A, config: &A::Config) -> Batch {
    let table = state.finish(config);
    let mut rows = <A::Output as Output>::builders(table.len());
    for row in table {
        row.push(&mut rows);
    }
    A::Output::finish(rows)
}

/// Makes a crate an aggregator plugin. Write it once, in `lib.rs`.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use sluicebox_sdk::{Aggregate, Groups, Input, NoConfig, Output};
///
/// #[derive(Input)]
/// struct Film<'a> {
///     rated: &'a str,
/// }
///
/// #[derive(Output)]
/// struct Row {
///     rated: String,
///     films: i64,
/// }
///
/// #[derive(Default, Serialize, Deserialize)]
/// struct Ratings(Groups<String, i64>);
///
/// impl Aggregate for Ratings {
///     type Config = NoConfig;
///     type Row<'a> = Film<'a>;
///     type Output = Row;
///
///     fn add(&mut self, _: &NoConfig, film: Film<'_>) {
///         *self.0.of(film.rated) += 1;
///     }
///
///     fn merge(&mut self, other: Self) {
///         self.0.merge(other.0, |mine, theirs| *mine += theirs);
///     }
///
///     fn finish(&self, _: &NoConfig) -> Vec<Row> {
///         self.0.sorted().into_iter().map(|(rated, films)| Row { rated: rated.clone(), films: *films }).collect()
///     }
/// }
///
/// sluicebox_sdk::aggregator! { aggregate = Ratings }
/// # fn main() {}
/// ```
#[macro_export]
macro_rules! aggregator {
    (aggregate = $state:ty $(,)?) => {
        const _: () = {
            $crate::__world!(
                aggregator,
                config = <$state as $crate::Aggregate>::Config,
                input = <<$state as $crate::Aggregate>::Row<'_> as $crate::Input>::FIELDS,
                output = <<$state as $crate::Aggregate>::Output as $crate::Output>::FIELDS
            );

            struct Aggregation(::std::cell::RefCell<$state>);

            impl bindings::exports::sluicebox::plugin::aggregate::Guest for Plugin {
                type Aggregation = Aggregation;
            }

            impl bindings::exports::sluicebox::plugin::aggregate::GuestAggregation for Aggregation {
                fn new() -> Self {
                    Self(Default::default())
                }

                fn add(&self, rows: $crate::columns::Batch) {
                    $crate::aggregator::add(&mut *self.0.borrow_mut(), CONFIG.get(), &rows);
                }

                fn save(&self) -> Vec<u8> {
                    $crate::aggregator::save(&*self.0.borrow())
                }

                fn merge(&self, partial: Vec<u8>) -> Result<(), String> {
                    $crate::aggregator::merge(&mut *self.0.borrow_mut(), &partial)
                }

                fn finish(&self) -> $crate::columns::Batch {
                    $crate::aggregator::finish(&*self.0.borrow(), CONFIG.get())
                }
            }
        };
    };
    ($($other:tt)*) => {
        compile_error!(
            "expected `aggregator! { aggregate = TYPE }`, where the type implements `sluicebox_sdk::Aggregate`"
        );
    };
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Groups, NoConfig};
    use serde::Deserialize;

    #[derive(crate::Input, crate::Output, Debug, PartialEq)]
    struct Count {
        word: String,
        times: i64,
    }

    #[derive(Default, Debug, PartialEq, Serialize, Deserialize)]
    struct Words(Groups<String, i64>);

    impl Aggregate for Words {
        type Config = NoConfig;
        type Row<'a> = Count;
        type Output = Count;

        fn add(&mut self, _: &NoConfig, row: Count) {
            *self.0.of(row.word.as_str()) += row.times;
        }

        fn merge(&mut self, other: Self) {
            self.0.merge(other.0, |mine, theirs| *mine += theirs);
        }

        fn finish(&self, _: &NoConfig) -> Vec<Count> {
            self.0.sorted().into_iter().map(|(word, times)| Count { word: word.clone(), times: *times }).collect()
        }
    }

    fn words(words: &[&str]) -> Words {
        let mut rows = Count::builders(0);
        for word in words {
            Count { word: (*word).to_owned(), times: 1 }.push(&mut rows);
        }
        let mut state = Words::default();
        add(&mut state, &NoConfig {}, &Count::finish(rows));
        state
    }

    #[test]
    fn saved_parts_merge_to_the_whole() {
        let mut merged = words(&["b", "a"]);
        merge(&mut merged, &save(&words(&["a", "c"]))).unwrap();
        merge(&mut merged, &save(&Words::default())).unwrap();
        let whole = words(&["c", "a", "b", "a"]);
        assert_eq!(save(&merged), save(&whole));
        assert_eq!(finish(&merged, &NoConfig {}), finish(&whole, &NoConfig {}));
    }

    #[test]
    fn what_is_no_partial_is_refused_and_changes_nothing() {
        let mut state = words(&["a"]);
        let mut long = save(&words(&["b"]));
        long.push(0);
        for wrong in [&[][..], &[0xFF; 9], &long] {
            assert!(merge(&mut state, wrong).is_err());
        }
        assert_eq!(state, words(&["a"]));
    }
}
