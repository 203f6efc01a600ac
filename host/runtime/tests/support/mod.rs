//! What the tests of this crate share: a runtime, grants, and core modules in text made into components.

// Each test file uses its own part of this.
#![allow(dead_code)]

use std::path::Path;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use pipeline::plan::Limits;
use runtime::{Cache, Options, Trust, WasmPlugins};
use seams::plugin::{Fault, Grants};
use tracing_subscriber::layer::SubscriberExt as _;
use wit_component::StringEncoding;
use wit_parser::Resolve;

/// A runtime of two guest threads, without a cache.
pub(crate) fn plugins() -> WasmPlugins {
    WasmPlugins::new(Options { guest_threads: 2, ..Options::default() }).unwrap()
}

/// A cache in `folder`, with its key.
pub(crate) fn kept_in(folder: &Path) -> Cache {
    Cache { dir: folder.join("cache"), trust: Trust::Key(folder.join("own").join("key")) }
}

/// A configuration under the default limits.
pub(crate) fn grants(config: &str) -> Grants {
    Grants { config: config.to_owned(), limits: Limits::default() }
}

/// The bytes of a built component.
pub(crate) fn component(path: impl AsRef<Path>) -> Bytes {
    std::fs::read(path).unwrap().into()
}

/// Documents `{"n": N}`.
pub(crate) fn numbers(numbers: impl IntoIterator<Item = i64>) -> Vec<Bytes> {
    numbers.into_iter().map(|n| Bytes::from(format!("{{\"n\":{n}}}"))).collect()
}

/// A fault as one text, for assertions.
pub(crate) fn said(fault: &Fault) -> String {
    format!("[{}] {:?}: {}", fault.code, fault.kind, fault.message)
}

/// A component of `world` from a core module in text, which says exactly what each export does.
pub(crate) fn from_text(world: &str, module: &str) -> Bytes {
    from_text_with(&[], world, module)
}

/// A component of `world` from a core module that may not be fit for it.
pub(crate) fn try_from_module(world: &str, mut wasm: Vec<u8>) -> Option<Bytes> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))).unwrap();
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
    runtime::componentize(&wasm).ok().map(Bytes::from)
}

/// As [`from_text`], with more packages of WIT. The next one may import each of them; `world` may be in one of them.
pub(crate) fn from_text_with(packages: &[&str], world: &str, module: &str) -> Bytes {
    let mut wasm = wat::parse_str(module).unwrap();
    let mut resolve = Resolve::default();
    let (mut package, _) = resolve.push_dir(Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../../wit"))).unwrap();
    for text in packages {
        package = resolve.push_str("test.wit", text).unwrap();
    }
    let world = resolve.select_world(&[package], Some(world)).unwrap();
    wit_component::embed_component_metadata(&mut wasm, &resolve, world, StringEncoding::UTF8).unwrap();
    runtime::componentize(&wasm).unwrap().into()
}

/// A cleaner whose parts are given: its memory's limits, and what is put beside the exports. `describe` returns the record at address
/// 1024, which names itself `wat` and has one output column `n`.
pub(crate) fn cleaner_text(memory: &str, more: &str, clean: &str) -> Bytes {
    from_text("cleaner", &cleaner_module("", memory, more, clean))
}

/// The core module of [`cleaner_text`], with imports.
pub(crate) fn cleaner_module(imports: &str, memory: &str, more: &str, clean: &str) -> String {
    format!(
        r#"(module
              {imports}
              (memory (export "memory") {memory})
              (global $next (mut i32) (i32.const 8192))
              (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (global.set $next (i32.and (i32.add (global.get $next) (i32.const 7)) (i32.const -8)))
                (global.get $next)
                (global.set $next (i32.add (global.get $next) (local.get 3))))
              (data (i32.const 16) "wat")
              (data (i32.const 32) "1.0.0")
              (data (i32.const 48) "n")
              (data (i32.const 1024)
                "\10\00\00\00\03\00\00\00" "\20\00\00\00\05\00\00\00"
                "\00\00\00\00\00\00\00\00" "\00\08\00\00\01\00\00\00" "\00\00\00\00\00\00\00\00")
              (data (i32.const 2048) "\30\00\00\00\01\00\00\00\00\01\00\00")
              (func (export "sluicebox:plugin/lifecycle@0.1.0#describe") (result i32) (i32.const 1024))
              (func (export "sluicebox:plugin/lifecycle@0.1.0#configure") (param i32 i32) (result i32) (i32.const 4096))
              (func (export "sluicebox:plugin/clean@0.1.0#clean") (param i32 i32 i32) (result i32) {clean})
              {more})"#
    )
}

/// Log lines, as text.
#[derive(Clone, Default)]
pub(crate) struct Lines(Arc<Mutex<Vec<u8>>>);

impl Lines {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl std::io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Everything that is logged from now on. Guests log from threads of their own, so it holds all lines; each test is a process of its own
/// under nextest.
pub(crate) fn capture() -> Lines {
    let lines = Lines::default();
    let writer = lines.clone();
    let layer = tracing_subscriber::fmt::layer().with_ansi(false).with_writer(move || writer.clone());
    tracing::subscriber::set_global_default(tracing_subscriber::registry().with(layer)).unwrap();
    lines
}
