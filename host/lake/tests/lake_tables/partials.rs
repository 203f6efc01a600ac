//! Packs of partial results: used when they are whole, skipped when they are not, and never more than needed.
//!
//! Does not fold anything.

use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use lake::gold::{Gold, PartialId, Partials};
use object_store::ObjectStoreExt;
use object_store::path::Path;
use seams::store::{Store, read, replace};

use super::gold::open;
use super::support::memory;

fn some(count: usize, of: &str) -> Partials {
    (0..count).map(|at| (id(&format!("id-{at}-{of}")), Bytes::from(format!("{of} {at}")))).collect()
}

fn id(text: &str) -> PartialId {
    PartialId::of(&[text.as_bytes()])
}

async fn packs(store: &Store) -> Vec<Path> {
    let found: Vec<_> = store.list(Some(&Path::from("_partials/sums"))).try_collect().await.unwrap();
    found.into_iter().map(|object| object.location).collect()
}

/// What a process finds when it has just started.
async fn found(store: &Store, wanted: &Partials) -> Partials {
    known(&open(store).await, wanted).await
}

/// The ones that a process has.
async fn known(gold: &Gold, wanted: &Partials) -> Partials {
    let ids: Vec<PartialId> = wanted.keys().copied().collect();
    let found = gold.partials(&ids).await.unwrap();
    ids.into_iter().zip(found).filter_map(|(id, partial)| Some((id, partial?))).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pack_takes_the_place_of_the_one_before() {
    let store = memory();
    let gold = open(&store).await;
    let (first, second) = (some(5, "a"), some(4, "b"));
    assert_eq!(found(&store, &first).await, Partials::new());
    gold.keep_partials(7, first.clone(), 5).await;
    assert_eq!(found(&store, &first).await, first);
    gold.keep_partials(8, second.clone(), 4).await;
    assert_eq!(found(&store, &second).await, second);
    let there = packs(&store).await;
    assert_eq!(there.len(), 1, "{there:?}");
    assert!(there[0].as_ref().starts_with("_partials/sums/00000000000000000008-"), "{there:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_folded_is_nothing_written() {
    let store = memory();
    let gold = open(&store).await;
    gold.keep_partials(1, some(3, "a"), 0).await;
    assert_eq!(packs(&store).await, []);
}

/// With many buckets a pack is large: it is written for several new partial results, not for one.
#[tokio::test(flavor = "multi_thread")]
async fn few_new_ones_among_many_wait_in_memory() {
    let store = memory();
    let gold = open(&store).await;
    let mut partials = some(640, "a");
    gold.keep_partials(1, partials.clone(), 640).await;
    let written = packs(&store).await;
    for version in 2..=10 {
        partials.insert(id(&format!("new-{version}")), Bytes::from_static(b"new"));
        gold.keep_partials(version, partials.clone(), 1).await;
        assert_eq!(packs(&store).await, written, "version {version}");
        assert_eq!(known(&gold, &partials).await, partials, "this process has them all");
    }
    partials.extend([(id("new-11"), Bytes::new()), (id("new-12"), Bytes::new())]);
    gold.keep_partials(11, partials.clone(), 2).await;
    assert_ne!(packs(&store).await, written);
    assert_eq!(found(&store, &partials).await, partials);
}

/// Changed, cut off, emptied, misnamed: each is skipped, and the good pack before it serves.
#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_pack_is_passed_over() {
    let store = memory();
    let good = some(3, "good");
    open(&store).await.keep_partials(1, good.clone(), 3).await;
    let path = packs(&store).await.remove(0);
    let bytes = read(store.as_ref(), &path).await.unwrap();
    let digest = path.filename().unwrap().split_once('-').unwrap().1.to_owned();
    let mut changed = bytes.to_vec();
    *changed.last_mut().unwrap() ^= 1;
    for (name, damaged) in [
        (format!("{:020}-{digest}", 2), Bytes::from(changed)),
        (format!("{:020}-{digest}", 3), bytes.slice(..bytes.len() - 1)),
        (format!("{:020}-{digest}", 4), Bytes::new()),
        (format!("{:020}.pack", 5), bytes.clone()),
        (format!("{:020}-{}.pack", 6, "0".repeat(64)), bytes.clone()),
    ] {
        replace(store.as_ref(), &Path::from("_partials/sums").join(name.as_str()), damaged).await.unwrap();
        assert_eq!(found(&store, &good).await, good, "{name}");
    }
    open(&store).await.keep_partials(7, good.clone(), 3).await;
    assert_eq!(packs(&store).await.len(), 1, "the next one clears them away");
}

/// A process that remembers another plugin's results looks for a pack, and uses what others wrote meanwhile.
#[tokio::test(flavor = "multi_thread")]
async fn another_process_s_pack_serves() {
    let store = memory();
    let (ours, theirs) = (open(&store).await, open(&store).await);
    let wanted = some(3, "b");
    ours.keep_partials(1, some(3, "a"), 3).await;
    theirs.keep_partials(2, wanted.clone(), 3).await;
    assert_eq!(known(&ours, &wanted).await, wanted);
    store.delete(&packs(&store).await[0]).await.unwrap();
    assert_eq!(known(&ours, &wanted).await, wanted, "memory needs no pack");
    assert_eq!(found(&Arc::clone(&store), &wanted).await, Partials::new());
}
