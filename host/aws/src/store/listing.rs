//! Listings, page by page.
//!
//! Does not sort: S3 lists by the bytes of the keys.

use std::sync::Arc;

use aws_sdk_s3::operation::list_objects_v2::ListObjectsV2Output;
use aws_sdk_s3::types::Object;
use futures::stream::{self, BoxStream};
use futures::{Stream, StreamExt, TryStreamExt};
use object_store::path::Path;
use object_store::{ListResult, ObjectMeta, Result};

use super::failure::failed;
use super::place::Place;
use super::read;
use crate::failure::CallError;

pub(super) fn all(
    place: Arc<Place>,
    prefix: Option<&Path>,
    offset: Option<&Path>,
) -> BoxStream<'static, Result<ObjectMeta>> {
    let (folder, after) = (place.folder(prefix), offset.map(|offset| place.key(offset)));
    pages(Arc::clone(&place), folder, after, None)
        .map_ok(move |page| stream::iter(objects(&place, page.contents())))
        .try_flatten()
        .boxed()
}

pub(super) async fn one_level(place: Arc<Place>, prefix: Option<&Path>) -> Result<ListResult> {
    let mut level = ListResult { objects: Vec::new(), common_prefixes: Vec::new() };
    let mut pages = std::pin::pin!(pages(Arc::clone(&place), place.folder(prefix), None, Some("/")));
    while let Some(page) = pages.try_next().await? {
        for object in objects(&place, page.contents()) {
            level.objects.push(object?);
        }
        let folders = page.common_prefixes().iter().filter_map(|folder| folder.prefix());
        level.common_prefixes.extend(folders.filter_map(|folder| place.location(folder.trim_end_matches('/'))));
    }
    Ok(level)
}

fn objects(place: &Place, found: &[Object]) -> Vec<Result<ObjectMeta>> {
    let located = found.iter().filter_map(|object| Some((place.location(object.key()?)?, object)));
    located.map(|(location, object)| meta(location, object)).collect()
}

fn meta(location: Path, object: &Object) -> Result<ObjectMeta> {
    Ok(ObjectMeta {
        location,
        last_modified: read::when(object.last_modified())?,
        size: read::length(object.size())?,
        e_tag: object.e_tag().map(str::to_owned),
        version: None,
    })
}

/// Where a listing continues.
enum Next {
    Start,
    After(String),
    Nothing,
}

/// Each page holds at most a thousand keys.
fn pages(
    place: Arc<Place>,
    folder: String,
    after: Option<String>,
    delimiter: Option<&'static str>,
) -> impl Stream<Item = Result<ListObjectsV2Output>> + Send + 'static {
    stream::try_unfold(Next::Start, move |next| {
        let (place, folder, after) = (Arc::clone(&place), folder.clone(), after.clone());
        async move {
            let (after, token) = match next {
                Next::Start => (after, None),
                Next::After(token) => (None, Some(token)),
                Next::Nothing => return Ok(None),
            };
            let call = place
                .client
                .list_objects_v2()
                .bucket(&place.bucket)
                .set_prefix(Some(folder.clone()).filter(|folder| !folder.is_empty()))
                .set_delimiter(delimiter.map(str::to_owned))
                .set_start_after(after)
                .set_continuation_token(token);
            let page = call.send().await.map_err(|error| {
                failed(CallError::of("ListObjectsV2", &place.name(&folder), &error), &Path::from(folder.as_str()))
            })?;
            let next = page.next_continuation_token().map_or(Next::Nothing, |token| Next::After(token.to_owned()));
            Ok(Some((page, next)))
        }
    })
}
