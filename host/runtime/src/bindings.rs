//! The host's side of `wit/`, generated.
//!
//! One world per part of the contract and not per world of the contract: the parts share `lifecycle` and the column types, so that
//! one set of Rust types serves all three kinds of plugin. `inspect` says which parts a component must have.
#![allow(missing_docs, unreachable_pub, clippy::all, reason = "generated code")]

pub(crate) mod lifecycle {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package sluicebox:host;
            world common {
                import sluicebox:plugin/log@0.1.0;
                export sluicebox:plugin/lifecycle@0.1.0;
            }
        ",
        world: "sluicebox:host/common",
        // Columns also go between a worker process and its host.
        additional_derives: [serde::Serialize, serde::Deserialize],
    });
}

pub(crate) mod enrich {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package sluicebox:host;
            world enrich-only { export sluicebox:plugin/enrich@0.1.0; }
        ",
        world: "sluicebox:host/enrich-only",
    });
}

pub(crate) mod clean {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package sluicebox:host;
            world clean-only { export sluicebox:plugin/clean@0.1.0; }
        ",
        world: "sluicebox:host/clean-only",
        with: { "sluicebox:plugin/columns@0.1.0": crate::bindings::lifecycle::sluicebox::plugin::columns },
    });
}

pub(crate) mod aggregate {
    wasmtime::component::bindgen!({
        path: "../../wit",
        inline: "
            package sluicebox:host;
            world aggregate-only { export sluicebox:plugin/aggregate@0.1.0; }
        ",
        world: "sluicebox:host/aggregate-only",
        with: { "sluicebox:plugin/columns@0.1.0": crate::bindings::lifecycle::sluicebox::plugin::columns },
    });
}

pub(crate) use lifecycle::exports::sluicebox::plugin::lifecycle as described;
pub(crate) use lifecycle::sluicebox::plugin::columns as wit;
pub(crate) use lifecycle::sluicebox::plugin::log::Level;
