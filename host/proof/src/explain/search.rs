//! Finding a record: the line that a row names, every line of a key, and similar keys.
//!
//! Reads many objects only if nothing says where to look. Then it reads several at once, and holds what it has found.

use std::collections::BTreeSet;

use arrow::array::AsArray;
use engine::census::Place;
use engine::drivers::service::Service;
use engine::progress::Steps;
use futures::{StreamExt, TryStreamExt};
use lake::failure::Failure;
use lake::silver::{KEY, Silver, Snapshot};
use lake::{Lake, LakeError, TableError, bronze};
use pipeline::problem::Nearest;
use records::keys::Key;
use seams::store::{Path, read, read_if_there};

/// Objects of Bronze that are read at once: each is small, and most of the time is waiting.
const AT_ONCE: usize = 64;
/// Buckets that are read at once.
const BUCKETS_AT_ONCE: usize = 8;

/// The line of a place, if it is there and has that key.
pub(super) async fn line_named(
    lake: &Lake,
    key: &Key,
    (object, line): (Path, usize),
) -> Result<Option<Place>, Failure> {
    let Some(bytes) = read_if_there(&*lake.bronze, &object).await.map_err(LakeError::from)? else { return Ok(None) };
    // A damaged one is reported where its row is made again.
    let Ok(lines) = bronze::lines(&object, &bytes) else { return Ok(None) };
    let found = lines.into_iter().nth(line.saturating_sub(1)).filter(|found| found.meta.key == *key);
    Ok(found.map(|found| Place { object, line, meta: found.meta }))
}

/// Every line of Bronze of that key.
pub(crate) async fn lines_of(lake: &Lake, key: &Key, steps: &Steps) -> Result<Vec<Place>, Failure> {
    let inventory = bronze::inventory(lake, None).await?;
    let needle = serde_json::to_vec(key).unwrap_or_default();
    steps.begin("searching bronze", inventory.objects.len());
    let looks = inventory.objects.into_iter().map(|object| {
        let needle = &needle;
        async move {
            let found = lines_in(lake, key, needle, object).await;
            steps.step(1);
            found
        }
    });
    let found: Vec<Vec<Place>> = futures::stream::iter(looks).buffered(AT_ONCE).try_collect().await?;
    Ok(found.into_iter().flatten().collect())
}

async fn lines_in(lake: &Lake, key: &Key, needle: &[u8], object: Path) -> Result<Vec<Place>, LakeError> {
    let bytes = read(&*lake.bronze, &object).await?;
    // Most objects do not hold the key: parsing them all would take far longer.
    if memchr::memmem::find(&bytes, needle).is_none() {
        return Ok(Vec::new());
    }
    // A damaged one is reported where its row is made again.
    let Ok(lines) = bronze::lines(&object, &bytes) else { return Ok(Vec::new()) };
    let own = lines.into_iter().zip(1_usize..).filter(|(line, _)| line.meta.key == *key);
    Ok(own.map(|(line, number)| Place { object: object.clone(), line: number, meta: line.meta }).collect())
}

/// Keys that contain a text in any case, or else are spelt similarly; at most `most`.
///
/// # Errors
/// Silver cannot be read.
pub async fn similar(service: &Service, text: &str, most: usize) -> Result<Vec<Key>, Failure> {
    let silver = &service.clean.silver;
    let snapshot = silver.snapshot().await?;
    let (lower, mut found, mut near) = (text.to_lowercase(), BTreeSet::new(), Nearest::to(text));
    let buckets = snapshot.buckets.keys().map(|bucket| keys_in(silver, &snapshot, *bucket));
    let mut buckets = futures::stream::iter(buckets.collect::<Vec<_>>()).buffered(BUCKETS_AT_ONCE);
    while let Some(keys) = buckets.try_next().await? {
        for key in keys {
            if key.to_lowercase().contains(&lower) {
                found.insert(Key::from_text(&key));
            }
            near.look_at(&key);
        }
        if found.len() >= most {
            break;
        }
    }
    if found.is_empty() {
        found.extend(near.into_words().into_iter().map(|key| Key::from_text(&key)));
    }
    Ok(found.into_iter().take(most).collect())
}

async fn keys_in(silver: &Silver, snapshot: &Snapshot, bucket: u32) -> Result<Vec<String>, TableError> {
    let rows = silver.read(snapshot, bucket, Some(&[KEY])).await?;
    let keys = |batch: &arrow::array::RecordBatch| -> Vec<String> {
        batch.column(0).as_string::<i32>().iter().flatten().map(str::to_owned).collect()
    };
    Ok(rows.iter().flat_map(keys).collect())
}
