//! The inert WASI's streams: stdin is at its end, stdout and stderr become lines of the plugin's log, and waiting is over at once.
//!
//! Does not bound the lines: the log does. Does not keep more of an unfinished line than the log would show.

use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, LinkerInstance, Lower, Resource};

use super::{InputStream, IoError, OutputStream, Pollable, ended};
use crate::bindings::Level;
use crate::call::Host;
use crate::log::MAX_LINE;

/// Handle numbers of the two output streams.
const STDOUT: u32 = 1;
const STDERR: u32 = 2;
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

/// Lines that are not finished.
#[derive(Debug, Default)]
pub(crate) struct Output {
    out: Vec<u8>,
    err: Vec<u8>,
}

impl Output {
    fn of(&mut self, stream: u32) -> &mut Vec<u8> {
        if stream == STDERR { &mut self.err } else { &mut self.out }
    }

    /// Takes bytes and gives the lines that they finish.
    fn take(&mut self, stream: u32, bytes: &[u8]) -> Vec<String> {
        let pending = self.of(stream);
        let mut lines = Vec::new();
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            let text = part.strip_suffix(b"\n").unwrap_or(part);
            // A little more than a line shows, so that the log sees that it is cut.
            let room = (MAX_LINE + 4).saturating_sub(pending.len());
            pending.extend_from_slice(text.get(..text.len().min(room)).unwrap_or_default());
            if text.len() < part.len() {
                lines.push(String::from_utf8_lossy(pending).into_owned());
                pending.clear();
            }
        }
        lines
    }

    /// What was written without an end of line.
    pub(crate) fn rest(&mut self) -> Vec<(Level, String)> {
        let rest = [(Level::Info, std::mem::take(&mut self.out)), (Level::Warn, std::mem::take(&mut self.err))];
        let some = rest.into_iter().filter(|(_, bytes)| !bytes.is_empty());
        some.map(|(level, bytes)| (level, String::from_utf8_lossy(&bytes).into_owned())).collect()
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_put_together_and_an_endless_one_is_not_kept() {
        let mut output = Output::default();
        assert_eq!(output.take(STDOUT, b"a\nb"), ["a"]);
        assert_eq!(output.take(STDERR, b"x"), [""; 0]);
        assert_eq!(output.take(STDOUT, b"c\n\n"), ["bc", ""]);
        for _ in 0..1_000 {
            assert!(output.take(STDOUT, &[b'y'; 1_000]).is_empty());
        }
        let rest = output.rest();
        assert_eq!((rest.len(), rest[0].1.len(), rest[1].1.as_str()), (2, MAX_LINE + 4, "x"));
        assert!(output.rest().is_empty());
    }
}
