//! What a guest's store holds for the host: its use of resources, its log, and its state of the inert WASI.
//!
//! Does not make a store, and sets no limit: `call` does.

use crate::bindings::Level;
use crate::limits::Meter;
use crate::log::{Line, Log};
use crate::wasi::State;

/// What a guest's store holds for the host.
#[derive(Debug)]
pub(crate) struct Host {
    pub(crate) meter: Meter,
    pub(crate) log: Log,
    pub(crate) plugin: String,
    pub(crate) digest: String,
    pub(crate) wasi: State,
}

impl Host {
    /// Logs a line of the plugin, as far as there is room.
    pub(crate) fn write_log(&mut self, level: Level, message: &str) {
        if self.log.is_full() {
            self.log.drop_line();
        } else {
            self.log.write(&self.plugin, &self.digest, level, &Line::of(message));
        }
    }
}
