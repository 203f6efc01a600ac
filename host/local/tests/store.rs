//! What a folder does beyond the store's contract: links, unfinished files, things that are no objects.
#![allow(
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    clippy::unwrap_used,
    clippy::disallowed_methods,
    reason = "tests"
)]
#![cfg(unix)]

use std::fs;
use std::os::unix::fs::symlink;
use std::path::Path as FilePath;

use futures::{StreamExt, TryStreamExt};
use local::{DirStore, Durability};
use object_store::{PutMode, PutOptions, PutPayload};
use seams::store::{self, ObjectStoreExt, Path, Store, StoreError};

fn open(folder: &FilePath) -> Store {
    DirStore::open(folder).unwrap()
}

async fn listed(store: &Store) -> Vec<String> {
    let found: Vec<_> = store.list(None).try_collect().await.unwrap();
    found.into_iter().map(|meta| meta.location.to_string()).collect()
}

async fn put(store: &Store, path: &str) -> Result<(), StoreError> {
    store::replace(&**store, &Path::from(path), "bytes".into()).await
}

fn assert_refused<T: std::fmt::Debug>(result: Result<T, StoreError>) {
    assert!(matches!(result, Err(StoreError::PermissionDenied { .. })), "expected a refusal, got {result:?}");
}

/// A link to a file outside, to a folder outside, to a folder inside, to itself: no way in or out leads through it.
#[tokio::test]
async fn links_below_the_root_are_refused_and_not_listed() {
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("secret"), "outside").unwrap();
    let inside = tempfile::tempdir().unwrap();
    let store = open(inside.path());
    put(&store, "real/object").await.unwrap();
    symlink(outside.path().join("secret"), inside.path().join("file")).unwrap();
    symlink(outside.path(), inside.path().join("folder")).unwrap();
    symlink(inside.path().join("real"), inside.path().join("alias")).unwrap();
    symlink(inside.path().join("loop"), inside.path().join("loop")).unwrap();

    assert_eq!(listed(&store).await, ["real/object"]);
    assert_eq!(store.list_with_delimiter(None).await.unwrap().common_prefixes, [Path::from("real")]);
    for path in ["file", "folder/secret", "alias/object", "loop"] {
        let location = Path::from(path);
        assert_refused(store::read(&*store, &location).await);
        assert_refused(store.head(&location).await);
        assert_refused(store.get_ranges(&location, std::slice::from_ref(&(0..1))).await);
        assert_refused(put(&store, path).await);
        assert_refused(store.put_multipart(&location).await.map(drop));
        assert_refused(store.delete(&location).await);
        assert_refused(store.copy(&location, &"copy".into()).await);
        assert_refused(store.copy(&"real/object".into(), &location).await);
        assert_refused(store.rename(&"real/object".into(), &location).await);
        assert_refused(store.rename_if_not_exists(&"real/object".into(), &location).await);
    }
    assert_refused(store.list(Some(&"folder".into())).try_collect::<Vec<_>>().await);
    assert_eq!(fs::read_to_string(outside.path().join("secret")).unwrap(), "outside");
    assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 1);
}

/// The folder itself may be reached through a link: people put their data on another disk.
#[tokio::test]
async fn the_root_may_be_a_link() {
    let place = tempfile::tempdir().unwrap();
    fs::create_dir(place.path().join("disk")).unwrap();
    symlink(place.path().join("disk"), place.path().join("lake")).unwrap();
    let store = open(&place.path().join("lake"));
    put(&store, "a/b").await.unwrap();
    assert_eq!(listed(&store).await, ["a/b"]);
    assert!(place.path().join("disk/a/b").is_file());
}

/// What a writer that was killed leaves behind: never listed, never in the way, and not a name that an object can have.
#[tokio::test]
async fn unfinished_files_are_no_objects() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    for left in ["object#1", "object#4711000003", "odd#name#12"] {
        fs::write(folder.path().join(left), "half").unwrap();
    }
    assert!(listed(&store).await.is_empty());
    put(&store, "object").await.unwrap();
    // `Path::from` would write the `#` as `%23`.
    let raw = |path: &str| Path::parse(path).unwrap();
    store::replace(&*store, &raw("odd#name"), "bytes".into()).await.unwrap();
    assert_eq!(listed(&store).await, ["object", "odd#name"]);
    for path in ["object#1", "odd#name#12"] {
        let refused = store::replace(&*store, &raw(path), "bytes".into()).await.unwrap_err().to_string();
        assert!(refused.contains(&format!("`{path}`")), "{refused}");
        assert!(store::read(&*store, &raw(path)).await.is_err());
    }
}

/// After puts, refused creates, aborted and forgotten uploads, nothing but the objects is in the folder.
#[tokio::test]
async fn nothing_is_left_behind() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "object").await.unwrap();
    put(&store, "object").await.unwrap();
    store::create(&*store, &"object".into(), "again".into()).await.unwrap();
    let mut forgotten = store.put_multipart(&"forgotten".into()).await.unwrap();
    forgotten.put_part(PutPayload::from_static(b"part")).await.unwrap();
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 2);
    drop(forgotten);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

/// An upload whose parts were not all written cannot be completed, nor one that is over.
#[tokio::test]
async fn an_incomplete_upload_is_not_published() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut upload = store.put_multipart(&"object".into()).await.unwrap();
    drop(upload.put_part(PutPayload::from_static(b"never polled")));
    assert!(upload.complete().await.unwrap_err().to_string().contains("0 of 1"));
    upload.abort().await.unwrap();
    assert!(upload.complete().await.is_err());
    assert!(listed(&store).await.is_empty());
}

/// A pipe would block its reader for ever; a name that is no text can be no object's.
#[tokio::test]
async fn pipes_and_unspeakable_names_are_no_objects() {
    use std::os::unix::ffi::OsStrExt;
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let pipe = folder.path().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
    fs::write(folder.path().join(std::ffi::OsStr::from_bytes(b"\xff\xfe")), "x").unwrap();
    fs::write(folder.path().join("line\nbreak"), "x").unwrap();
    assert!(listed(&store).await.is_empty());
    assert_refused(store::read(&*store, &Path::from("pipe")).await);
}

/// The walk is in the order of whole paths: `a.b` before `a/…`, as in any other store.
#[tokio::test]
async fn listings_are_in_the_order_of_paths() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    let mut names = ["a/z", "a.b", "a", "a0", "b/c/d", "b-/x"].map(|name| if name == "a" { "a-" } else { name });
    for name in names {
        put(&store, name).await.unwrap();
    }
    names.sort_unstable();
    assert_eq!(listed(&store).await, names);
}

/// What cannot be written says where, and leaves nothing.
#[tokio::test]
async fn errors_name_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let store = open(folder.path());
    put(&store, "object").await.unwrap();
    let below = put(&store, "object/below").await.unwrap_err().to_string();
    assert!(below.contains("object"), "{below}");
    let long = put(&store, &"x".repeat(5000)).await.unwrap_err().to_string();
    assert!(long.contains("xxx"), "{long}");
    assert_eq!(listed(&store).await, ["object"]);
    let file = folder.path().join("object");
    assert!(DirStore::open(&file).is_err(), "a file is no store");
}

/// Dots in a path cannot climb: `object_store`'s paths do not have such segments.
#[tokio::test]
async fn no_path_climbs_out() {
    let place = tempfile::tempdir().unwrap();
    let store = open(&place.path().join("root"));
    put(&store, "../../gold/x").await.unwrap();
    put(&store, "/etc/passwd").await.unwrap();
    assert_eq!(fs::read_dir(place.path()).unwrap().count(), 1);
    assert_eq!(listed(&store).await.len(), 2);
}

/// Of a long log, readers want the end: what comes before the offset is not listed, in whatever folder it is.
#[tokio::test]
async fn a_listing_begins_after_its_offset() {
    let place = tempfile::tempdir().unwrap();
    let store = open(place.path());
    let paths = ["a", "a!b", "a/b", "a/b/c", "a/c", "a0", "b/1", "b/2/x", "b/2/y", "b/3", "c"];
    for path in paths.iter().filter(|path| !matches!(**path, "a" | "a/b")) {
        put(&store, path).await.unwrap();
    }
    let all = listed(&store).await;
    for offset in paths.iter().copied().chain(["", "0", "a/bb", "b", "b/2", "b/2/", "zz"]) {
        for prefix in [None, Some("a"), Some("b"), Some("b/2"), Some("nothing")] {
            let prefix = prefix.map(Path::from);
            let offset = Path::from(offset);
            let found: Vec<_> = store.list_with_offset(prefix.as_ref(), &offset).try_collect().await.unwrap();
            let found: Vec<String> = found.into_iter().map(|meta| meta.location.to_string()).collect();
            let below = |path: &&String| prefix.as_ref().is_none_or(|prefix| path.starts_with(&format!("{prefix}/")));
            let expected: Vec<&String> =
                all.iter().filter(below).filter(|path| path.as_str() > offset.as_ref()).collect();
            assert_eq!(found.iter().collect::<Vec<_>>(), expected, "below {prefix:?} after `{offset}`");
        }
    }
}

/// What a killed writer has left goes after a day, by the next listing or opening; a file that may still have a writer stays.
#[tokio::test]
async fn unfinished_files_of_dead_writers_go_after_a_day() {
    let place = tempfile::tempdir().unwrap();
    let store = open(place.path());
    put(&store, "folder/object").await.unwrap();
    let age = |name: &str, hours: u64| {
        let path = place.path().join(name);
        let file = fs::File::create(&path).unwrap();
        file.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(hours * 3600)).unwrap();
        path
    };
    let (old, young) = (age("folder/object#1000001", 25), age("folder/object#1000002", 23));
    let (old_root, old_object) = (age("object#1000001", 25), age("folder/old", 1000));
    assert_eq!(listed(&store).await, ["folder/object", "folder/old"]);
    assert!(!old.exists() && young.exists() && old_object.exists());
    assert!(!old_root.exists());
    let old_root = age("object#1000001", 25);
    open(place.path());
    assert!(!old_root.exists() && young.exists());
}

/// Without syncing, all else is as ever.
#[tokio::test]
async fn an_unsynced_store_keeps_every_other_promise() {
    let place = tempfile::tempdir().unwrap();
    let store = DirStore::open_with(place.path(), Durability::Unsynced).unwrap();
    put(&store, "a/b").await.unwrap();
    let second = store::create(&*store, &"a/b".into(), "other".into()).await.unwrap();
    assert_eq!(second, store::Created::Existing("bytes".into()));
    store.rename(&"a/b".into(), &"c".into()).await.unwrap();
    store.copy(&"c".into(), &"d/e".into()).await.unwrap();
    store.delete(&"c".into()).await.unwrap();
    assert_eq!(listed(&store).await, ["d/e"]);
}

#[tokio::test]
async fn who_only_looks_sees_what_is_there_and_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let lake = folder.path().join("lake");
    let nothing = DirStore::view(&lake).unwrap();
    assert_eq!(nothing.list(None).count().await, 0);
    assert!(!lake.exists(), "a folder was made");

    let real = DirStore::open(&lake).unwrap();
    real.put(&Path::from("a/1"), "one".into()).await.unwrap();
    let view = DirStore::view(&lake).unwrap();
    let text = async |store: &Store, name: &str| store.get(&Path::from(name)).await.unwrap().bytes().await.unwrap();
    assert_eq!(text(&view, "a/1").await, "one");
    view.put(&Path::from("a/2"), "two".into()).await.unwrap();
    view.put(&Path::from("a/1"), "another".into()).await.unwrap();
    assert_eq!((text(&view, "a/1").await, text(&view, "a/2").await), ("another".into(), "two".into()));
    let listed: Vec<_> =
        view.list(Some(&Path::from("a"))).map_ok(|object| object.location.to_string()).try_collect().await.unwrap();
    assert_eq!(listed, ["a/1", "a/2"]);
    let create = PutOptions { mode: PutMode::Create, ..PutOptions::default() };
    real.put(&Path::from("a/3"), "three".into()).await.unwrap();
    let second = view.put_opts(&Path::from("a/3"), "3".into(), create).await;
    assert!(matches!(second, Err(StoreError::AlreadyExists { .. })), "{second:?}");
    assert!(view.delete(&Path::from("a/3")).await.is_err());
    assert_eq!(text(&real, "a/1").await, "one");
    assert_eq!(real.list(None).count().await, 2);

    std::fs::write(folder.path().join("file"), "").unwrap();
    assert!(DirStore::view(folder.path().join("file")).is_err());
}

/// The folder is moved away, and back: nothing is created in its place, and no existing object is reported missing.
#[tokio::test]
async fn a_folder_that_is_moved_away_is_not_made_again_but_waited_for() {
    let place = tempfile::tempdir().unwrap();
    let (here, away) = (place.path().join("lake"), place.path().join("away"));
    let (bronze, silver) = (DirStore::open(&here).unwrap(), DirStore::open_beside(here.join("silver"), &here).unwrap());
    let path = Path::from("a/b");
    bronze.put(&path, "x".into()).await.unwrap();
    std::fs::rename(&here, &away).unwrap();
    for store in [&bronze, &silver] {
        for error in [
            store.put(&path, "y".into()).await.map(drop).unwrap_err(),
            store.get(&path).await.map(drop).unwrap_err(),
            store.list(None).try_collect::<Vec<_>>().await.map(drop).unwrap_err(),
        ] {
            assert!(error.to_string().contains("is gone"), "{error}");
        }
    }
    assert!(!here.exists());
    std::fs::rename(&away, &here).unwrap();
    assert_eq!(bronze.get(&path).await.unwrap().bytes().await.unwrap(), "x");
    // What can be made again from the other is.
    std::fs::remove_dir_all(here.join("silver")).unwrap();
    assert!(silver.list(None).try_collect::<Vec<_>>().await.unwrap().is_empty());
    silver.put(&path, "z".into()).await.unwrap();
    assert_eq!(silver.get(&path).await.unwrap().bytes().await.unwrap(), "z");
}
