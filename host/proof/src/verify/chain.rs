//! V6 of Bronze: what is in each object is what the chain says, and the chain is whole.
//!
//! Does not read Bronze again: the census has taken the digests.

use std::collections::BTreeMap;

use lake::bronze;
use lake::chain::{Found, Head, Why};
use lake::failure::Failure;
use lake::silver::CHAIN_HEAD;
use seams::store::{ObjectStoreExt, Path, StoreError};

use super::{Checker, Invariant};

/// What the chain says of an object, and by which entry.
struct Listed {
    digest: Option<String>,
    number: u64,
}

impl Checker<'_> {
    /// V6 of Bronze.
    pub(super) async fn chain(&mut self) -> Result<(), Failure> {
        let silver = &self.service.clean.silver;
        let found = silver.chain().all().await?;
        self.report.checked(Invariant::V6, found.len());
        let listed = self.links(&found);
        let head = found.last().map(|last| Head { number: last.number, digest: last.digest.clone() });
        self.anchors(&found, head.as_ref()).await?;
        self.report.chain = head.map(|head| head.to_string());
        self.listed_objects(&listed).await
    }

    /// Whether each entry follows the one before, and the state that they add up to.
    fn links(&mut self, found: &[Found]) -> BTreeMap<String, Listed> {
        let (mut listed, mut rewritten) = (BTreeMap::<String, Listed>::new(), BTreeMap::<&str, usize>::new());
        let (mut last, mut before) = (0, String::new());
        for Found { number, digest, entry } in found {
            let at = format!("chain entry {number}");
            if *number != last + 1 {
                self.report.find(Invariant::V6, &at, format!("the entries between {last} and {number} are not there"));
            }
            match entry {
                Err(error) => self.report.find(Invariant::V6, &at, format!("it cannot be read: {error}")),
                Ok(entry) => {
                    if *number == last + 1 && entry.before != before {
                        let message =
                            format!("it follows `{}`, the entry before it is `{before}`: one was edited", entry.before);
                        self.report.find(Invariant::V6, &at, message);
                    }
                    for (object, now) in &entry.objects {
                        let known = listed.get(object).and_then(|known| Some((known.number, known.digest.as_ref()?)));
                        let edited =
                            known.filter(|(_, known)| entry.why == Why::Cleaned && Some(*known) != now.as_ref());
                        if let Some((first, _)) = edited {
                            let message = format!(
                                "entry {first} of the chain has another digest of it than entry {number}, and nobody has said that it was \
                                 rewritten: it was edited, and its receipt taken away"
                            );
                            self.report.find(Invariant::V6, object, message);
                            continue;
                        }
                        listed.insert(object.clone(), Listed { digest: now.clone(), number: *number });
                        match entry.why {
                            Why::Cleaned => {}
                            Why::Forgotten => *rewritten.entry("forget").or_default() += 1,
                            Why::Repaired => *rewritten.entry("repair").or_default() += 1,
                            Why::TakenBack => *rewritten.entry("reset --run").or_default() += 1,
                        }
                    }
                }
            }
            (last, before) = (*number, digest.clone());
        }
        self.report.notes.extend(rewritten.iter().map(|(command, count)| {
            format!("`sluicebox {command}` has rewritten or taken away {count} objects of bronze, as the chain says")
        }));
        listed
    }

    /// Whether the entries that Silver's commits name are there and as they were.
    async fn anchors(&mut self, found: &[Found], head: Option<&Head>) -> Result<(), Failure> {
        let silver = &self.service.clean.silver;
        let there: BTreeMap<u64, &str> = found.iter().map(|one| (one.number, one.digest.as_str())).collect();
        for commit in silver.history().await? {
            let named = commit.parameters.get(CHAIN_HEAD).and_then(|text| Head::parse(text.as_str()?));
            let Some(named) = named else { continue };
            self.report.checked(Invariant::V6, 1);
            if there.get(&named.number) != Some(&named.digest.as_str()) {
                let message = format!(
                    "version {} of silver names it with digest `{}`, it is gone or another one",
                    commit.version, named.digest
                );
                self.report.find(Invariant::V6, format!("chain entry {}", named.number), message);
            }
        }
        // Also where the commit itself is older than the log.
        let last = head.map_or(0, |head| head.number);
        if let Some(hint) = silver.chain_hint().await?.filter(|hint| *hint > last) {
            let message = format!("silver names it, the last one that is there is {last}");
            self.report.find(Invariant::V6, format!("chain entry {hint}"), message);
        }
        Ok(())
    }

    /// Whether the objects are what the chain says.
    async fn listed_objects(&mut self, listed: &BTreeMap<String, Listed>) -> Result<(), Failure> {
        let mut unknown = 0;
        let mut found = Vec::new();
        for (object, now) in &self.evidence.digests {
            let receipt = self.evidence.receipts.get(object);
            let noted = receipt.and_then(|receipt| receipt.sha256.as_ref());
            match listed.get(object).and_then(|one| one.digest.as_ref()) {
                Some(then) if then != now => found.push((
                    object.clone(),
                    format!("its content has digest {now}, when it was cleaned it had {then}: it was edited since, or `sluicebox forget` was interrupted"),
                )),
                Some(then) if noted.is_some_and(|noted| noted != then) => {
                    found.push((format!("receipt of {object}"), "it has another digest of the object than the chain".to_owned()));
                }
                Some(_) => {}
                None if noted.is_some() => {
                    found.push((format!("receipt of {object}"), "it has a digest of the object, and the chain has none".to_owned()));
                }
                None => unknown += usize::from(receipt.is_some()),
            }
        }
        for (object, one) in listed {
            let path = Path::from(object.as_str());
            if one.digest.is_none() || self.evidence.digests.contains_key(object) || !bronze::is_object(&path) {
                continue;
            }
            match self.service.enrich.lake.bronze.head(&path).await {
                // It cannot be read, or is new: either is reported elsewhere.
                Ok(_) => {}
                Err(StoreError::NotFound { .. }) => {
                    found.push((
                        object.clone(),
                        format!("entry {} of the chain lists it, and it is not there", one.number),
                    ));
                }
                Err(error) => return Err(error.into()),
            }
        }
        self.report.checked(Invariant::V6, self.evidence.digests.len());
        for (at, message) in found {
            self.report.find(Invariant::V6, at, message);
        }
        if unknown > 0 {
            self.report.notes.push(format!(
                "{unknown} objects of bronze were cleaned before digests were kept: whether they were edited since cannot be told"
            ));
        }
        Ok(())
    }
}
