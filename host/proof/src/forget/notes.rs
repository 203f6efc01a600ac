//! Notes for people that may quote a record in a plugin's words: suspensions and the fate of published plugins.
//!
//! Does not read receipts and refusals: those name their record.

use futures::TryStreamExt;
use lake::receipts::FORGOTTEN;
use lake::{Lake, LakeError};
use records::keys::Key;
use seams::store::{Path, Store, read_if_there, replace};
use serde_json::Value;

use super::mentions;

/// Removes every mention of the record from all notes; returns how many notes held one.
pub(super) async fn forget(lake: &Lake, key: &Key) -> Result<usize, LakeError> {
    let mut changed = 0;
    for (layer, folder) in [
        (&lake.bronze, "_suspended"),
        (&lake.silver, "_suspended"),
        (&lake.gold, "_suspended"),
        (&lake.bronze, "_swaps"),
    ] {
        changed += in_folder(layer, folder, key).await?;
    }
    Ok(changed)
}

async fn in_folder(layer: &Store, folder: &str, key: &Key) -> Result<usize, LakeError> {
    let listed: Vec<_> = layer.list(Some(&Path::from(folder))).try_collect().await?;
    let mut changed = 0;
    for path in listed.into_iter().map(|object| object.location) {
        let Some(body) = read_if_there(&**layer, &path).await? else { continue };
        let mut note: Value = serde_json::from_slice(&body).map_err(|error| LakeError::corrupt(&path, error))?;
        if silence(&mut note, key) {
            let body = serde_json::to_vec_pretty(&note).map_err(|error| LakeError::corrupt(&path, error))?;
            replace(&**layer, &path, body.into()).await?;
            changed += 1;
        }
    }
    Ok(changed)
}

/// Replaces each text for people that mentions the record with a word that says nothing; returns whether there was one.
fn silence(note: &mut Value, key: &Key) -> bool {
    match note {
        Value::Object(members) => {
            let told = ["reason", "summary", "how"];
            let mut changed = false;
            for (name, value) in members.iter_mut() {
                match value {
                    Value::String(text) if told.contains(&name.as_str()) && mentions::text_of(text, key) => {
                        FORGOTTEN.clone_into(text);
                        changed = true;
                    }
                    other => changed |= silence(other, key),
                }
            }
            changed
        }
        // Each is looked at, also behind one that was changed.
        Value::Array(items) => items.iter_mut().fold(false, |changed, item| silence(item, key) | changed),
        _ => false,
    }
}
