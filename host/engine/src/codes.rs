//! The stable codes of what can go wrong, one by one: what it means, what becomes of the record or the plugin, what to do.
//!
//! Does not hold the words of the messages, which name place, limit and actual value where it happens; codes of pipeline files stand in
//! `pipeline::code`. A code never changes its meaning.

use pipeline::code::CODES as OF_FILES;

/// What follows from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Class {
    /// The pipeline file is not valid; nothing runs.
    File,
    /// The component is refused at load; the version that serves, if any, serves on.
    Load,
    /// The record is quarantined, its neighbours are committed.
    Record,
    /// Written to the log; nothing else follows.
    Told,
    /// The call is tried again; then the record is quarantined.
    Retried,
    /// The place cannot be used; nothing runs, and nothing was written.
    Place,
}

impl Class {
    /// What follows, for people.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Class::File => "the pipeline file is not valid, nothing runs",
            Class::Load => "the component is refused, the version that serves goes on serving",
            Class::Record => "the record is quarantined, its neighbours are committed",
            Class::Told => "it is told in the log, nothing else follows",
            Class::Place => "the pipeline does not begin, and nothing was changed",
            Class::Retried => {
                "the work is tried again, then its record is quarantined and the report says that it is a bug of the host"
            }
        }
    }
}

/// A code.
#[derive(Clone, Copy, Debug, serde::Serialize)]
pub struct Code {
    /// A letter and three digits.
    pub code: &'static str,
    /// What follows.
    pub class: Class,
    /// What has happened.
    pub meaning: &'static str,
    /// What to do.
    pub remedy: &'static str,
}

/// Looks a code up, in any case of letters.
#[must_use]
pub fn find(code: &str) -> Option<Code> {
    all().find(|one| one.code.eq_ignore_ascii_case(code))
}

/// Every code: those of files first, then in ascending order.
pub fn all() -> impl Iterator<Item = Code> {
    let of_files = OF_FILES.iter().map(|(code, meaning)| Code {
        code,
        class: Class::File,
        meaning: meaning.trim(),
        remedy: "correct the place that the message points to; `sluicebox check` shows every problem of the file at once",
    });
    of_files.chain(CODES.iter().copied())
}

macro_rules! codes {
    ($($code:literal $class:ident $meaning:literal; $remedy:literal)+) => {
        /// The codes of plugins, records and stores.
        const CODES: &[Code] = &[$(Code { code: $code, class: Class::$class, meaning: $meaning, remedy: $remedy }),+];
    };
}

codes! {
    "P010" Load "the file is a core WebAssembly module and no component";
        "build it with `sluicebox plugin build`, which wraps the module"
    "P011" Load "the file is no valid component: empty, truncated, damaged, another kind of file, or of a feature that plugins must not use";
        "compare its sha256 with the publisher's, and build it again"
    "P012" Load "the component declares more memory or table elements than it may have, or the limits leave it none";
        "raise `memory` or `stack` under `[limits]`, or build the plugin smaller"
    "P013" Load "the component is larger than components may be";
        "build it with `--profile plugin` or strip it; `component` under `[limits]` is the cap"
    "P014" Load "compiling the component costs too much: functions, sizes, time or memory over the cap";
        "leave out what the plugin does not use; `compile_time` and `compile_memory` under `[limits]` are the caps"
    "P015" Load "the file is machine code, such as a `.cwasm`: it could do anything, and is never loaded";
        "publish the `.wasm` that it was compiled from"
    "P016" Load "the component has another digest than `sha256` pins, or the lake has decided that another one serves, or in another configuration";
        "publish the pinned component, or pin the one that you trust; a decision that is not yours: who writes to the lake?"
    "P017" Load "the component has no signature by a trusted key, in its place or in the lake, or the lake has decided on another configuration than the file's";
        "sign it with `sluicebox plugin sign FILE --key KEY.pem`, or trust its key under `[signatures]`; a decision that is not yours: who writes to the lake?"
    "P020" Load "the component asks for more than its world grants: a plugin may log and nothing else";
        "let the host do what needs the outside world; Python components: `componentize-py --stub-wasi`"
    "P021" Load "the component was built for another version of the plugin contract";
        "build it with the SDK of this host's version, or use the host of the plugin's"
    "P022" Load "the component exports no world of the contract, or another one than the stage needs";
        "is it named in the wrong section of `pipeline.toml`? else build it with the SDK's macro"
    "P023" Load "the plugin describes itself wrongly: too large, or with names, versions, types or pointers that cannot be";
        "correct what the message names in the plugin's source"
    "P030" Load "the plugin refuses its configuration, in its own words";
        "correct the plugin's `config` table; `sluicebox plugin inspect` prints its schema"
    "P040" Load "a layer needs a column that the one before does not make, or makes of another type";
        "change one of the two plugins so that they fit"
    "P041" Load "the plugin's columns do not fit the table that is there";
        "make new columns nullable; anything else takes `sluicebox replay --rebuild`"
    "P101" Record "the plugin trapped: `unreachable`, a panic, an access out of bounds, a division by zero";
        "see its call stack with `sluicebox quarantine show ID`, mend it, then `sluicebox quarantine replay ID`"
    "P102" Record "the plugin used up its fuel";
        "raise `fuel` under `[limits]`, or find out what it does so much of"
    "P104" Record "the plugin ran past its deadline";
        "look for an endless loop; a plugin that needs longer takes a larger `deadline` under `[limits]`"
    "P105" Record "the plugin ran past its deadline while it was instantiated: in a start function or a static";
        "do not compute in statics"
    "P110" Record "the plugin asked for more memory than it may have, summed over all its memories";
        "process less at once, or raise `memory` under `[limits]`"
    "P111" Record "the plugin asked for more table elements than it may have";
        "do not grow tables"
    "P112" Record "the plugin's call stack is exhausted";
        "bound the recursion, or raise `stack` under `[limits]`"
    "P113" Record "the plugin was entered while it was being called";
        "do not call exports from within imports"
    "P120" Record "the plugin handed over more bytes in one call than it may, or too large a document";
        "return less, or raise `output` or `document` under `[limits]`"
    "P121" Record "the plugin passed a pointer, length or tag that cannot be";
        "a bug of the plugin or its toolchain: build it again with current tools"
    "P122" Record "the plugin passed text that is no UTF-8";
        "mend what makes the text"
    "P123" Record "the plugin returned more rows in one call, or of one document, than it may";
        "return fewer, or raise `rows` or `document_rows` under `[limits]`"
    "P130" Record "the plugin lost records: not every document is among rows, rejects and skips";
        "return each index at least once"
    "P131" Record "the plugin named a record twice, out of order, or one that is not there";
        "return each index in one place, rows in the order of the documents"
    "P140" Load "the plugin is no pure function: the same input gave two outputs";
        "do not use addresses, uninitialised memory or counters that outlive a call"
    "P141" Load "the aggregator's `merge` is not associative or not commutative: merged in groups or in another order, another table comes out";
        "let `merge` add whole numbers, not floating-point ones, and let `finish` sort: neither grouping nor order may matter"
    "P145" Load "the plugin fails on clearly more of the latest real inputs than the one that serves";
        "look at the summary in the log; if that is wanted, raise `suspend_above`, or set `[swap] rehearse = 0`"
    "P150" Record "the plugin holds more resource handles than it may";
        "drop what is used no more"
    "P151" Record "the plugin misused a resource handle";
        "do not keep borrowed handles"
    "P160" Record "the plugin asks for an endpoint that it may not, or for a path that leaves it";
        "name an endpoint of `pipeline.toml`, and a path below its URL"
    "P161" Record "the endpoint answers with a redirect, which is not followed";
        "let the endpoint's `url` be the final one, then `sluicebox quarantine replay --fetch`"
    "P162" Record "the plugin sets a header that is the host's, or one that HTTP does not allow";
        "set no others than `accept`, `accept-language`, `if-modified-since` and `if-none-match`; all else is for the endpoint's `headers`"
    "P163" Record "the plugin asks for too many requests, or for too long a one";
        "ask for less a record"
    "P164" Record "the plugin sets a query parameter that is the endpoint's own";
        "leave it to the endpoint's `query`"
    "P165" Record "the service's answer is larger than answers may be";
        "raise `max_body` of the endpoint"
    "P171" Record "what the plugin returned is not what its descriptor says";
        "mend the column that the message names"
    "P172" Record "the aggregator cannot merge what it saved itself";
        "let `merge` read what `save` writes"
    "P180" Record "the worker process that ran the plugin ended";
        "see the signal in the message: out of memory, or a bug of the host; the record is in quarantine"
    "P181" Load "the plugin is to run in worker processes, and this host has none";
        "set `isolation = \"in-process\"` under `[limits]`, or use the `sluicebox` program"
    "P204" Told "a call took more than half of its deadline";
        "look at the cost a record before it becomes P104"
    "P210" Told "the plugin logged more than it may: the rest was counted and dropped";
        "log less, or raise `log` under `[limits]`"
    "P900" Retried "the host failed, not the plugin: a bug of ours";
        "report it with the message; the work is in quarantine after `max_receives` tries"
    "R001" Record "the plugin refused the record, in its own words";
        "correct the source or the plugin, then `sluicebox quarantine replay ID`"
    "R002" Record "a field that the plugin requires is missing from the document, or of another type";
        "let the enrich plugin or the service give it, or read it as optional"
    "R003" Record "the record has no key, or one that stands before it in the same tick";
        "add a column to `[source] key`, or correct the source"
    "R004" Record "the record was tried as often as is allowed";
        "when its cause is over: `sluicebox quarantine replay ID --fetch`"
    "R005" Record "the queue held something that is no message of this pipeline";
        "find out who writes to the queue"
    "R006" Record "the line of the source is no record: it does not parse, is too deep, or has a reserved column";
        "mend the line in the source; the next tick reads it, or `sluicebox run --once --tick now`"
    "S001" Place "the store of a layer writes although a condition (`If-None-Match`, `If-Match`) does not hold: hosts would overwrite each other's rows";
        "name a place in S3, in a store that heeds conditional writes, or a folder of one machine; an older release of the store may be to blame"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_ascend_and_are_found_in_any_case() {
        let codes: Vec<&str> = all().map(|one| one.code).collect();
        assert!(codes.windows(2).all(|pair| pair[0] < pair[1]), "{codes:?}");
        assert_eq!(find("p104").map(|found| found.class), Some(Class::Record));
        assert!(find("P99").is_none() && find("C001").is_some());
    }
}
