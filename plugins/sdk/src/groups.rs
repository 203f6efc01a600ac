//! Groups by key, for aggregations: quick to find, and the same bytes and the same order however the
//! rows came.
//!
//! Not here: what is counted in a group.

use rustc_hash::FxHashMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{borrow::Borrow, collections::BTreeMap, hash::Hash};

/// A map from a key to the figures of its group.
///
/// It is a hash map while rows are added, and sorted by key when it is written or read out: two maps
/// that are equal have equal bytes, whatever happened to them before.
#[derive(Debug, Clone)]
pub struct Groups<K, V> {
    /// Where the figures of a key are.
    places: FxHashMap<K, usize>,
    figures: Vec<V>,
}

impl<K, V> Default for Groups<K, V> {
    fn default() -> Self {
        Self { places: FxHashMap::default(), figures: Vec::new() }
    }
}

#[allow(clippy::indexing_slicing, reason = "every place in the map is one of the vector, which never shrinks")]
impl<K: Eq + Hash + Ord, V> Groups<K, V> {
    /// The group of a key, a new one if there is none. The key is copied for a new group only.
    #[inline]
    pub fn of<Q>(&mut self, key: &Q) -> &mut V
    where
        K: Borrow<Q>,
        Q: Eq + Hash + ToOwned<Owned = K> + ?Sized,
        V: Default,
    {
        let place = match self.places.get(key) {
            Some(place) => *place,
            None => self.insert(key.to_owned(), V::default()),
        };
        &mut self.figures[place]
    }

    /// Adds other groups; `both` adds the second to the first where both have the key.
    pub fn merge(&mut self, other: Self, mut both: impl FnMut(&mut V, V)) {
        let mut theirs: Vec<_> = other.figures.into_iter().map(Some).collect();
        for (key, place) in other.places {
            let Some(theirs) = theirs.get_mut(place).and_then(Option::take) else { continue };
            match self.places.get(&key) {
                Some(place) => both(&mut self.figures[*place], theirs),
                None => {
                    self.insert(key, theirs);
                }
            }
        }
    }

    /// The groups in the order of their keys.
    pub fn sorted(&self) -> Vec<(&K, &V)> {
        let mut groups: Vec<_> = self.places.iter().map(|(key, place)| (key, &self.figures[*place])).collect();
        groups.sort_unstable_by_key(|(key, _)| *key);
        groups
    }

    /// How many groups there are.
    pub fn len(&self) -> usize {
        self.figures.len()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.figures.is_empty()
    }

    fn insert(&mut self, key: K, figures: V) -> usize {
        let place = self.figures.len();
        self.figures.push(figures);
        self.places.insert(key, place);
        place
    }
}

impl<K: Eq + Hash + Ord, V: PartialEq> PartialEq for Groups<K, V> {
    fn eq(&self, other: &Self) -> bool {
        self.sorted() == other.sorted()
    }
}

impl<K: Eq + Hash + Ord, V> FromIterator<(K, V)> for Groups<K, V> {
    /// A key that comes twice keeps the last of its figures.
    fn from_iter<I: IntoIterator<Item = (K, V)>>(groups: I) -> Self {
        let mut all = Self::default();
        for (key, figures) in groups.into_iter().collect::<BTreeMap<_, _>>() {
            all.insert(key, figures);
        }
        all
    }
}

impl<K: Eq + Hash + Ord + Serialize, V: Serialize> Serialize for Groups<K, V> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.sorted())
    }
}

impl<'de, K: Eq + Hash + Ord + Deserialize<'de>, V: Deserialize<'de>> Deserialize<'de> for Groups<K, V> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        BTreeMap::deserialize(deserializer).map(|groups: BTreeMap<K, V>| groups.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(keys: &[&str]) -> Groups<String, i64> {
        let mut groups = Groups::default();
        for key in keys {
            *groups.of(*key) += 1;
        }
        groups
    }

    #[test]
    fn equal_groups_have_equal_bytes() {
        let (one, two) = (groups(&["b", "a", "c", "a"]), groups(&["a", "c", "b", "a"]));
        assert_eq!(one, two);
        assert_eq!(postcard::to_stdvec(&one).unwrap(), postcard::to_stdvec(&two).unwrap());
    }

    #[test]
    fn merging_parts_gives_the_whole() {
        let whole = groups(&["a", "b", "a", "c", "c"]);
        let mut merged = groups(&["a", "b"]);
        merged.merge(groups(&["a", "c", "c"]), |mine, theirs| *mine += theirs);
        merged.merge(Groups::default(), |mine, theirs| *mine += theirs);
        assert_eq!(merged, whole);
    }

    #[test]
    fn bytes_are_read_back() {
        let groups = groups(&["x", "y", "x"]);
        let bytes = postcard::to_stdvec(&groups).unwrap();
        assert_eq!(postcard::from_bytes::<Groups<String, i64>>(&bytes).unwrap(), groups);
    }
}
