//! A list that is still in its column: nothing is copied until an item is asked for.
//!
//! Not here: lists that a plugin makes, which are plain `Vec`s.

use super::InputScalar;
use std::{fmt, ops::Range};

/// The items of one row of a list column, borrowed.
///
/// In tests of rules, where there are no columns, make one with [`List::of`].
#[derive(Clone, Copy)]
pub struct List<'b, T: InputScalar<'b>> {
    items: Items<'b, T>,
    start: usize,
    end: usize,
}

#[derive(Clone, Copy)]
enum Items<'b, T: InputScalar<'b>> {
    Column(T::Values),
    Slice(&'b [T]),
}

impl<'b, T: InputScalar<'b>> List<'b, T> {
    #[inline(always)]
    pub(super) fn new(values: T::Values, start: usize, end: usize) -> Self {
        Self { items: Items::Column(values), start, end }
    }

    /// A list that is in no column.
    pub fn of(items: &'b [T]) -> Self {
        Self { items: Items::Slice(items), start: 0, end: items.len() }
    }

    /// How many items there are.
    pub fn len(&self) -> usize {
        self.end.saturating_sub(self.start)
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The items in their order.
    #[inline]
    pub fn iter(&self) -> Iter<'b, T> {
        Iter { items: self.items.copied(), range: self.start..self.end }
    }
}

impl<'b, T: InputScalar<'b>> Items<'b, T> {
    /// A copy, also where `T` itself is none: both variants are references.
    #[inline(always)]
    fn copied(&self) -> Self {
        match self {
            Self::Column(values) => Self::Column(*values),
            Self::Slice(items) => Self::Slice(items),
        }
    }

    #[inline(always)]
    fn at(&self, index: usize) -> Option<T> {
        match self {
            Self::Column(values) => Some(T::at(*values, index)),
            Self::Slice(items) => items.get(index).cloned(),
        }
    }
}

/// The items of a [`List`].
pub struct Iter<'b, T: InputScalar<'b>> {
    items: Items<'b, T>,
    range: Range<usize>,
}

impl<'b, T: InputScalar<'b>> Iterator for Iter<'b, T> {
    type Item = T;

    #[inline]
    fn next(&mut self) -> Option<T> {
        self.range.next().and_then(|index| self.items.at(index))
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        self.range.size_hint()
    }
}

impl<'b, T: InputScalar<'b>> ExactSizeIterator for Iter<'b, T> {}

impl<'b, T: InputScalar<'b>> IntoIterator for List<'b, T> {
    type Item = T;
    type IntoIter = Iter<'b, T>;

    fn into_iter(self) -> Iter<'b, T> {
        self.iter()
    }
}

impl<'b, T: InputScalar<'b>> IntoIterator for &List<'b, T> {
    type Item = T;
    type IntoIter = Iter<'b, T>;

    fn into_iter(self) -> Iter<'b, T> {
        self.iter()
    }
}

impl<'b, T: InputScalar<'b>> Default for List<'b, T> {
    fn default() -> Self {
        Self::of(&[])
    }
}

impl<'b, T: InputScalar<'b> + fmt::Debug> fmt::Debug for List<'b, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<'b, T: InputScalar<'b> + PartialEq> PartialEq for List<'b, T> {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}
