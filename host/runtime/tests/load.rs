//! What is refused before it can run, each with its code; and that what is not refused is found in the compile cache again.

// Tests read files, and what fails ends them.
#![allow(clippy::disallowed_methods, clippy::expect_used, clippy::indexing_slicing, clippy::panic, clippy::unwrap_used)]

mod support;

use std::time::Duration;

use bytes::Bytes;
use pipeline::plan::{Isolation, Limits};
use runtime::{Cache, Options, Trust, WasmPlugins, World, inspect};
use seams::plugin::{FaultKind, Grants, LoadError, Plugins};
use support::{cleaner_text, component, grants, numbers, plugins, said};

fn refusal(bytes: &[u8]) -> LoadError {
    inspect(bytes).unwrap_err()
}

/// A component with exports of the given names, all of them empty.
fn shell(imports: &[&str], exports: &[&str]) -> Vec<u8> {
    let imports: String =
        imports.iter().map(|name| format!("(import \"{name}\" (instance (export \"f\" (func))))")).collect();
    let exports: String = exports.iter().map(|name| format!("(export \"{name}\" (instance $empty))")).collect();
    wat::parse_str(format!("(component {imports} (instance $empty) {exports})")).unwrap()
}

const CLEANER: [&str; 2] = ["sluicebox:plugin/lifecycle@0.1.0", "sluicebox:plugin/clean@0.1.0"];

#[test]
fn what_is_no_component_is_refused() {
    let whole = component(artifacts::misbehave());
    let mut flipped = whole.to_vec();
    flipped[20] ^= 0xff;
    let core = wat::parse_str("(module)").unwrap();
    let cases: [(&[u8], &str, &str); 8] = [
        (b"", "P011", "empty"),
        (b"(component)", "P011", "starts with `(compone`"),
        (b"#!/bin/sh\n", "P011", "not WebAssembly"),
        (&whole[..whole.len() / 2], "P011", "at byte"),
        (&whole[..10], "P011", "at byte"),
        (&flipped, "P011", "at byte"),
        (&core, "P010", "core module"),
        (b"\x7fELF\x02\x01\x01", "P015", "machine code"),
    ];
    for (bytes, code, part) in cases {
        let error = refusal(bytes);
        assert_eq!(error.code, code, "{error}");
        assert!(error.message.contains(part) && error.hint.is_some(), "{error}");
    }
}

#[test]
fn a_component_over_the_cap_is_refused_unread() {
    let error = refusal(&vec![0; (16 << 20) + 1]);
    assert_eq!(error.code, "P013");
    assert!(error.message.contains("16777217 bytes is over the cap of 16 MiB"), "{error}");
}

#[tokio::test]
async fn the_cap_on_a_component_is_the_pipelines_and_has_a_ceiling() {
    let small = Limits { component: 1 << 10, ..Limits::default() };
    let error = load_text(component(artifacts::misbehave()), small).await.unwrap_err();
    assert_eq!(error.code, "P013", "{error}");
    assert!(
        error.message.contains("cap of 1 KiB") && error.hint.as_deref().unwrap().contains("`component`"),
        "{error}"
    );
    let endless = Limits { component: u64::MAX, ..Limits::default() };
    let error = load_text(vec![0; (64 << 20) + 1].into(), endless).await.unwrap_err();
    assert!(error.code == "P013" && error.message.contains("cap of 64 MiB"), "{error}");
}

#[test]
fn what_would_cost_too_much_to_compile_is_refused() {
    let many = format!("(component (core module {}))", "(func)".repeat(50_001));
    let large = format!("(component (core module (func {})))", "nop ".repeat((1 << 20) + 1));
    let parts = format!("(component {})", "(core module)".repeat(70));
    for (text, part) in [(many, "50001 functions"), (large, "a function of 10485"), (parts, "65 modules")] {
        let error = refusal(&wat::parse_str(text).unwrap());
        assert_eq!(error.code, "P014", "{error}");
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn imports_are_refused_by_name() {
    let error = refusal(&shell(&["wasi:sockets/tcp@0.2.0", "sluicebox:plugin/log@0.1.0"], &CLEANER));
    assert_eq!(error.code, "P020");
    assert!(
        error.message.contains("asks for `wasi:sockets/tcp@0.2.0`, which world `cleaner` does not grant"),
        "{error}"
    );
    assert!(error.hint.is_some_and(|hint| hint.contains("--stub-wasi")));
    let error = refusal(&shell(&["env:vars/all"], &CLEANER));
    assert_eq!(error.code, "P020");
    let error = refusal(&shell(&["sluicebox:plugin/columns@0.1.0"], &CLEANER));
    assert_eq!(error.code, "P020", "an interface of ours with a function in it is a power too: {error}");
}

#[test]
fn another_version_of_the_contract_is_named() {
    let error = refusal(&shell(&[], &["sluicebox:plugin/lifecycle@0.2.0", "sluicebox:plugin/clean@0.2.0"]));
    assert_eq!(error.code, "P021");
    assert!(error.message.contains("contract 0.2.0") && error.message.contains("speaks 0.1.0"), "{error}");
    let patch = shell(&[], &["sluicebox:plugin/lifecycle@0.1.7", "sluicebox:plugin/clean@0.1.7"]);
    assert_eq!(inspect(&patch).unwrap().contract.to_string(), "0.1.7");
}

#[test]
fn a_component_that_is_no_plugin_is_told_apart() {
    let none = refusal(&shell(&[], &["wasi:cli/run@0.2.0"]));
    let half = refusal(&shell(&[], &CLEANER[1..]));
    let two = refusal(&shell(&[], &[CLEANER[0], CLEANER[1], "sluicebox:plugin/enrich@0.1.0"]));
    for (error, part) in [(none, "`wasi:cli/run@0.2.0`"), (half, "not `lifecycle`"), (two, "expected exactly one")] {
        assert_eq!(error.code, "P022", "{error}");
        assert!(error.message.contains(part), "{error}");
    }
}

#[test]
fn a_plugin_is_recognised() {
    let cleaner = inspect(&component(artifacts::misbehave())).unwrap();
    assert_eq!((cleaner.world, cleaner.contract.to_string().as_str()), (World::Cleaner, "0.1.0"));
    assert!(cleaner.functions > 10 && cleaner.exports.iter().any(|name| name == CLEANER[1]));
    assert_eq!(inspect(&component(artifacts::echo_enricher())).unwrap().world, World::Enricher);
}

#[tokio::test]
async fn an_export_of_another_type_is_refused() {
    let error = plugins().cleaner(shell(&[], &CLEANER).into(), &grants("{}")).await.unwrap_err();
    assert_eq!(error.code, "P022");
    assert!(error.message.contains("describe"), "{error}");
}

async fn load_text(component: Bytes, limits: Limits) -> Result<std::sync::Arc<dyn seams::plugin::Cleaner>, LoadError> {
    plugins().cleaner(component, &Grants { config: "{}".into(), limits }).await
}

#[tokio::test]
async fn a_plugin_in_text_works() {
    let cleaner = load_text(cleaner_text("1", "", "(unreachable)"), Limits::default()).await.unwrap();
    assert_eq!((cleaner.descriptor().name.as_str(), cleaner.descriptor().output.len()), ("wat", 1));
}

#[tokio::test]
async fn a_loop_in_the_start_function_is_refused_at_load() {
    let limits = Limits { deadline: Duration::from_millis(100), ..Limits::default() };
    let component = cleaner_text("1", "(func $spin (loop (br 0))) (start $spin)", "(unreachable)");
    let error = load_text(component, limits).await.unwrap_err();
    assert_eq!(error.code, "P105");
    assert!(error.message.contains("while instantiating"), "{error}");
}

#[tokio::test]
async fn declared_memory_over_the_cap_is_refused_before_it_is_given() {
    let error = load_text(cleaner_text("65536", "", "(unreachable)"), Limits::default()).await.unwrap_err();
    assert_eq!(error.code, "P012");
    assert!(error.message.contains("declares 4 GiB of initial memory, cap 128 MiB"), "{error}");
    let tables = cleaner_text("1", "(table 200000 funcref)", "(unreachable)");
    assert_eq!(load_text(tables, Limits::default()).await.unwrap_err().code, "P012");
}

#[tokio::test]
async fn memories_beyond_the_first_and_threads_are_no_part_of_what_plugins_may_use() {
    for more in ["(memory $second 1)", "(memory $shared 1 1 shared)", "(memory $wide i64 1)"] {
        let error = load_text(cleaner_text("1", more, "(unreachable)"), Limits::default()).await.unwrap_err();
        assert_eq!(error.code, "P011", "{more}: {error}");
    }
}

async fn clean_text(more: &str, clean: &str) -> seams::plugin::Fault {
    let cleaner = load_text(cleaner_text("1", more, clean), Limits::default()).await.unwrap();
    cleaner.clean(&numbers([1])).await.unwrap_err()
}

#[tokio::test]
async fn endless_recursion_ends_at_the_stack_limit_whatever_that_is() {
    let component = cleaner_text("1", "(func $deep (call $deep) (call $deep))", "(call $deep) (unreachable)");
    for stack in [64 << 10, 1 << 20, 8 << 20] {
        let cleaner = load_text(component.clone(), Limits { stack, ..Limits::default() }).await.unwrap();
        let fault = cleaner.clean(&numbers([1])).await.unwrap_err();
        assert_eq!((fault.kind, fault.code), (FaultKind::Stack, "P112"), "{}", said(&fault));
    }
}

#[tokio::test]
async fn a_table_ends_at_its_cap() {
    let fault =
        clean_text("(table $t 1 funcref)", "(drop (table.grow $t (ref.null func) (i32.const 2000000))) (unreachable)")
            .await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Memory, "P111"), "{}", said(&fault));
}

/// A plugin with another component in it, given as text, that is instantiated together with it: what the whole may have is summed over both.
fn with_a_part(plugin: &Bytes, part: &str) -> Bytes {
    let part = wat::parse_str(format!("(component (component {part}))")).unwrap();
    // How many components there are already decides which number the part has.
    let mut depth = 0;
    let mut number = 0;
    for payload in wasmparser::Parser::new(0).parse_all(plugin) {
        match payload.unwrap() {
            wasmparser::Payload::ComponentSection { .. } => {
                number += u8::from(depth == 0);
                depth += 1;
            }
            wasmparser::Payload::ModuleSection { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= i32::from(depth > 0),
            _ => {}
        }
    }
    // The part's section without the header of the text's component; then a section of instances: one, of that component, with no argument.
    let header = 8;
    let instance = [5, 4, 1, 0, number, 0];
    [plugin, &part[header..], &instance].concat().into()
}

/// What a plugin has in several modules is summed: instances, tables, memories.
#[tokio::test]
async fn a_plugin_of_many_modules_ends_at_the_caps_on_the_whole() {
    let plain = cleaner_text("1", "", "(unreachable)");
    let part = |module: &str, instances: usize| {
        format!("(core module $m {module}) {}", "(core instance (instantiate $m))".repeat(instances))
    };
    let load = async |module: &str, instances: usize| {
        plugins().cleaner(with_a_part(&plain, &part(module, instances)), &grants("{}")).await
    };
    // The plugin itself has one memory, no table and a few instances.
    for (module, fit, over, what) in
        [("", 50, 64, "core module instances"), ("(table 1 funcref)", 8, 9, "tables"), ("(memory 1)", 1, 2, "memories")]
    {
        load(module, fit).await.unwrap_or_else(|error| panic!("{what}: {error}"));
        let Err(error) = load(module, over).await else { panic!("{over} {what} more are taken") };
        assert_eq!(error.code, "P012", "{what}: {error}");
        assert!(error.message.contains(what), "{what}: {error}");
    }
}

#[tokio::test]
async fn memory_may_not_even_be_asked_for_in_excess() {
    let fault = clean_text("", "(drop (memory.grow (i32.const 65535))) (unreachable)").await;
    assert_eq!((fault.kind, fault.code), (FaultKind::Memory, "P110"), "{}", said(&fault));
    assert!(fault.message.contains("memory cap 128 MiB, asked for 4 GiB"), "{}", said(&fault));
}

#[tokio::test]
async fn a_result_outside_memory_is_a_bad_pointer() {
    for place in ["0x7ffffff0", "65532", "1025"] {
        let fault = clean_text("", &format!("(i32.const {place})")).await;
        assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P121"), "{place}: {}", said(&fault));
    }
}

#[tokio::test]
async fn a_kept_or_invented_discriminant_is_bad_output() {
    // The first column's `values` would be of the 200th kind.
    let data = r#"(data (i32.const 3072) "\01\00\00\00\00\10\00\00\01\00\00\00") (data (i32.const 4096) "\00\00\00\00\00\00\00\00\00\00\00\00\c8")"#;
    let fault = clean_text(data, "(i32.const 3072)").await;
    assert_eq!((fault.kind, fault.code), (FaultKind::BadOutput, "P121"), "{}", said(&fault));
}

#[tokio::test]
async fn what_is_compiled_once_is_loaded_from_the_cache_and_only_its_owner_can_enter_that() {
    let folder = tempfile::tempdir().unwrap();
    let dir = folder.path().join("compiled");
    let kept = || Cache { dir: dir.clone(), trust: Trust::Key(folder.path().join("own").join("key")) };
    let bytes = component(artifacts::misbehave());
    for _ in 0..2 {
        let options = Options { cache: Some(kept()), guest_threads: 1, ..Options::default() };
        let plugins = WasmPlugins::new(options).unwrap();
        plugins.cleaner(bytes.clone(), &grants("{}")).await.unwrap();
    }
    let files = files_of(&dir);
    assert_eq!(files.len(), 1, "one component, compiled once: {files:?}");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt as _;
        assert_eq!(dir.metadata().unwrap().permissions().mode() & 0o777, 0o700);
    }
    // What is in the cache is not believed blindly: a damaged file is compiled again.
    std::fs::write(&files[0], b"damaged").unwrap();
    let plugins = WasmPlugins::new(Options { cache: Some(kept()), guest_threads: 1, ..Options::default() }).unwrap();
    let cleaner = plugins.cleaner(bytes, &grants("{}")).await.unwrap();
    assert_eq!(cleaner.clean(&numbers(0..3)).await.unwrap().rows.num_rows(), 3);
}

/// The compiled components in a cache, without wasmtime's own notes on their use.
fn files_of(dir: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            found.extend(files_of(&path));
        } else if path.extension().is_none() && entry.file_name() != "CACHEDIR.TAG" {
            found.push(path);
        }
    }
    found
}

#[tokio::test]
async fn a_loaded_plugin_outlives_what_loaded_it() {
    let plugins = plugins();
    let cleaner = plugins.cleaner(component(artifacts::misbehave()), &grants("{}")).await.unwrap();
    drop(plugins);
    assert_eq!(cleaner.clean(&numbers(0..3)).await.unwrap().rows.num_rows(), 3);
}

#[tokio::test]
async fn a_plugin_is_described_without_a_configuration() {
    let (inspection, descriptor, digest) = plugins().describe(component(artifacts::misbehave())).await.unwrap();
    assert_eq!((inspection.world, descriptor.name.as_str()), (World::Cleaner, "misbehave"));
    assert!(digest.as_str().starts_with("sha256:"));
}

#[tokio::test]
async fn a_host_without_workers_runs_no_plugin_in_one() {
    let limits = Limits { isolation: Isolation::Process, ..Limits::default() };
    let grants = Grants { config: "{}".to_owned(), limits };
    let error = plugins().cleaner(component(artifacts::misbehave()), &grants).await.unwrap_err();
    assert_eq!(error.code, "P181", "{error}");
    assert!(error.hint.is_some_and(|hint| hint.contains("in-process")));
}
