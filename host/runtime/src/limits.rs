//! The limits of one call: memory, tables, instances, time and fuel, summed over the store; and how many rows it may
//! return.
//!
//! Does not bound the bytes that are passed (wasmtime's hostcall fuel does, see `call`) or the log (`log` does). What a pipeline can
//! change is in its `[limits]`; the constants here hold for every plugin.

use std::time::Duration;

use pipeline::plan::Limits;
use seams::plugin::{Fault, FaultKind};
use thiserror::Error;
use wasmtime::ResourceLimiter;

use crate::fault::{Phase, bad_output, bytes, fault};

/// Table elements in all tables of a store. A plugin has one element per function that is called through a pointer.
pub(crate) const MAX_TABLE_ELEMENTS: usize = 100_000;
/// Core instances in a store: a component of one module has three or four, one of Python some forty.
pub(crate) const MAX_INSTANCES: u32 = 64;
/// Tables in a store.
pub(crate) const MAX_TABLES: u32 = 8;
/// Linear memories in a store: more than one only where several modules are linked.
pub(crate) const MAX_MEMORIES: u32 = 2;
/// Live resource handles in a store.
pub(crate) const MAX_HANDLES: usize = 1024;

/// A limit that a guest ran into. Raised inside the guest, so that the backtrace names the caller.
#[derive(Debug, Error)]
pub(crate) enum Exceeded {
    #[error("memory cap {}, asked for {}", bytes(*limit), bytes(*asked))]
    Memory { limit: u64, asked: u64 },
    #[error("table cap {MAX_TABLE_ELEMENTS} elements, asked for {asked}")]
    Table { asked: usize },
    #[error("deadline {limit:?}, used {used:.2?}")]
    Deadline { limit: Duration, used: Duration },
}

impl Exceeded {
    pub(crate) fn fault(&self, phase: Phase) -> Fault {
        let (kind, code) = match self {
            Exceeded::Memory { .. } => (FaultKind::Memory, "P110"),
            Exceeded::Table { .. } => (FaultKind::Memory, "P111"),
            Exceeded::Deadline { .. } if phase == Phase::Instantiate => (FaultKind::Deadline, "P105"),
            Exceeded::Deadline { .. } => (FaultKind::Deadline, "P104"),
        };
        fault(kind, code, format!("plugin went over its limit: {self}"))
    }
}

/// Checks how many rows a plugin has returned, before anything is made for them.
pub(crate) fn check_rows(rows: u64, limits: &Limits) -> Result<(), Fault> {
    if rows <= limits.rows {
        return Ok(());
    }
    Err(bad_output("P123", format!("plugin returned {rows} rows in one call, limit {}", limits.rows)))
}

/// Checks how many rows each document yields; `row_of` names the document of each row; rows of one document are adjacent.
pub(crate) fn check_rows_of<T: PartialEq>(
    row_of: &[T],
    limits: &Limits,
    name: impl Fn(&T) -> usize,
) -> Result<(), Fault> {
    let most = usize::try_from(limits.document_rows).unwrap_or(usize::MAX);
    match row_of.chunk_by(|one, next| one == next).find(|rows| rows.len() > most) {
        Some(rows) => {
            let document = rows.first().map(name).unwrap_or_default();
            let message = format!("plugin made {} rows of document {document}, limit {most}", rows.len());
            Err(bad_output("P123", message))
        }
        None => Ok(()),
    }
}

/// Counts what a store uses.
#[derive(Debug)]
pub(crate) struct Meter {
    limit: u64,
    memory: u64,
    elements: usize,
}

impl Meter {
    pub(crate) fn new(limits: &Limits) -> Self {
        Meter { limit: limits.memory, memory: 0, elements: 0 }
    }

    /// Most bytes of linear memory so far, summed.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }
}

impl ResourceLimiter for Meter {
    fn memory_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let more = desired.saturating_sub(current);
        let asked = self.memory.saturating_add(u64::try_from(more).unwrap_or(u64::MAX));
        if asked > self.limit {
            return Err(wasmtime::Error::new(Exceeded::Memory { limit: self.limit, asked }));
        }
        self.memory = asked;
        Ok(true)
    }

    fn table_growing(&mut self, current: usize, desired: usize, _maximum: Option<usize>) -> wasmtime::Result<bool> {
        let asked = self.elements.saturating_add(desired.saturating_sub(current));
        if asked > MAX_TABLE_ELEMENTS {
            return Err(wasmtime::Error::new(Exceeded::Table { asked }));
        }
        self.elements = asked;
        Ok(true)
    }

    fn instances(&self) -> usize {
        MAX_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}
