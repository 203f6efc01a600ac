//! Partial results of many buckets, merged in groups and groups of groups, so that one changed bucket costs a merge of its group and not
//! of all buckets.
//!
//! Does not keep anything and does not fold: `lake::gold` and `super` do. Never changes the order: what is merged are neighbours, and the
//! contract says that `merge` is associative, which `associative` holds the plugin to.

use std::num::NonZeroUsize;

use bytes::Bytes;
use futures::{StreamExt, TryStreamExt, stream};

use crate::lake::gold::Partials;
use crate::lake::keys::fingerprint;
use crate::seams::plugin::{Aggregator, Fault};

/// How many partial results are finished without a group, and the most that a group has. Twice this is what a correction merges at most while
/// there are no more buckets than its square.
pub const FAN_OUT: u32 = 64;

/// A partial result: what it was made from is in its name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Node {
    /// Its place among its like: a bucket's number, or that of the first bucket of a group divided by the size of such groups. Fixed, so that a
    /// bucket which comes or goes moves no other to another group.
    place: u32,
    /// Its id: that of a group is made from those of its members.
    id: String,
}

impl Node {
    pub(super) fn of_bucket(bucket: u32, id: String) -> Self {
        Node { place: bucket, id }
    }
}

/// A group and its members.
#[derive(Debug)]
struct Group {
    id: String,
    members: Vec<String>,
}

/// How the partial results of some buckets come together.
#[derive(Debug)]
pub(super) struct Tree {
    /// From the buckets up.
    levels: Vec<Vec<Group>>,
    /// The ids of what is finished, in the order of the buckets.
    top: Vec<String>,
}

impl Tree {
    /// Over these buckets, in their order.
    pub(super) fn over(buckets: Vec<Node>) -> Self {
        let mut levels = Vec::new();
        let mut nodes = buckets;
        while nodes.len() > FAN_OUT as usize {
            let mut groups = Vec::new();
            let mut above = Vec::new();
            for members in nodes.chunk_by(|a, b| a.place / FAN_OUT == b.place / FAN_OUT) {
                let (Some(first), members) =
                    (members.first(), members.iter().map(|member| member.id.clone()).collect())
                else {
                    continue;
                };
                let group = Group::of(members);
                above.push(Node { place: first.place / FAN_OUT, id: group.id.clone() });
                groups.push(group);
            }
            levels.push(groups);
            nodes = above;
        }
        Tree { levels, top: nodes.into_iter().map(|node| node.id).collect() }
    }

    /// The ids of all groups.
    pub(super) fn groups(&self) -> impl Iterator<Item = &str> {
        self.levels.iter().flatten().map(|group| group.id.as_str())
    }

    /// Sees to it that `partials`, which has those of all buckets, has those of all groups; `AT_ONCE` merges at a time. Returns how many were made.
    pub(super) async fn grow(
        &self,
        plugin: &dyn Aggregator,
        partials: &mut Partials,
        at_once: NonZeroUsize,
    ) -> Result<usize, Fault> {
        let mut made = 0;
        for level in &self.levels {
            let missing = level.iter().filter(|group| !partials.contains_key(&group.id));
            let work: Vec<(String, Vec<Bytes>)> =
                missing.map(|group| (group.id.clone(), picked(partials, &group.members))).collect();
            let merges = work.into_iter().map(|(id, members)| async move { Ok((id, plugin.merge(&members).await?)) });
            let merged: Vec<_> = stream::iter(merges).buffer_unordered(at_once.get()).try_collect().await?;
            made += merged.len();
            partials.extend(merged);
        }
        Ok(made)
    }

    /// What is to be finished, out of `partials`, which has those of all groups.
    pub(super) fn top(&self, partials: &Partials) -> Vec<Bytes> {
        picked(partials, &self.top)
    }
}

impl Group {
    fn of(members: Vec<String>) -> Self {
        // Whatever a member was made from, the plugin and its configuration too, is in its id, and so in the group's.
        let parts = std::iter::once(b"merged".as_slice()).chain(members.iter().map(String::as_bytes));
        Group { id: fingerprint(&parts.collect::<Vec<_>>()), members }
    }
}

fn picked(partials: &Partials, ids: &[String]) -> Vec<Bytes> {
    ids.iter().filter_map(|id| partials.get(id).cloned()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(buckets: impl IntoIterator<Item = u32>) -> Tree {
        Tree::over(buckets.into_iter().map(|bucket| Node::of_bucket(bucket, format!("b{bucket}"))).collect())
    }

    fn sizes(tree: &Tree) -> Vec<Vec<usize>> {
        tree.levels.iter().map(|level| level.iter().map(|group| group.members.len()).collect()).collect()
    }

    #[test]
    fn few_buckets_have_no_groups() {
        for buckets in [0, 1, 63, 64] {
            let tree = tree(0..buckets);
            assert_eq!((sizes(&tree), tree.top.len()), (Vec::<Vec<usize>>::new(), buckets as usize));
        }
    }

    #[test]
    fn many_buckets_come_together_in_groups_and_groups_of_groups() {
        assert_eq!(sizes(&tree(0..65)), [vec![64, 1]]);
        assert_eq!(sizes(&tree(0..200)), [vec![64, 64, 64, 8]]);
        let large = tree(0..5000);
        assert_eq!(large.levels.iter().map(Vec::len).collect::<Vec<_>>(), [79, 2]);
        assert_eq!((large.top.len(), sizes(&large)[1].clone()), (2, vec![64, 15]));
    }

    /// Gaps are not filled from the next group: a bucket that comes changes its own group alone.
    #[test]
    fn a_bucket_that_comes_changes_its_own_groups_and_no_other() {
        let (before, after) = (tree((0..5000).filter(|bucket| *bucket != 70)), tree(0..5000));
        let ids =
            |tree: &Tree, level: usize| tree.levels[level].iter().map(|group| group.id.clone()).collect::<Vec<_>>();
        for (level, own) in [(0, 1), (1, 0)] {
            let (before, after) = (ids(&before, level), ids(&after, level));
            let changed: Vec<_> = (0..before.len()).filter(|at| before[*at] != after[*at]).collect();
            assert_eq!(changed, [own], "level {level}");
        }
    }

    #[test]
    fn a_group_s_name_says_who_is_in_it_and_in_which_order() {
        let of = |members: &[&str]| Group::of(members.iter().map(|member| (*member).to_owned()).collect()).id;
        let all = [of(&["a", "b"]), of(&["b", "a"]), of(&["ab"]), of(&["a", "b", "c"]), of(&["a"])];
        let different: std::collections::HashSet<_> = all.iter().collect();
        assert_eq!(different.len(), all.len());
    }
}
