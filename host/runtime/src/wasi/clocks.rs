//! The inert WASI's clocks and random numbers: both the same in every call.
//!
//! Does not sleep: what is waited for has always happened.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};

use super::resources::{Pollable, ended};
use crate::store::Host;

/// Random bytes that may be asked for at once.
const MAX_RANDOM: u64 = 1 << 20;

type Cx<'a> = StoreContextMut<'a, Host>;

#[derive(ComponentType, Lift, Lower)]
#[component(record)]
struct Datetime {
    seconds: u64,
    nanoseconds: u32,
}

/// Defines the function if it is one of these.
pub(super) fn define(to: &mut LinkerInstance<'_, Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:clocks/wall-clock", "now") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Datetime { seconds: 0, nanoseconds: 0 },)))
        }
        ("wasi:clocks/wall-clock", "resolution") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Datetime { seconds: 1, nanoseconds: 0 },)))
        }
        ("wasi:clocks/monotonic-clock", "now") => to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((0_u64,))),
        ("wasi:clocks/monotonic-clock", "resolution") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((1_000_000_000_u64,)))
        }
        ("wasi:clocks/monotonic-clock", "subscribe-instant" | "subscribe-duration") => {
            to.func_wrap(name, |_: Cx<'_>, _: (u64,)| Ok((Resource::<Pollable>::new_own(0),)))
        }
        ("wasi:random/random", "get-random-u64") | ("wasi:random/insecure", "get-insecure-random-u64") => {
            to.func_wrap(name, |mut cx: Cx<'_>, (): ()| Ok((cx.data_mut().wasi.random(),)))
        }
        ("wasi:random/random", "get-random-bytes") | ("wasi:random/insecure", "get-insecure-random-bytes") => {
            to.func_wrap(name, |cx: Cx<'_>, (count,): (u64,)| Ok((random_bytes(cx, count)?,)))
        }
        ("wasi:random/insecure-seed", "insecure-seed") => to.func_wrap(name, |mut cx: Cx<'_>, (): ()| {
            let state = &mut cx.data_mut().wasi;
            Ok(((state.random(), state.random()),))
        }),
        _ => return Ok(false),
    }
    .map(|()| true)
}

fn random_bytes(mut cx: Cx<'_>, count: u64) -> wasmtime::Result<Vec<u8>> {
    let count = usize::try_from(count)
        .ok()
        .filter(|_| count <= MAX_RANDOM)
        .ok_or_else(|| ended(format!("plugin asked for {count} random bytes at once, limit {MAX_RANDOM}")))?;
    let state = &mut cx.data_mut().wasi;
    let mut bytes = Vec::with_capacity(count + 8);
    while bytes.len() < count {
        bytes.extend_from_slice(&state.random().to_le_bytes());
    }
    bytes.truncate(count);
    Ok(bytes)
}
