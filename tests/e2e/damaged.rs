//! Files that were damaged at random: each is read as other programs read it (Python's `csv` in strict mode and `json`,
//! pyarrow, polars), or refused with the place, as a whole or line by line.
//!
//! Does not damage or compare: `damaged.py` does, the same 200 each time.

// Tests read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use support::{fresh_folder, run, script, sluicebox};

const PIPELINE: &str = r#"
[pipeline]
name = "damaged"
[source]
uri = "good.csv"
key = ["id"]
top_n = 100000
[clean]
plugin = "none.wasm"
"#;

/// A verb of the script, on the folder.
fn python(verb: &str, folder: &Path) -> String {
    let ran = run(script("damaged.py").args([verb.as_ref(), folder.as_os_str()]));
    ran.exits(0).stdout
}

#[test]
fn two_hundred_damaged_files_are_read_as_others_read_them_or_refused_with_the_place() {
    let folder = fresh_folder("damaged");
    fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    python("make", &folder);
    let mut variants: Vec<PathBuf> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    variants.retain(|path| path.extension().is_some_and(|extension| extension != "toml"));
    assert_eq!(variants.len(), 204);
    let next = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(2, usize::from).min(8) {
            scope.spawn(|| {
                while let Some(variant) = variants.get(next.fetch_add(1, Ordering::Relaxed)) {
                    read(&folder, variant);
                }
            });
        }
    });
    let told = python("compare", &folder);
    let told: serde_json::Value = serde_json::from_str(&told).unwrap();
    println!("{}", told["counts"]);
    let wrong: Vec<&str> = told["wrong"].as_array().unwrap().iter().filter_map(|one| one.as_str()).collect();
    assert!(wrong.is_empty(), "{}\n{}", wrong.join("\n"), told["counts"]);
    // Refusing all would be correct, and useless.
    for format in ["csv", "jsonl", "json", "parquet"] {
        assert!(told["counts"][format]["same"].as_u64().unwrap() >= 5, "{}", told["counts"]);
    }
    for format in ["csv", "jsonl"] {
        assert!(told["counts"][format]["some lines refused"].as_u64().unwrap() >= 5, "{}", told["counts"]);
    }
}

/// Leaves what the program says beside the variant.
fn read(folder: &Path, variant: &Path) {
    let name = variant.file_name().unwrap().to_str().unwrap();
    let ran = sluicebox(folder, &["source", "--json", "--set", &format!("source.uri={name:?}")]);
    match ran.code {
        0 => fs::write(folder.join(format!("{name}.ours.json")), ran.stdout).unwrap(),
        1 => fs::write(folder.join(format!("{name}.error")), format!("{}{}", ran.stdout, ran.stderr)).unwrap(),
        code => panic!("{name}: exit code {code}\n{}\n{}", ran.stdout, ran.stderr),
    }
}
