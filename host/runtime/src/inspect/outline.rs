//! One pass over a component's sections: the names of the outermost one, and the counts that bound the work of validating and
//! compiling it.
//!
//! Does not validate and does not judge names.

use wasmparser::{Encoding, Parser, Payload};

/// Functions in all core modules together; a large plugin has some thousands. Compile time grows with it.
const MAX_FUNCTIONS: u64 = 50_000;
/// Bytes of one function's body: the register allocator's time grows faster than the size.
const MAX_FUNCTION_BYTES: usize = 1 << 20;
/// Modules and components inside one another or side by side.
const MAX_PARTS: usize = 64;

/// The content of the sections.
#[derive(Default)]
pub(super) struct Outline {
    pub(super) imports: Vec<String>,
    pub(super) exports: Vec<String>,
    pub(super) functions: u64,
    /// Bytes of initial memory, summed.
    pub(super) memory: u64,
    /// Initial table elements, summed.
    pub(super) table_elements: u64,
    parts: usize,
    depth: usize,
}

/// Why there is no outline.
pub(super) enum Unreadable {
    Invalid(wasmparser::Error),
    /// Too many of the named thing.
    TooCostly(String),
}

impl From<wasmparser::Error> for Unreadable {
    fn from(error: wasmparser::Error) -> Self {
        Unreadable::Invalid(error)
    }
}

impl Outline {
    /// Reads all sections, or stops where a count passes its cap.
    pub(super) fn of(bytes: &[u8]) -> Result<Self, Unreadable> {
        let mut outline = Outline::default();
        for payload in Parser::new(0).parse_all(bytes) {
            outline.take(payload?)?;
            outline.check_caps()?;
        }
        Ok(outline)
    }

    fn take(&mut self, payload: Payload<'_>) -> Result<(), Unreadable> {
        match payload {
            Payload::Version { encoding: Encoding::Module | Encoding::Component, .. } => self.parts += 1,
            Payload::ModuleSection { .. } | Payload::ComponentSection { .. } => self.depth += 1,
            Payload::End(_) => self.depth = self.depth.saturating_sub(1),
            Payload::ComponentImportSection(section) if self.depth == 0 => {
                for import in section {
                    self.imports.push(import?.name.name.to_owned());
                }
            }
            Payload::ComponentExportSection(section) if self.depth == 0 => {
                for export in section {
                    self.exports.push(export?.name.name.to_owned());
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    // In pages of 64 KiB: other sizes are switched off.
                    self.memory = self.memory.saturating_add(memory?.initial.saturating_mul(1 << 16));
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.table_elements = self.table_elements.saturating_add(table?.ty.initial);
                }
            }
            Payload::CodeSectionStart { count, .. } => self.functions += u64::from(count),
            Payload::CodeSectionEntry(body) if body.range().len() > MAX_FUNCTION_BYTES => {
                let size = body.range().len();
                return Err(Unreadable::TooCostly(format!("a function of {size} bytes, cap {MAX_FUNCTION_BYTES}")));
            }
            _ => {}
        }
        Ok(())
    }

    fn check_caps(&self) -> Result<(), Unreadable> {
        if self.functions > MAX_FUNCTIONS {
            let functions = self.functions;
            return Err(Unreadable::TooCostly(format!("{functions} functions or more, cap {MAX_FUNCTIONS}")));
        }
        if self.parts > MAX_PARTS {
            return Err(Unreadable::TooCostly(format!("{} modules or more, cap {MAX_PARTS}", self.parts)));
        }
        Ok(())
    }
}
