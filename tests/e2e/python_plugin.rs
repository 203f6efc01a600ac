//! A plugin in another language than the SDK's: a component that a stock toolchain makes of a Python file, in a pipeline.
//!
//! Does not test what the inert WASI answers: the runtime's tests do.

#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::panic, clippy::unwrap_used, reason = "a test")]

mod support;

use std::path::{Path, PathBuf};
use std::process::Command;

use support::{fresh_folder, python, repository, sluicebox};

const PIPELINE: &str = r#"
[pipeline]
name = "numbers"
[source]
uri = "numbers.jsonl"
key = ["n"]
batch_size = 10
[clean]
plugin = "doubler.wasm"
[lake]
bronze = "lake/bronze"
silver = "lake/silver"
gold = "lake/gold"
[limits]
component = "32 MiB"
compile_time = "5 min"
compile_memory = "4 GiB"
deadline = "60s"
"#;

/// A program of the Python that the tests have.
fn python_tool(name: &str) -> PathBuf {
    Path::new(python().get_program()).with_file_name(name)
}

fn componentize(folder: &Path, flags: &[&str], to: &str) {
    let tool = python_tool("componentize-py");
    let mut command = Command::new(&tool);
    command.current_dir(folder).arg("-d").arg(repository().join("wit")).args(["-w", "cleaner", "componentize"]);
    let output = command.args(flags).args(["doubler", "-o", to]).output();
    let output = output.unwrap_or_else(|error| panic!("cannot start `{}`: {error}", tool.display()));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_plugin_in_python_cleans() {
    let folder = fresh_folder("python-plugin");
    std::fs::copy(repository().join("tests/e2e/doubler.py"), folder.join("doubler.py")).unwrap();
    std::fs::write(folder.join("pipeline.toml"), PIPELINE).unwrap();
    std::fs::write(folder.join("numbers.jsonl"), "{\"n\":1}\n{\"n\":2}\n{\"n\":\"three\"}\n").unwrap();

    // As the toolchain makes it by itself it asks for sockets: refused by name, with the flag that leaves them out.
    componentize(&folder, &[], "doubler.wasm");
    let refused = sluicebox(&folder, &["check"]).exits(2).stderr;
    assert!(refused.contains("P020") && refused.contains("wasi:sockets/"), "{refused}");
    assert!(refused.contains("--stub-wasi"), "{refused}");

    componentize(&folder, &["--stub-wasi"], "doubler.wasm");
    let ran = sluicebox(&folder, &["run", "--once", "--json", "--max-quarantined", "1"]).exits(0).json();
    let lake = &ran["pipelines"][0]["lake"];
    assert_eq!((&lake["silver"]["rows"], &lake["quarantine"]["clean"]), (&2.into(), &1.into()), "{lake}");
    let explained = sluicebox(&folder, &["explain", "2", "--json"]).exits(0).json();
    assert_eq!(explained["row"]["rows"], serde_json::json!([[["twice", "4"]]]), "{explained}");
    // Made again from what is in Bronze it is the same, so that the component gives the same to the same.
    sluicebox(&folder, &["verify"]).exits(0);
}
