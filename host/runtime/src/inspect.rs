//! Checks a file before any of it is compiled: whether it is a component, its size, its world, and its imports.
//!
//! Does not compare function signatures: those are checked against the compiled component, in `code`.

mod outline;

use pipeline::plan::Limits;
use seams::foreign::{cut, inert};
use seams::plugin::LoadError;
use semver::Version;
use wasmparser::component_types::ComponentEntityType;
use wasmparser::types::TypesRef;
use wasmparser::{Parser, Validator};

use crate::fault::refused;
use crate::wasi;
use crate::world::World;
use outline::{Outline, Unreadable};

/// Bytes of a name that an error shows.
const MOST_NAME: usize = 200;
/// The package of the contract.
const PACKAGE: &str = "sluicebox:plugin/";
/// The version of the contract that this host speaks; any patch version is accepted.
pub(crate) const CONTRACT: Version = Version::new(0, 1, 0);

/// What is known about a component.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Inspection {
    /// The kind of plugin that it is.
    pub world: World,
    /// The version of the contract that it was built for.
    pub contract: Version,
    /// The names of the interfaces that it imports.
    pub imports: Vec<String>,
    /// Whether it imports any of the inert WASI.
    pub inert_wasi: bool,
    /// The names of the interfaces that it exports.
    pub exports: Vec<String>,
    /// How many functions its core modules define.
    pub functions: u64,
    /// Bytes of linear memory that it is given before it runs, summed.
    pub memory: u64,
    /// Elements of the tables that it is given before it runs, summed.
    pub table_elements: u64,
}

/// Describes a component, and refuses one that cannot be a plugin under the default limits.
///
/// # Errors
/// P010 core module, P011 not a valid component, P013 too large, P014 too costly to compile, P015 machine code, P020 asks for more
/// than its world grants, P021 built for another version of the contract, P022 exports no world of the contract.
pub fn inspect(component: &[u8]) -> Result<Inspection, LoadError> {
    inspect_within(component, Limits::default().component)
}

/// As [`inspect`], for a component of at most `cap` bytes.
pub(crate) fn inspect_within(component: &[u8], cap: u64) -> Result<Inspection, LoadError> {
    check_header(component, cap.min(Limits::MAX_COMPONENT))?;
    let outline = Outline::of(component).map_err(unreadable)?;
    let types = Validator::new().validate_all(component).map_err(|error| invalid(&error))?;
    let contract = check_versions(&outline)?;
    let world = world_of(&outline)?;
    check_imports(&outline, types.as_ref(), world)?;
    let Outline { imports, exports, functions, memory, table_elements, .. } = outline;
    let inert_wasi = imports.iter().any(|name| wasi::is_inert(name));
    Ok(Inspection { world, contract, imports, inert_wasi, exports, functions, memory, table_elements })
}

fn check_header(bytes: &[u8], cap: u64) -> Result<(), LoadError> {
    let rebuild = "build it with `sluicebox plugin build`";
    if bytes.len() as u64 > cap {
        let message = format!("component of {} bytes is over the cap of {}", bytes.len(), crate::fault::bytes(cap));
        let hint = "build it with `--profile plugin`, strip it, or raise `component` under `[limits]`";
        return Err(refused("P013", message, hint));
    }
    if bytes.starts_with(b"\x7fELF") {
        let message = "file is compiled machine code (ELF, perhaps a `.cwasm`), expected a WebAssembly component";
        return Err(refused(
            "P015",
            message,
            "publish the `.wasm` that it was compiled from: machine code cannot be checked",
        ));
    }
    if bytes.is_empty() {
        return Err(refused("P011", "file is empty, expected a WebAssembly component", rebuild));
    }
    if !bytes.starts_with(b"\0asm") {
        let start =
            String::from_utf8_lossy(bytes.get(..bytes.len().min(8)).unwrap_or_default()).escape_debug().to_string();
        return Err(refused(
            "P011",
            format!("file is not WebAssembly: it starts with `{start}`, expected `\\0asm`"),
            rebuild,
        ));
    }
    if !Parser::is_component(bytes) && Parser::is_core_wasm(bytes) {
        return Err(refused(
            "P010",
            "file is a core module, expected a component",
            "`sluicebox plugin build` makes components",
        ));
    }
    Ok(())
}

fn unreadable(why: Unreadable) -> LoadError {
    match why {
        Unreadable::Invalid(error) => invalid(&error),
        Unreadable::TooCostly(what) => refused(
            "P014",
            format!("component would cost too much to compile: it has {what}"),
            "leave out what the plugin does not use, and build it with `--profile plugin`",
        ),
    }
}

fn invalid(error: &wasmparser::Error) -> LoadError {
    let message = format!("file is not a valid component: {} at byte {}", error.message(), error.offset());
    refused("P011", message, "the file may be truncated or damaged: compare its sha256 with the publisher's")
}

/// `sluicebox:plugin/NAME@VERSION` to name and version.
fn of_contract(interface: &str) -> Option<(&str, Option<Version>)> {
    let rest = interface.strip_prefix(PACKAGE)?;
    match rest.split_once('@') {
        Some((name, version)) => Some((name, Version::parse(version).ok())),
        None => Some((rest, None)),
    }
}

fn check_versions(outline: &Outline) -> Result<Version, LoadError> {
    let mut found = None;
    for name in outline.exports.iter().chain(&outline.imports) {
        let Some((_, version)) = of_contract(name) else { continue };
        match version {
            Some(version) if (version.major, version.minor) == (CONTRACT.major, CONTRACT.minor) => {
                found = Some(version)
            }
            other => {
                let other = other.map_or_else(|| "no version".to_owned(), |version| version.to_string());
                let message = format!(
                    "component was built for the plugin contract {} ({}), this host speaks {CONTRACT}",
                    inert(&cut(&other, MOST_NAME)),
                    shown(name)
                );
                return Err(refused(
                    "P021",
                    message,
                    "rebuild the plugin with the SDK of this host's version, or use the host of the plugin's",
                ));
            }
        }
    }
    found.ok_or_else(|| {
        let message = format!(
            "component exports {}, expected the interfaces of a world of `sluicebox:plugin`",
            list(&outline.exports)
        );
        refused("P022", message, "is this file a Sluicebox plugin? `sluicebox plugin new` starts one")
    })
}

fn world_of(outline: &Outline) -> Result<World, LoadError> {
    let exported =
        |wanted: &str| outline.exports.iter().filter_map(|name| of_contract(name)).any(|(name, _)| name == wanted);
    let worlds: Vec<World> = World::ALL.into_iter().filter(|world| exported(world.interface())).collect();
    match worlds.as_slice() {
        [world] if exported("lifecycle") => Ok(*world),
        [world] => {
            let message = format!(
                "component exports `{}` but not `lifecycle`, expected both (world `{world}`)",
                world.interface()
            );
            Err(refused("P022", message, "rebuild it with the SDK's export macro"))
        }
        _ => {
            let message = format!(
                "component exports {}, expected exactly one of `enrich`, `clean` and `aggregate`",
                list(&outline.exports)
            );
            Err(refused("P022", message, "one component is one plugin of one world"))
        }
    }
}

fn check_imports(outline: &Outline, types: TypesRef<'_>, world: World) -> Result<(), LoadError> {
    let asked: Vec<String> = outline.imports.iter().filter(|name| !granted(name, types)).cloned().collect();
    if asked.is_empty() {
        return Ok(());
    }
    let message = format!(
        "component asks for {}, which world `{world}` does not grant: it grants `log` and an inert WASI 0.2",
        list(&asked)
    );
    let hint = if asked.iter().any(|name| name.starts_with("wasi:")) {
        "leave out what uses it; give `componentize-py componentize` the flag `--stub-wasi`, `jco componentize` the flags `--disable all`"
    } else {
        "a plugin is a pure function: let the host do what needs the outside world"
    };
    Err(refused("P020", message, hint))
}

/// `log`, the inert WASI, and interfaces that hold nothing but types: those grant nothing.
fn granted(import: &str, types: TypesRef<'_>) -> bool {
    if wasi::is_inert(import) {
        return true;
    }
    let Some((name, _)) = of_contract(import) else { return false };
    if name == "log" {
        return true;
    }
    let Some(ComponentEntityType::Instance(id)) = types.component_item_for_import(import).map(|item| item.ty) else {
        return false;
    };
    let only_types = |instance: &wasmparser::component_types::ComponentInstanceType| {
        instance.exports.values().all(|item| matches!(item.ty, ComponentEntityType::Type { .. }))
    };
    types.get(id).is_some_and(only_types)
}

/// Names as prose: `` `a`, `b` and `c` ``, at most six of them.
fn list(names: &[String]) -> String {
    match names {
        [] => "nothing".to_owned(),
        [one] => shown(one),
        [first, .., _] if names.len() > 6 => format!("{} and {} others", shown(first), names.len() - 1),
        [front @ .., last] => {
            let front: Vec<String> = front.iter().map(|name| shown(name)).collect();
            format!("{} and {}", front.join(", "), shown(last))
        }
    }
}

/// A name in backticks: a component may give things names of any length and of any characters.
fn shown(name: &str) -> String {
    format!("`{}`", inert(&cut(name, MOST_NAME)))
}
