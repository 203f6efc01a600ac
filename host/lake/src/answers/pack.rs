//! A pack: some answers in one object. `_answers/DAY/TICK/GROUP/BATCHES-DIGEST.jsonl`; what follows the day is the pack's name.
//!
//! BATCHES are the numbers of the messages that asked for the answers, joined by dots. GROUP is the number that 256 neighbouring messages
//! share: so a message that comes again finds what was kept for it with one listing. The first line has the answers' ids, each other line
//! an answer.

use std::sync::Arc;

use bytes::Bytes;
use records::keys::{Tick, fingerprint};
use seams::store::Path;
use serde::{Deserialize, Serialize};

use super::kept::{AnswerId, FOLDER, Kept, Said};
use crate::LakeError;

/// The name of the format in the first line.
const FORM: &str = "sluicebox answers 1";
/// Messages of one group.
const OF_A_GROUP: u32 = 256;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Head {
    form: String,
    ids: Vec<AnswerId>,
}

/// The folder of a day's packs.
pub(super) fn day_of(tick: Tick) -> Path {
    Path::from_iter([FOLDER, &tick.day().format("%Y%m%d").to_string()])
}

/// The folder of the packs that messages of the tick have asked for.
pub(super) fn folder_of(tick: Tick) -> Path {
    day_of(tick).join(tick.to_string())
}

/// The folder of the packs of a message and its neighbours.
pub(super) fn group_of(tick: Tick, batch: u32) -> Path {
    folder_of(tick).join((batch / OF_A_GROUP).to_string())
}

/// Whether two messages of a tick are in one group.
pub(super) fn are_neighbours(a: u32, b: u32) -> bool {
    a / OF_A_GROUP == b / OF_A_GROUP
}

/// The object of a pack of that name.
pub(super) fn path_of(name: &str) -> Path {
    let tick = name.split('/').next().and_then(Tick::parse);
    let folder = tick.map_or_else(|| Path::from(FOLDER), day_of);
    Path::from(format!("{folder}/{name}.jsonl"))
}

/// The name of the pack in an object, if it is one.
pub(super) fn name_of(path: &Path) -> Option<Arc<str>> {
    let name = path.as_ref().strip_suffix(".jsonl")?.splitn(3, '/').nth(2)?;
    (path_of(name) == *path && name.split('/').count() == 3).then(|| name.into())
}

/// Whether answers of that message are in the pack.
pub(super) fn is_of(name: &str, batch: u32) -> bool {
    let batches = name.rsplit('/').next().and_then(|last| last.split_once('-')).map_or("", |(batches, _)| batches);
    batches.split('.').any(|one| one.parse() == Ok(batch))
}

/// A pack's name and bytes, for answers that messages `batches` of one group have asked for.
pub(super) fn write(tick: Tick, batches: &[u32], answers: &[(&AnswerId, Kept)]) -> (Arc<str>, Bytes) {
    let ids = answers.iter().map(|(id, _)| (*id).clone()).collect();
    let mut body = line(&Head { form: FORM.to_owned(), ids });
    answers.iter().for_each(|(_, kept)| body.extend(line(kept)));
    let group = batches.first().map_or(0, |batch| batch / OF_A_GROUP);
    let batches: Vec<String> = batches.iter().map(u32::to_string).collect();
    let name = format!("{tick}/{group}/{}-{}", batches.join("."), fingerprint(&[&body]));
    (name.into(), body.into())
}

fn line(value: &impl Serialize) -> Vec<u8> {
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(b'\n');
    line
}

/// The ids in a pack, from its first bytes; none if the first line is not complete in them.
pub(super) fn ids(path: &Path, start: &[u8]) -> Result<Option<Vec<AnswerId>>, LakeError> {
    let Some(end) = memchr::memchr(b'\n', start) else { return Ok(None) };
    let head = start.get(..end).unwrap_or_default();
    let head: Head = serde_json::from_slice(head).map_err(|error| LakeError::corrupt(format!("{path}:1"), error))?;
    if head.form == FORM {
        return Ok(Some(head.ids));
    }
    Err(LakeError::corrupt(format!("{path}:1"), format!("expected `{FORM}`, got `{}`", head.form)))
}

/// The lines of a pack after the first one, each with its id.
fn lines<'a>(path: &Path, bytes: &'a Bytes) -> Result<Vec<(AnswerId, &'a [u8])>, LakeError> {
    let ids = ids(path, bytes)?.ok_or_else(|| LakeError::corrupt(path, "it has no first line"))?;
    let lines: Vec<&[u8]> = bytes.split(|byte| *byte == b'\n').skip(1).filter(|line| !line.is_empty()).collect();
    if lines.len() != ids.len() {
        let reason = format!("its first line tells of {} answers, it has {}", ids.len(), lines.len());
        return Err(LakeError::corrupt(path, reason));
    }
    Ok(ids.into_iter().zip(lines).collect())
}

/// An answer of a pack, or why it cannot be read.
pub(super) type Read = (AnswerId, Result<Said, LakeError>);

/// What a pack holds. An answer that cannot be read is an error of its own.
pub(super) fn read(path: &Path, bytes: &Bytes) -> Result<Vec<Read>, LakeError> {
    let lines = lines(path, bytes)?.into_iter().zip(2..);
    Ok(lines.map(|((id, text), number)| (id, Kept::parse(&format!("{path}:{number}"), text))).collect())
}

/// A pack without some of its answers, none if no answer is left; and how many were removed.
pub(super) fn without(
    path: &Path,
    bytes: &Bytes,
    stays: impl Fn(&AnswerId) -> bool,
) -> Result<(Option<Bytes>, usize), LakeError> {
    let all = lines(path, bytes)?;
    let before = all.len();
    let left: Vec<(AnswerId, &[u8])> = all.into_iter().filter(|(id, _)| stays(id)).collect();
    let gone = before - left.len();
    if left.is_empty() {
        return Ok((None, gone));
    }
    let mut body = line(&Head { form: FORM.to_owned(), ids: left.iter().map(|(id, _)| id.clone()).collect() });
    for (_, text) in left {
        body.extend_from_slice(text);
        body.push(b'\n');
    }
    Ok((Some(body.into()), gone))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seams::http::HttpAnswer;
    use seams::plugin::EndpointRequest;

    fn tick() -> Tick {
        Tick::parse("20261124T030000Z").unwrap()
    }

    fn answers() -> Vec<(AnswerId, Kept)> {
        let one = |path: &str, body: &'static [u8]| {
            let (query, headers) = (Vec::new(), Vec::new());
            let request = EndpointRequest { endpoint: "api".into(), path: path.into(), query, headers };
            let answer = HttpAnswer { status: 200, headers: Vec::new(), body: Bytes::from_static(body) };
            (AnswerId::of(&request, tick().day()), Kept::of(&request, &answer))
        };
        vec![one("a", b"line\nbreak"), one("b", b"\xff\x00"), one("c", b"")]
    }

    #[test]
    fn a_pack_reads_back_and_its_name_says_for_whom_it_was_asked() {
        let all = answers();
        let refs: Vec<_> = all.iter().map(|(id, kept)| (id, kept.clone())).collect();
        let (name, bytes) = write(tick(), &[300, 301], &refs);
        assert!(name.starts_with("20261124T030000Z/1/300.301-"), "{name}");
        let path = path_of(&name);
        assert!(path.as_ref().starts_with("_answers/20261124/20261124T030000Z/1/"), "{path}");
        assert_eq!(name_of(&path), Some(name.clone()));
        assert!(is_of(&name, 300) && is_of(&name, 301) && !is_of(&name, 30) && are_neighbours(300, 301));
        assert!(path.prefix_matches(&group_of(tick(), 300)));
        let read: Vec<_> =
            read(&path, &bytes).unwrap().into_iter().map(|(id, said)| (id, said.unwrap().1.body)).collect();
        assert_eq!(read[0].1, "line\nbreak");
        assert_eq!((read[1].1.as_ref(), read[2].1.as_ref()), (&b"\xff\x00"[..], &b""[..]));
        assert_eq!(ids(&path, &bytes).unwrap().unwrap(), all.iter().map(|(id, _)| id.clone()).collect::<Vec<_>>());
    }

    #[test]
    fn an_answer_is_taken_out_and_the_others_stay_to_the_byte() {
        let all = answers();
        let refs: Vec<_> = all.iter().map(|(id, kept)| (id, kept.clone())).collect();
        let (name, bytes) = write(tick(), &[0], &refs);
        let path = path_of(&name);
        let (left, gone) = without(&path, &bytes, |id| *id != all[1].0).unwrap();
        assert_eq!(gone, 1);
        let left = read(&path, &left.unwrap()).unwrap();
        assert_eq!(left.iter().map(|(id, _)| id).collect::<Vec<_>>(), [&all[0].0, &all[2].0]);
        assert_eq!(without(&path, &bytes, |_| false).unwrap(), (None, 3));
    }

    #[test]
    fn what_is_no_pack_says_so_with_its_place() {
        let path = Path::from("_answers/20261124/20261124T030000Z/0/1-ab.jsonl");
        for (text, told) in
            [("", "first line"), ("{}\n", "form"), ("{\"form\":\"x\",\"ids\":[]}\n", "expected `sluicebox")]
        {
            let error = read(&path, &Bytes::from(text)).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("1-ab.jsonl"), "{error}");
        }
        let short = Bytes::from("{\"form\":\"sluicebox answers 1\",\"ids\":[\"0123456789abcdef\"]}\n");
        assert!(read(&path, &short).unwrap_err().to_string().contains("tells of 1 answers, it has 0"));
        for other in ["_answers/0123456789abcdef.json", "_answers/20261124/20261124T030000Z/earlier.txt", "x.jsonl"] {
            assert_eq!(name_of(&Path::from(other)), None, "{other}");
        }
    }
}
