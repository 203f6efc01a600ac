//! Partial results of many buckets, merged in groups and groups of groups, so that one changed bucket costs a merge of its group and not
//! of all buckets.
//!
//! Does not keep anything and does not fold: `lake::gold` and `super` do. Never changes the order: what is merged are neighbours, and the
//! contract says that `merge` is associative, which `associative` holds the plugin to.

use std::num::NonZeroUsize;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};
use lake::gold::PartialId;
use seams::plugin::{Aggregator, Fault};
use seams::spans;

/// The most members that a group has, and the most partial results that are finished. Up to so many buckets have no groups, and up to its
/// square a correction merges at most twice as many.
pub const FAN_OUT: u32 = 64;

/// A partial result and its place.
#[derive(Clone, Copy, Debug)]
pub(super) struct Node {
    /// Its number on its level: a bucket's own; a group's is its members' divided by [`FAN_OUT`]. Fixed, so that a bucket that comes or
    /// goes moves no other to another group.
    pub(super) place: u32,
    /// Says what it was made from.
    pub(super) id: PartialId,
}

/// Some neighbours.
#[derive(Debug)]
struct Group {
    id: PartialId,
    size: usize,
}

/// How the partial results of some buckets come together: groups, from the buckets up.
#[derive(Debug)]
pub(super) struct Tree(Vec<Vec<Group>>);

/// The partial results of a tree.
#[derive(Debug)]
pub(super) struct Grown {
    /// Of its groups, in the order of [`Tree::groups`].
    pub(super) groups: Vec<Bytes>,
    /// What is to be finished, in the order of the buckets.
    pub(super) top: Vec<Bytes>,
    /// How many of them were merged and not there already.
    pub(super) merged: usize,
}

impl Tree {
    /// Over these buckets, in their order.
    pub(super) fn over(buckets: &[Node]) -> Self {
        let mut levels = Vec::new();
        let mut nodes = buckets.to_vec();
        while nodes.len() > FAN_OUT as usize {
            let (mut level, mut above) = (Vec::new(), Vec::new());
            for members in nodes.chunk_by(|a, b| a.place / FAN_OUT == b.place / FAN_OUT) {
                let group = Group::of(members);
                above.extend(members.first().map(|first| Node { place: first.place / FAN_OUT, id: group.id }));
                level.push(group);
            }
            levels.push(level);
            nodes = above;
        }
        Tree(levels)
    }

    /// The ids of all groups, level by level.
    pub(super) fn groups(&self) -> impl Iterator<Item = PartialId> {
        self.0.iter().flatten().map(|group| group.id)
    }

    /// Merges those of the buckets, up to the top. Of the groups, in the order of [`Tree::groups`], those that are `kept` are not made.
    pub(super) async fn grow(
        &self,
        plugin: &dyn Aggregator,
        of_buckets: &[Bytes],
        kept: Vec<Option<Bytes>>,
        at_once: NonZeroUsize,
    ) -> Result<Grown, Fault> {
        let mut grown = Grown { groups: Vec::new(), top: of_buckets.to_vec(), merged: 0 };
        let mut kept = kept.into_iter();
        for level in &self.0 {
            let mut below = grown.top.as_slice();
            let mut merges = Vec::new();
            for (group, kept) in level.iter().zip(kept.by_ref()) {
                let (members, rest) = below.split_at_checked(group.size).unwrap_or((below, &[]));
                below = rest;
                grown.merged += usize::from(kept.is_none());
                merges.push(async move {
                    match kept {
                        Some(partial) => Ok(partial),
                        None => spans::called(spans::call(plugin, "merge", members.len()), plugin.merge(members)).await,
                    }
                });
            }
            let merged: Vec<Bytes> = stream::iter(merges).buffered(at_once.get()).try_collect().await?;
            grown.groups.extend_from_slice(&merged);
            grown.top = merged;
        }
        Ok(grown)
    }
}

impl Group {
    fn of(members: &[Node]) -> Self {
        // Whatever a member was made from, the plugin and its configuration too, is in its id, and so in the group's.
        let ids: Vec<u8> = members.iter().flat_map(|member| member.id.bytes()).collect();
        Group { id: PartialId::of(&[b"merged", &ids]), size: members.len() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn nodes(buckets: impl IntoIterator<Item = u32>) -> Vec<Node> {
        buckets.into_iter().map(|place| Node { place, id: PartialId::of(&[&place.to_be_bytes()]) }).collect()
    }

    fn sizes(buckets: u32) -> Vec<Vec<usize>> {
        let tree = Tree::over(&nodes(0..buckets));
        tree.0.iter().map(|level| level.iter().map(|group| group.size).collect()).collect()
    }

    #[test]
    fn few_buckets_have_no_groups() {
        for buckets in [0, 1, 63, 64] {
            assert_eq!(sizes(buckets), Vec::<Vec<usize>>::new());
        }
    }

    #[test]
    fn many_buckets_come_together_in_groups_and_groups_of_groups() {
        assert_eq!(sizes(65), [vec![64, 1]]);
        assert_eq!(sizes(200), [vec![64, 64, 64, 8]]);
        let large = sizes(5000);
        assert_eq!((large.len(), large[0].len(), large[1].clone()), (2, 79, vec![64, 15]));
    }

    /// Gaps are not filled from the next group: a bucket that comes changes its own groups alone.
    #[test]
    fn a_bucket_that_comes_changes_its_own_groups_and_no_other() {
        let before = Tree::over(&nodes((0..5000).filter(|bucket| *bucket != 70)));
        let after = Tree::over(&nodes(0..5000));
        let own = [1, 79];
        let changed = before.groups().zip(after.groups()).enumerate().filter(|(_, (before, after))| before != after);
        assert_eq!(changed.map(|(at, _)| at).collect::<Vec<_>>(), own);
        assert_eq!(before.groups().count(), after.groups().count());
    }

    #[test]
    fn a_group_s_name_says_who_is_in_it_and_in_which_order() {
        let of = |members: &[u32]| Group::of(&nodes(members.iter().copied())).id;
        let all = [of(&[1, 2]), of(&[2, 1]), of(&[1]), of(&[1, 2, 3]), nodes([1])[0].id];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
