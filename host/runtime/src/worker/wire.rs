//! The messages between host and worker.
//!
//! Input goes to a worker in Arrow's stream format. Output comes back as the contract's columns, checked by the code that checks a
//! plugin's own: a reader of Arrow's format believes lengths, and a worker may have been taken over.

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use arrow::error::ArrowError;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use pipeline::plan::Limits;
use seams::foreign::{inert_lines, words};
use seams::http::HttpAnswer;
use seams::plugin::{Cleaned, Descriptor, Fault, FaultKind, Field, InputField, LoadError, Note, Reject, Step};
use serde::{Deserialize, Serialize};

use crate::bindings::wit;
use crate::columns::{batch_of, record_batch};
use crate::descriptor;
use crate::fault::bad_output;
use crate::limits::{check_rows, check_rows_of};
use crate::log::Told;
use crate::world::World;

/// The first frame: the plugin that this worker is for.
#[derive(Serialize, Deserialize)]
pub(super) struct Load {
    pub(super) world: World,
    pub(super) component: Vec<u8>,
    pub(super) config: String,
    pub(super) limits: Limits,
}

/// The answer to it.
#[derive(Serialize, Deserialize)]
pub(super) enum Ready {
    Loaded(Descriptor),
    Refused { code: String, message: String, hint: Option<String> },
}

/// An answer that an enricher gets.
#[derive(Serialize, Deserialize)]
pub(super) struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl From<&HttpAnswer> for Answer {
    fn from(answer: &HttpAnswer) -> Self {
        Answer { status: answer.status, headers: answer.headers.clone(), body: answer.body.to_vec() }
    }
}

impl From<Answer> for HttpAnswer {
    fn from(answer: Answer) -> Self {
        HttpAnswer { status: answer.status, headers: answer.headers, body: answer.body.into() }
    }
}

#[derive(Serialize, Deserialize)]
pub(super) enum Request {
    Enrich { entry: String, answers: Vec<Answer> },
    Clean { documents: Vec<Vec<u8>> },
    Fold { rows: Vec<Vec<u8>> },
    Merge { partials: Vec<Vec<u8>> },
    Finish { partials: Vec<Vec<u8>> },
}

#[derive(Serialize, Deserialize)]
pub(super) struct Reply {
    pub(super) outcome: Result<Output, Broke>,
    pub(super) told: Vec<Told>,
}

#[derive(Serialize, Deserialize)]
pub(super) enum Output {
    Step(Step),
    Cleaned { rows: wit::Batch, row_of: Vec<usize>, rejects: Vec<Reject>, skips: Vec<Note> },
    Partial(Vec<u8>),
    Table(wit::Batch),
}

/// A fault whose code came over a wire.
#[derive(Serialize, Deserialize)]
pub(super) struct Broke {
    kind: FaultKind,
    code: String,
    message: String,
    backtrace: Option<String>,
    log: Vec<String>,
}

impl From<Fault> for Broke {
    fn from(fault: Fault) -> Self {
        let Fault { kind, code, message, backtrace, log } = fault;
        Broke { kind, code: code.to_owned(), message, backtrace, log }
    }
}

impl From<Broke> for Fault {
    fn from(broke: Broke) -> Self {
        let Broke { kind, code, message, backtrace, log } = broke;
        let backtrace = backtrace.map(|trace| inert_lines(cut(&trace)).into_owned());
        let log = log.iter().take(MOST_LINES).map(|line| words(line)).collect();
        Fault { kind, code: known(&code), message: inert_lines(cut(&message)).into_owned(), backtrace, log }
    }
}

impl Ready {
    pub(super) fn refused(error: LoadError) -> Self {
        Ready::Refused { code: error.code.to_owned(), message: error.message, hint: error.hint }
    }

    pub(super) fn loaded(self, world: World) -> Result<Descriptor, LoadError> {
        match self {
            Ready::Loaded(descriptor) => descriptor::judge(descriptor, world),
            Ready::Refused { code, message, hint } => {
                let (message, hint) = (inert_lines(cut(&message)).into_owned(), hint.as_deref().map(words));
                Err(LoadError { code: known(&code), message, hint })
            }
        }
    }
}

/// Most bytes of a message or a call stack, and most lines of a log.
const MOST_TEXT: usize = 128 << 10;
const MOST_LINES: usize = 20;

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MOST_TEXT)).unwrap_or_default()
}

/// Every code that a runtime returns.
const CODES: [&str; 32] = [
    "P010", "P011", "P012", "P013", "P014", "P015", "P020", "P021", "P022", "P023", "P030", "P101", "P102", "P104",
    "P105", "P110", "P111", "P112", "P113", "P120", "P121", "P122", "P123", "P130", "P131", "P140", "P150", "P151",
    "P171", "P172", "P180", "P900",
];

/// The code of that name; P900 for one that no runtime returns.
fn known(code: &str) -> &'static str {
    CODES.into_iter().find(|known| *known == code).unwrap_or("P900")
}

/// One batch in Arrow's stream format.
pub(super) fn write_batch(batch: &RecordBatch) -> Result<Vec<u8>, ArrowError> {
    let mut writer = StreamWriter::try_new(Vec::new(), &batch.schema())?;
    writer.write(batch)?;
    writer.finish()?;
    writer.into_inner()
}

/// The one batch of a stream.
pub(super) fn read_batch(bytes: &[u8]) -> Result<RecordBatch, ArrowError> {
    let mut reader = StreamReader::try_new(bytes, None)?;
    match reader.next() {
        Some(batch) => batch,
        None => Err(ArrowError::IpcError("there is no batch".to_owned())),
    }
}

/// A table as columns of the contract.
pub(super) fn columns(table: &RecordBatch, fields: &[Field]) -> Result<wit::Batch, Fault> {
    let read = |field: &Field| InputField {
        name: field.name.clone(),
        pointer: String::new(),
        ty: field.ty,
        nullable: field.nullable,
    };
    batch_of(table, &fields.iter().map(read).collect::<Vec<_>>())
}

/// The result of `documents` documents: each of them in the rows, the rejects or the skips, and nothing else.
pub(super) fn cleaned(
    output: Output,
    documents: usize,
    (fields, schema): (&[Field], &SchemaRef),
    limits: &Limits,
) -> Result<Cleaned, Fault> {
    let Output::Cleaned { rows, row_of, rejects, skips } = output else { return Err(unlike("another kind of answer")) };
    let rows = record_batch(rows, fields, schema)?;
    check_rows(rows.num_rows() as u64, limits)?;
    check_rows_of(&row_of, limits, |index| *index)?;
    let mut seen = vec![false; documents];
    let notes = rejects.iter().map(|reject| reject.index).chain(skips.iter().map(|skip| skip.index));
    // The first of one document's rows, which are adjacent.
    let of_rows = row_of.chunk_by(|one, next| one == next).filter_map(|rows| rows.first().copied());
    for index in of_rows.chain(notes) {
        let seen = seen.get_mut(index).ok_or_else(|| unlike("a document that it was not given"))?;
        if std::mem::replace(seen, true) {
            return Err(unlike("a document in two places"));
        }
    }
    if row_of.len() != rows.num_rows() || !row_of.is_sorted() || seen.contains(&false) {
        return Err(unlike("rows that do not belong to the documents"));
    }
    let rejects = rejects.into_iter().map(|one| Reject { reason: words(&one.reason), ..one }).collect();
    let skips = skips.into_iter().map(|one| Note { reason: words(&one.reason), ..one }).collect();
    Ok(Cleaned { rows, row_of, rejects, skips })
}

/// A worker that breaks the protocol.
pub(super) fn unlike(what: &str) -> Fault {
    bad_output("P180", format!("worker process answered with {what}"))
}
