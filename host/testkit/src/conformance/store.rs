//! The clauses of the store's contract: those of `object_store` that the engine relies on, and the engine's own.
//!
//! Does not check durability, which a test in one process cannot see.

use std::any::Any;
use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;
use futures::TryStreamExt;
use object_store::{CopyMode, CopyOptions, GetOptions, PutMode, PutOptions, PutPayload, UpdateVersion};
use seams::store::{self, Created, ObjectStoreExt, Path, Store, StoreError};

/// An empty store under test.
pub struct StoreRig {
    /// The store.
    pub store: Store,
    /// Kept until the clause is over.
    pub keep: Box<dyn Any + Send + Sync>,
}

/// Makes a test of every clause; the argument is an async closure that returns a [`StoreRig`].
#[macro_export]
macro_rules! store_conformance {
    ($rig:expr) => {
        $crate::conformance_tests!(store, $rig;
            an_object_reads_back_as_it_was_put,
            a_missing_object_is_not_found,
            a_put_replaces_the_object_whole,
            readers_see_one_version_or_the_other,
            create_refuses_what_is_there,
            one_of_racing_creators_wins,
            the_engines_create_returns_what_counts,
            an_update_needs_the_tag_of_what_is_there,
            racing_updates_lose_no_change,
            ranges_are_exact,
            strange_names_stay_as_they_are,
            a_listing_has_every_object_below_its_prefix,
            a_prefix_ends_at_a_segment,
            one_level_has_objects_and_folders,
            a_deleted_object_is_gone_from_listings,
            an_upload_is_invisible_until_it_is_complete,
            an_aborted_upload_leaves_nothing,
            a_copy_may_refuse_what_is_there,
            a_rename_moves_the_object,
            head_and_put_agree_on_the_tag,
        );
    };
}

fn put_create() -> PutOptions {
    PutOptions { mode: PutMode::Create, ..PutOptions::default() }
}

impl StoreRig {
    async fn put(&self, path: &str, bytes: impl Into<Bytes>) {
        store::replace(&*self.store, &Path::from(path), bytes.into()).await.unwrap();
    }

    async fn get(&self, path: &str) -> Option<Bytes> {
        store::read_if_there(&*self.store, &Path::from(path)).await.unwrap()
    }

    async fn list(&self, prefix: Option<&str>) -> BTreeSet<String> {
        let prefix = prefix.map(Path::from);
        let found: Vec<_> = self.store.list(prefix.as_ref()).try_collect().await.unwrap();
        let names: BTreeSet<_> = found.iter().map(|meta| meta.location.to_string()).collect();
        assert_eq!(names.len(), found.len(), "an object was listed twice");
        names
    }
}

fn set<const N: usize>(names: [&str; N]) -> BTreeSet<String> {
    names.map(String::from).into()
}

/// Every byte, also of an empty object, and of one that is larger than any buffer.
pub async fn an_object_reads_back_as_it_was_put(rig: StoreRig) {
    let large: Vec<u8> = (0..=255).cycle().take((5 << 20) + 7).collect();
    for (path, bytes) in [("a/empty", Vec::new()), ("a/b/c/small", vec![0, 255, 10, 13]), ("large", large)] {
        rig.put(path, bytes.clone()).await;
        assert!(rig.get(path).await.unwrap() == bytes, "`{path}` came back changed");
        assert_eq!(rig.store.head(&path.into()).await.unwrap().size, bytes.len() as u64);
    }
}

/// Reading it, its head or a folder as if it were an object is `NotFound`.
pub async fn a_missing_object_is_not_found(rig: StoreRig) {
    rig.put("folder/object", "x").await;
    for path in ["missing", "folder", "folder/object/below", "folder/missing"] {
        let read = store::read(&*rig.store, &path.into()).await;
        assert!(matches!(read, Err(StoreError::NotFound { .. })), "`{path}`: {read:?}");
        let head = rig.store.head(&path.into()).await;
        assert!(matches!(head, Err(StoreError::NotFound { .. })), "`{path}`: {head:?}");
    }
}

/// Nothing of a longer old object shows behind a shorter new one.
pub async fn a_put_replaces_the_object_whole(rig: StoreRig) {
    rig.put("object", "a long first version").await;
    rig.put("object", "short").await;
    assert_eq!(rig.get("object").await.unwrap(), "short");
}

/// While a writer replaces an object, no reader sees a mixture, a part, or nothing.
pub async fn readers_see_one_version_or_the_other(rig: StoreRig) {
    const SIZE: usize = 300_000;
    let version = |byte: u8| Bytes::from(vec![byte; SIZE]);
    rig.put("object", version(b'a')).await;
    let writes = async {
        for round in 0..20 {
            rig.put("object", version(if round % 2 == 0 { b'b' } else { b'a' })).await;
        }
    };
    let reads = async {
        for _ in 0..60 {
            let seen = rig.get("object").await.expect("the object is always there");
            assert!(
                seen.len() == SIZE && seen.iter().all(|byte| *byte == seen[0]),
                "a torn object of {} bytes",
                seen.len()
            );
        }
    };
    futures::join!(writes, reads);
}

/// It is `AlreadyExists`, and the object is unchanged.
pub async fn create_refuses_what_is_there(rig: StoreRig) {
    let path = Path::from("run=1/batch=1.jsonl");
    rig.store.put_opts(&path, "first".into(), put_create()).await.unwrap();
    let second = rig.store.put_opts(&path, "second".into(), put_create()).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "{second:?}");
    assert_eq!(rig.get(path.as_ref()).await.unwrap(), "first");
    assert_eq!(rig.list(None).await, set([path.as_ref()]));
}

/// Of sixteen writers that create the same object at once exactly one succeeds, and its bytes are there.
pub async fn one_of_racing_creators_wins(rig: StoreRig) {
    for round in 0..5 {
        let path = Path::from(format!("race/{round}/object"));
        let mut racers = tokio::task::JoinSet::new();
        for racer in 0..16 {
            let (store, path) = (Arc::clone(&rig.store), path.clone());
            racers.spawn(async move {
                let result = store.put_opts(&path, PutPayload::from(format!("racer {racer}")), put_create()).await;
                match result {
                    Ok(_) => Some(racer),
                    Err(StoreError::AlreadyExists { .. }) => None,
                    Err(error) => panic!("{error}"),
                }
            });
        }
        let winners: Vec<_> = racers.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "{winners:?}");
        assert_eq!(rig.get(path.as_ref()).await.unwrap(), format!("racer {}", winners[0]));
    }
}

/// `seams::store::create` says which writer won, and returns the winner's bytes.
pub async fn the_engines_create_returns_what_counts(rig: StoreRig) {
    let path = Path::from("object");
    let first = store::create(&*rig.store, &path, Bytes::from_static(b"first")).await.unwrap();
    let second = store::create(&*rig.store, &path, Bytes::from_static(b"second")).await.unwrap();
    assert_eq!((first, second), (Created::New, Created::Existing(Bytes::from_static(b"first"))));
}

/// An update with the tag from a read replaces the object; with the tag of an earlier one, or of none, it changes nothing.
pub async fn an_update_needs_the_tag_of_what_is_there(rig: StoreRig) {
    let path = Path::from("folder/object");
    let update = async |tag: UpdateVersion, text: &'static str| {
        let options = PutOptions { mode: PutMode::Update(tag), ..PutOptions::default() };
        rig.store.put_opts(&path, text.into(), options).await
    };
    let first: UpdateVersion = rig.store.put(&path, "first".into()).await.unwrap().into();
    let read = rig.store.get(&path).await.unwrap().meta;
    let read = UpdateVersion { e_tag: read.e_tag, version: read.version };
    assert_eq!(read.e_tag, first.e_tag);
    update(read, "second").await.unwrap();
    assert_eq!(rig.get("folder/object").await.unwrap(), "second");
    let stale = update(first.clone(), "stale").await;
    assert!(matches!(stale, Err(StoreError::Precondition { .. })), "{stale:?}");
    assert_eq!(rig.get("folder/object").await.unwrap(), "second");
    rig.store.delete(&path).await.unwrap();
    let gone = update(first, "gone").await;
    assert!(matches!(gone, Err(StoreError::Precondition { .. } | StoreError::NotFound { .. })), "{gone:?}");
    assert!(rig.list(None).await.is_empty());
}

/// Eight writers that each add a line to one object with `seams::store::update`: every line is there.
pub async fn racing_updates_lose_no_change(rig: StoreRig) {
    let path = Path::from("race/object");
    let mut racers = tokio::task::JoinSet::new();
    for racer in 0..8 {
        let (store, path) = (Arc::clone(&rig.store), path.clone());
        racers.spawn(async move {
            for turn in 0..5 {
                let add = |there: Option<Bytes>| -> Result<_, StoreError> {
                    Ok(Some([&there.unwrap_or_default()[..], format!("{racer}/{turn}\n").as_bytes()].concat().into()))
                };
                store::update(&*store, &path, add).await.unwrap();
            }
        });
    }
    racers.join_all().await;
    let text = String::from_utf8(rig.get("race/object").await.unwrap().to_vec()).unwrap();
    let lines: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let expected = (0..8).flat_map(|racer| (0..5).map(move |turn| format!("{racer}/{turn}")));
    assert_eq!((text.lines().count(), lines), (40, expected.collect()));
}

/// A range is the bytes that it names: first, middle, last.
pub async fn ranges_are_exact(rig: StoreRig) {
    rig.put("object", "0123456789").await;
    let path = Path::from("object");
    for (range, expected) in [(0..1, "0"), (3..7, "3456"), (9..10, "9"), (0..10, "0123456789")] {
        assert_eq!(rig.store.get_range(&path, range).await.unwrap(), expected);
    }
    let several = rig.store.get_ranges(&path, &[0..2, 8..10]).await.unwrap();
    assert_eq!(several, ["01", "89"].map(Bytes::from));
    let tail = GetOptions { range: Some(object_store::GetRange::Suffix(4)), ..GetOptions::default() };
    assert_eq!(rig.store.get_opts(&path, tail).await.unwrap().bytes().await.unwrap(), "6789");
}

/// Spaces, umlauts, plus, percent, equals and dots name the same object when it is put, read and listed.
pub async fn strange_names_stay_as_they_are(rig: StoreRig) {
    let names = [
        "run=2026-01-01T03:00:00Z/batch=3.jsonl",
        "a b/c d",
        "Ärger/日本",
        "1+1",
        "100%",
        "a%2Fb",
        "..hidden",
        "x..y",
        "a&b;c'd",
    ];
    let paths = names.map(Path::from);
    for path in &paths {
        store::replace(&*rig.store, path, Bytes::from(path.to_string())).await.unwrap();
    }
    for path in &paths {
        assert_eq!(store::read(&*rig.store, path).await.unwrap(), path.to_string());
    }
    assert_eq!(rig.list(None).await, paths.iter().map(Path::to_string).collect());
}

/// All of them, however many and however deep, and none from outside it.
pub async fn a_listing_has_every_object_below_its_prefix(rig: StoreRig) {
    let names: BTreeSet<_> = (0..120).map(|n| format!("layer/run={}/part/batch={n}", n % 7)).collect();
    for name in &names {
        rig.put(name, "x").await;
    }
    rig.put("elsewhere", "x").await;
    assert_eq!(rig.list(Some("layer")).await, names);
    assert_eq!(rig.list(None).await.len(), 121);
    for nothing in ["missing", "elsewhere", "elsewhere/below"] {
        assert!(rig.list(Some(nothing)).await.is_empty(), "`{nothing}`");
    }
    let offset = Path::from("layer/run=6/part");
    let behind: Vec<_> = rig.store.list_with_offset(Some(&"layer".into()), &offset).try_collect().await.unwrap();
    assert_eq!(behind.len(), names.iter().filter(|name| name.as_str() > offset.as_ref()).count());
}

/// `a` is no prefix of `ab`, and an object is not below itself.
pub async fn a_prefix_ends_at_a_segment(rig: StoreRig) {
    for name in ["a/1", "ab/2", "a.b"] {
        rig.put(name, "x").await;
    }
    assert_eq!(rig.list(Some("a")).await, set(["a/1"]));
    assert!(rig.list(Some("a/1")).await.is_empty());
}

/// `list_with_delimiter` has the objects right there and the folders that hold some, and nothing from below.
pub async fn one_level_has_objects_and_folders(rig: StoreRig) {
    for name in ["t/one", "t/two", "t/sub/three", "t/sub/deep/four", "t/other/five"] {
        rig.put(name, "x").await;
    }
    let level = rig.store.list_with_delimiter(Some(&"t".into())).await.unwrap();
    let objects: BTreeSet<_> = level.objects.iter().map(|meta| meta.location.to_string()).collect();
    let folders: BTreeSet<_> = level.common_prefixes.iter().map(Path::to_string).collect();
    assert_eq!((objects, folders), (set(["t/one", "t/two"]), set(["t/sub", "t/other"])));
}

/// It is `NotFound`, and so is its folder if it was the last one there.
pub async fn a_deleted_object_is_gone_from_listings(rig: StoreRig) {
    rig.put("folder/gone", "x").await;
    rig.put("stays", "x").await;
    rig.store.delete(&"folder/gone".into()).await.unwrap();
    assert!(rig.get("folder/gone").await.is_none());
    assert_eq!(rig.list(None).await, set(["stays"]));
    assert!(rig.store.list_with_delimiter(None).await.unwrap().common_prefixes.is_empty());
}

/// Parts are invisible before `complete`; after it the object is whole, in the order of `put_part`.
pub async fn an_upload_is_invisible_until_it_is_complete(rig: StoreRig) {
    // S3 wants 5 MiB in every part but the last.
    let parts = [b'a', b'b', b'c'].map(|byte| Bytes::from(vec![byte; 5 << 20]));
    let path = Path::from("up/load");
    let mut upload = rig.store.put_multipart(&path).await.unwrap();
    let mut writes: Vec<_> = parts.iter().map(|part| upload.put_part(part.clone().into())).collect();
    writes.reverse();
    futures::future::try_join_all(writes).await.unwrap();
    assert!(rig.get("up/load").await.is_none());
    assert!(rig.list(None).await.is_empty());
    upload.complete().await.unwrap();
    assert!(rig.get("up/load").await.unwrap() == parts.concat(), "the parts are not in their order");
}

/// After `abort` there is no object and nothing is listed; an object that was there before stays.
pub async fn an_aborted_upload_leaves_nothing(rig: StoreRig) {
    rig.put("object", "before").await;
    let mut upload = rig.store.put_multipart(&"object".into()).await.unwrap();
    upload.put_part(vec![b'x'; 1000].into()).await.unwrap();
    upload.abort().await.unwrap();
    assert_eq!(rig.get("object").await.unwrap(), "before");
    assert_eq!(rig.list(None).await, set(["object"]));
}

/// `CopyMode::Create` fails when the target exists; a plain copy replaces it.
pub async fn a_copy_may_refuse_what_is_there(rig: StoreRig) {
    rig.put("from", "new").await;
    rig.put("to", "old").await;
    let (from, to) = (Path::from("from"), Path::from("to"));
    let refused = rig.store.copy_opts(&from, &to, CopyOptions::new().with_mode(CopyMode::Create)).await;
    assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(rig.get("to").await.unwrap(), "old");
    rig.store.copy(&from, &to).await.unwrap();
    rig.store.copy_opts(&from, &"deep/er/new".into(), CopyOptions::new().with_mode(CopyMode::Create)).await.unwrap();
    for path in ["from", "to", "deep/er/new"] {
        assert_eq!(rig.get(path).await.unwrap(), "new");
    }
    let missing = rig.store.copy(&"missing".into(), &to).await;
    assert!(matches!(missing, Err(StoreError::NotFound { .. })), "{missing:?}");
}

/// The object is under its new name, also in a new folder, and no longer under the old one.
pub async fn a_rename_moves_the_object(rig: StoreRig) {
    rig.put("from", "moved").await;
    rig.store.rename(&"from".into(), &"new/folder/to".into()).await.unwrap();
    assert_eq!(rig.list(None).await, set(["new/folder/to"]));
    rig.put("again", "other").await;
    let refused = rig.store.rename_if_not_exists(&"again".into(), &"new/folder/to".into()).await;
    assert!(matches!(refused, Err(StoreError::AlreadyExists { .. })), "{refused:?}");
    assert_eq!(rig.get("new/folder/to").await.unwrap(), "moved");
    assert_eq!(rig.get("again").await.unwrap(), "other");
}

/// The tag that a `put` returns is the one that `head` and listings show, and it changes with the object.
pub async fn head_and_put_agree_on_the_tag(rig: StoreRig) {
    let path = Path::from("folder/object");
    let put = rig.store.put(&path, "one".into()).await.unwrap();
    let head = rig.store.head(&path).await.unwrap();
    let listed: Vec<_> = rig.store.list(None).try_collect().await.unwrap();
    assert!(put.e_tag.is_some());
    assert_eq!((&head.e_tag, &listed[0].e_tag), (&put.e_tag, &put.e_tag));
    let again = rig.store.put(&path, "another".into()).await.unwrap();
    assert_ne!(again.e_tag, put.e_tag);
}
