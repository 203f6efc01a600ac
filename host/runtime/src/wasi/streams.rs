//! The inert WASI's streams: stdin is at its end, stdout and stderr become lines of the plugin's log, and waiting is over at once.
//!
//! Does not bound the lines: the log does. What is not a whole line yet is in `state`.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};

use super::resources::{InputStream, IoError, OutputStream, Pollable, ended};
use super::state::{STDERR, STDOUT};
use crate::bindings::Level;
use crate::store::Host;

/// Bytes that may be written at once.
const ROOM: u64 = 64 << 10;

type Cx<'a> = StoreContextMut<'a, Host>;

#[derive(ComponentType, Lift, Lower)]
#[component(variant)]
enum StreamError {
    #[component(name = "last-operation-failed")]
    LastOperationFailed(Resource<IoError>),
    #[component(name = "closed")]
    Closed,
}

type Written<T> = (Result<T, StreamError>,);

fn write(mut cx: Cx<'_>, stream: &Resource<OutputStream>, bytes: &[u8]) {
    let level = if stream.rep() == STDERR { Level::Warn } else { Level::Info };
    for line in cx.data_mut().wasi.output.take(stream.rep(), bytes) {
        cx.data_mut().write_log(level, &line);
    }
}

fn write_zeroes(cx: Cx<'_>, stream: &Resource<OutputStream>, count: u64) -> wasmtime::Result<()> {
    match usize::try_from(count).ok().filter(|_| count <= ROOM) {
        Some(count) => write(cx, stream, &vec![0; count]),
        None => return Err(ended(format!("plugin wrote {count} bytes at once, the stream takes {ROOM}"))),
    }
    Ok(())
}

/// Defines the function if it is one of these.
pub(super) fn define(to: &mut LinkerInstance<'_, Host>, interface: &str, name: &str) -> wasmtime::Result<bool> {
    match (interface, name) {
        ("wasi:cli/stdin", "get-stdin") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Resource::<InputStream>::new_own(0),)))
        }
        ("wasi:cli/stdout", "get-stdout") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(STDOUT),)))
        }
        ("wasi:cli/stderr", "get-stderr") => {
            to.func_wrap(name, |_: Cx<'_>, (): ()| Ok((Resource::<OutputStream>::new_own(STDERR),)))
        }
        ("wasi:io/error", "[method]error.to-debug-string") => {
            to.func_wrap(name, |_: Cx<'_>, _: (Resource<IoError>,)| Ok(("error".to_owned(),)))
        }
        ("wasi:io/poll", _) => return poll(to, name),
        ("wasi:io/streams", _) if name.starts_with("[method]input-stream.") => return input(to, name),
        ("wasi:io/streams", _) if name.starts_with("[method]output-stream.") => return output(to, name),
        _ => return Ok(false),
    }
    .map(|()| true)
}

/// Everything is ready: a call that waits for a timer would wait where no deadline reaches it.
fn poll(to: &mut LinkerInstance<'_, Host>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]pollable.ready" => to.func_wrap(name, |_: Cx<'_>, _: (Resource<Pollable>,)| Ok((true,))),
        "[method]pollable.block" => to.func_wrap(name, |_: Cx<'_>, _: (Resource<Pollable>,)| Ok(())),
        "poll" => to.func_wrap(name, |_: Cx<'_>, (all,): (Vec<Resource<Pollable>>,)| {
            Ok(((0_u32..).take(all.len()).collect::<Vec<u32>>(),))
        }),
        _ => return Ok(false),
    }
    .map(|()| true)
}

fn input(to: &mut LinkerInstance<'_, Host>, name: &str) -> wasmtime::Result<bool> {
    match name {
        "[method]input-stream.read" | "[method]input-stream.blocking-read" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Resource<InputStream>, u64)| -> wasmtime::Result<Written<Vec<u8>>> {
                Ok((Err(StreamError::Closed),))
            })
        }
        "[method]input-stream.skip" | "[method]input-stream.blocking-skip" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Resource<InputStream>, u64)| -> wasmtime::Result<Written<u64>> {
                Ok((Err(StreamError::Closed),))
            })
        }
        "[method]input-stream.subscribe" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Resource<InputStream>,)| Ok((Resource::<Pollable>::new_own(0),)))
        }
        _ => return Ok(false),
    }
    .map(|()| true)
}

fn output(to: &mut LinkerInstance<'_, Host>, name: &str) -> wasmtime::Result<bool> {
    type Stream = Resource<OutputStream>;
    match name {
        "[method]output-stream.check-write" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Stream,)| -> wasmtime::Result<Written<u64>> { Ok((Ok(ROOM),)) })
        }
        "[method]output-stream.write" | "[method]output-stream.blocking-write-and-flush" => {
            to.func_wrap(name, |cx: Cx<'_>, (stream, bytes): (Stream, Vec<u8>)| -> wasmtime::Result<Written<()>> {
                write(cx, &stream, &bytes);
                Ok((Ok(()),))
            })
        }
        "[method]output-stream.flush" | "[method]output-stream.blocking-flush" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Stream,)| -> wasmtime::Result<Written<()>> { Ok((Ok(()),)) })
        }
        "[method]output-stream.write-zeroes" | "[method]output-stream.blocking-write-zeroes-and-flush" => {
            to.func_wrap(name, |cx: Cx<'_>, (stream, count): (Stream, u64)| -> wasmtime::Result<Written<()>> {
                write_zeroes(cx, &stream, count)?;
                Ok((Ok(()),))
            })
        }
        "[method]output-stream.splice" | "[method]output-stream.blocking-splice" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Stream, Resource<InputStream>, u64)| -> wasmtime::Result<Written<u64>> {
                Ok((Err(StreamError::Closed),))
            })
        }
        "[method]output-stream.subscribe" => {
            to.func_wrap(name, |_: Cx<'_>, _: (Stream,)| Ok((Resource::<Pollable>::new_own(0),)))
        }
        _ => return Ok(false),
    }
    .map(|()| true)
}
