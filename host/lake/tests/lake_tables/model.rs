//! The model: last writer wins, one document after the other, in a map; and the tests that need nothing but it.
//!
//! Does not look into the table: it says what a table that got the same calls must hold.

use std::collections::BTreeMap;

use lake::silver::bucket_of;
use proptest::prelude::*;
use records::keys::rank;

use super::support::{Doc, buckets, content, lines, memory, open, versions};

/// What must stand after these documents in any order.
#[derive(Default)]
pub(crate) struct Model(BTreeMap<String, Doc>);

impl Model {
    pub(crate) fn of<'a>(docs: impl IntoIterator<Item = &'a Doc>) -> Self {
        let mut model = Model::default();
        for doc in docs {
            // By tick, then source, and of one source by generation.
            let stands = |old: &Doc| rank(&old.ord(), &old.source()) >= rank(&doc.ord(), &doc.source());
            if !model.0.get(&doc.key).is_some_and(stands) {
                model.0.insert(doc.key.clone(), doc.clone());
            }
        }
        model
    }

    /// The rows as [`content`] returns them: by bucket, then key.
    pub(crate) fn content(&self, count: u32) -> Vec<String> {
        let mut docs: Vec<&Doc> = self.0.values().collect();
        docs.sort_by_key(|doc| (bucket_of(&doc.key, buckets(count)), doc.key.as_bytes().to_vec()));
        docs.into_iter().flat_map(expected_lines).collect()
    }
}

/// The rows of one document as Silver returns them.
fn expected_lines(doc: &Doc) -> Vec<String> {
    let made = versions([doc]);
    let meta = &made.meta[0];
    // Text of the tick as the table shows it: microseconds, in UTC.
    let tail = format!(
        "{} · {} · {} · {} · {}",
        meta.key,
        meta.ord,
        meta.seq.format("%Y-%m-%dT%H:%M:%S%.6fZ"),
        meta.source,
        meta.plugin
    );
    lines(&made.rows).into_iter().map(|line| format!("{line} · {tail}")).collect()
}

/// Documents on few keys, so that they meet: `line` follows from the rest as in a real run, so equal versions are equal documents.
fn documents() -> impl Strategy<Value = Vec<Doc>> {
    let one = (0..6_u32, 1..5_u32, 0..3_u32, 1..3_u32).prop_map(|(key, tick, generation, line)| Doc {
        key: ["a", "b/1999", "c d", "é", "zz+", "%41"][key as usize].to_owned(),
        tick,
        generation,
        line,
        rows: 1 + (key + tick + line) % 3,
    });
    prop::collection::vec(one, 1..24)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    /// However versions are ordered, repeated and cut into calls, the same rows stand.
    #[test]
    fn versions_in_any_order_make_equal_rows(docs in documents(), seed in any::<u64>(), size in 1..7_usize, count in 1..5_u32) {
        let mut shuffled: Vec<Doc> = docs.iter().chain(docs.iter().take(5)).cloned().collect();
        shuffle(&mut shuffled, seed);
        // The two copies of a version must not be neighbours within a call: that would read as one version of twice the rows.
        let calls: Vec<Vec<Doc>> = shuffled.chunks(size).map(|call| { let mut call = call.to_vec(); call.dedup(); call }).collect();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
        let (found, again) = runtime.block_on(async {
            let silver = open(&memory(), count).await;
            for call in &calls {
                silver.upsert(&versions(call)).await.unwrap();
            }
            let found = content(&silver).await;
            let again = silver.upsert(&versions(&calls[0])).await.unwrap();
            (found, again)
        });
        prop_assert_eq!(found, Model::of(&docs).content(count));
        prop_assert!(!again.committed, "all of it was there already");
    }
}

/// Fisher-Yates with a small generator: the same seed shuffles the same way.
pub(crate) fn shuffle<T>(items: &mut [T], seed: u64) {
    let mut state = seed | 1;
    for at in (1..items.len()).rev() {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        items.swap(at, (state >> 33) as usize % (at + 1));
    }
}
