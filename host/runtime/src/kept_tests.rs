//! What is kept, and what is believed of it.

use pipeline::plan::Limits;

use super::*;

fn descriptor() -> Descriptor {
    Descriptor {
        name: "known".to_owned(),
        version: "1.0.0".to_owned(),
        input: Vec::new(),
        output: Vec::new(),
        config_schema: String::new(),
    }
}

fn grants(config: &str) -> Grants {
    Grants { config: config.to_owned(), limits: Limits::default() }
}

fn kept(dir: &Path, key: &Path) -> Kept {
    let cache = Cache { dir: dir.join("cache"), trust: Trust::Key(key.to_owned()) };
    Kept::open(Some(&cache), None).unwrap()
}

#[test]
fn what_was_accepted_is_known_under_the_same_conditions_only() {
    let dir = tempfile::tempdir().unwrap();
    let notes = kept(dir.path(), &dir.path().join("key"));
    let digest = Digest::of(b"a component");
    assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{}")), None);
    notes.accept(&digest, World::Cleaner, &grants("{}"), &descriptor());
    assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{}")), Some(descriptor()));
    assert_eq!(notes.accepted(&digest, World::Cleaner, &grants("{\"max_year\":2011}")), None);
    assert_eq!(notes.accepted(&digest, World::Enricher, &grants("{}")), None);
    assert_eq!(notes.accepted(&Digest::of(b"another"), World::Cleaner, &grants("{}")), None);
    let smaller = Limits { memory: 1 << 20, ..Limits::default() };
    assert_eq!(notes.accepted(&digest, World::Cleaner, &Grants { limits: smaller, ..grants("{}") }), None);
}

#[test]
fn what_another_wrote_or_changed_is_not_there() {
    let dir = tempfile::tempdir().unwrap();
    let key = dir.path().join("own").join("key");
    let (mine, digest) = (kept(dir.path(), &key), Digest::of(b"a component"));
    mine.accept(&digest, World::Cleaner, &grants("{}"), &descriptor());
    mine.accept(&digest, World::Cleaner, &grants("[]"), &descriptor());
    let file =
        |config: &str| dir.path().join("cache").join(of_accepted(&digest, World::Cleaner, &grants(config)).unwrap());
    // One of this user's own files under the name of another file.
    std::fs::copy(file("{}"), file("[]")).unwrap();
    assert_eq!(mine.accepted(&digest, World::Cleaner, &grants("[]")), None);
    // The same file with one bit changed.
    let mut bytes = std::fs::read(file("{}")).unwrap();
    *bytes.last_mut().unwrap() ^= 1;
    std::fs::write(file("{}"), bytes).unwrap();
    assert_eq!(mine.accepted(&digest, World::Cleaner, &grants("{}")), None);
    // One that another user sealed.
    kept(dir.path(), &dir.path().join("other").join("key")).accept(
        &digest,
        World::Cleaner,
        &grants("{}"),
        &descriptor(),
    );
    assert_eq!(mine.accepted(&digest, World::Cleaner, &grants("{}")), None);
    mine.accept(&digest, World::Cleaner, &grants("{}"), &descriptor());
    assert_eq!(kept(dir.path(), &key).accepted(&digest, World::Cleaner, &grants("{}")), Some(descriptor()));
}

#[test]
fn what_comes_with_a_program_is_believed_by_its_list() {
    let dir = tempfile::tempdir().unwrap();
    let (digest, cache) = (Digest::of(b"a component"), Cache { dir: dir.path().to_owned(), trust: Trust::Nothing });
    let made = Kept::open(Some(&cache), None).unwrap();
    made.accept(&digest, World::Cleaner, &grants("{}"), &descriptor());
    assert_eq!(made.accepted(&digest, World::Cleaner, &grants("{}")), None, "nothing is believed where it is made");
    let (name, list) = list_of_shipped(dir.path()).unwrap();
    std::fs::write(dir.path().join(name), &list).unwrap();
    let look = |digest_of_list: Option<Digest>| {
        let digest_of_list = digest_of_list.map(|digest| digest.to_string());
        let shipped = Shipped { dir: dir.path().to_owned(), digest: digest_of_list };
        Kept::open(None, Some(&shipped)).unwrap().accepted(&digest, World::Cleaner, &grants("{}"))
    };
    assert_eq!(look(Some(Digest::of(&list))), Some(descriptor()));
    assert_eq!(look(None), None);
    assert_eq!(look(Some(Digest::of(b"another list"))), None);
    let file = dir.path().join(of_accepted(&digest, World::Cleaner, &grants("{}")).unwrap());
    std::fs::write(&file, serde_json::to_vec(&Descriptor { name: "patched".into(), ..descriptor() }).unwrap()).unwrap();
    assert_eq!(look(Some(Digest::of(&list))), None);
}

#[test]
#[cfg(unix)]
fn a_key_or_a_folder_that_others_can_reach_is_refused() {
    use std::os::unix::fs::PermissionsExt as _;
    let set = |path: &Path, mode| std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    let dir = tempfile::tempdir().unwrap();
    let (key, folder) = (dir.path().join("own").join("key"), dir.path().join("cache"));
    let open = || Kept::open(Some(&Cache { dir: folder.clone(), trust: Trust::Key(key.clone()) }), None).map(drop);
    open().unwrap();
    assert_eq!(std::fs::metadata(&key).unwrap().permissions().mode() & 0o777, 0o600);
    for (path, wrong, right) in
        [(key.as_path(), 0o644, 0o600), (key.parent().unwrap(), 0o777, 0o700), (&folder, 0o770, 0o700)]
    {
        set(path, wrong);
        let error = open().unwrap_err();
        assert!(error.contains(&format!("has the mode {wrong:o}")), "{error}");
        set(path, right);
    }
    open().unwrap();
    std::fs::remove_file(&key).unwrap();
    std::os::unix::fs::symlink("/dev/zero", &key).unwrap();
    assert!(open().unwrap_err().contains("is no key"));
}
