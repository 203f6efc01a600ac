//! Reads of whole objects, of ranges, and of what is known about an object.
//!
//! Does not resume a body that broke off: the error says so, and the caller reads again from the start.

use std::ops::Range;

use aws_sdk_s3::operation::get_object::GetObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use chrono::{DateTime as Instant, Utc};
use futures::StreamExt;
use futures::stream::{self, BoxStream};
use object_store::path::Path;
use object_store::{Attributes, GetOptions, GetRange, GetResult, GetResultPayload, ObjectMeta, Result};

use super::failure::{failed, generic};
use super::place::Place;
use crate::failure::CallError;

pub(super) async fn get(place: &Place, location: &Path, options: GetOptions) -> Result<GetResult> {
    if options.head {
        return head(place, location, options).await;
    }
    let key = place.key(location);
    let call = place
        .client
        .get_object()
        .bucket(&place.bucket)
        .key(&key)
        .set_range(options.range.as_ref().map(header))
        .set_if_match(options.if_match)
        .set_if_none_match(options.if_none_match)
        .set_if_modified_since(options.if_modified_since.map(instant))
        .set_if_unmodified_since(options.if_unmodified_since.map(instant))
        .set_version_id(options.version);
    let got = call.send().await;
    let got = got.map_err(|error| failed(CallError::of("GetObject", &place.name(&key), &error), location))?;
    let length = length(got.content_length)?;
    let (range, size) = match got.content_range() {
        None => (0..length, length),
        Some(told) => parse(told).ok_or_else(|| generic(format!("`{key}`: no content range is `{told}`")))?,
    };
    let meta = ObjectMeta {
        location: location.clone(),
        last_modified: when(got.last_modified())?,
        size,
        e_tag: got.e_tag.clone(),
        version: got.version_id.clone(),
    };
    let payload = GetResultPayload::Stream(body(got, place.name(&key)));
    Ok(GetResult { payload, meta, range, attributes: Attributes::default() })
}

/// An answer without a body: here a missing bucket looks like a missing object.
async fn head(place: &Place, location: &Path, options: GetOptions) -> Result<GetResult> {
    let key = place.key(location);
    let call = place
        .client
        .head_object()
        .bucket(&place.bucket)
        .key(&key)
        .set_if_match(options.if_match)
        .set_if_none_match(options.if_none_match)
        .set_if_modified_since(options.if_modified_since.map(instant))
        .set_if_unmodified_since(options.if_unmodified_since.map(instant))
        .set_version_id(options.version);
    let got = call.send().await;
    let got = got.map_err(|error| failed(CallError::of("HeadObject", &place.name(&key), &error), location))?;
    let size = length(got.content_length)?;
    let meta = ObjectMeta {
        location: location.clone(),
        last_modified: when(got.last_modified())?,
        size,
        e_tag: got.e_tag,
        version: got.version_id,
    };
    let payload = GetResultPayload::Stream(stream::empty().boxed());
    Ok(GetResult { payload, meta, range: 0..size, attributes: Attributes::default() })
}

/// The body as it comes. The SDK compares its checksum at the end: if it is wrong, an error takes the place of the last piece.
fn body(got: GetObjectOutput, name: String) -> BoxStream<'static, Result<bytes::Bytes>> {
    let broken = move |error| generic(format!("the body of `{name}` is not whole: {}", causes(&error)));
    stream::unfold((got.body, broken), |(mut body, broken)| async move {
        let piece = body.next().await?;
        Some((piece.map_err(&broken), (body, broken)))
    })
    .fuse()
    .boxed()
}

fn causes(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}

fn header(range: &GetRange) -> String {
    match range {
        GetRange::Bounded(range) => format!("bytes={}-{}", range.start, range.end.saturating_sub(1)),
        GetRange::Offset(offset) => format!("bytes={offset}-"),
        GetRange::Suffix(length) => format!("bytes=-{length}"),
    }
}

/// `bytes FIRST-LAST/SIZE`.
fn parse(told: &str) -> Option<(Range<u64>, u64)> {
    let (range, size) = told.strip_prefix("bytes ")?.split_once('/')?;
    let (first, last) = range.split_once('-')?;
    Some((first.parse().ok()?..last.parse::<u64>().ok()?.checked_add(1)?, size.parse().ok()?))
}

pub(super) fn length(told: Option<i64>) -> Result<u64> {
    told.and_then(|length| u64::try_from(length).ok()).ok_or_else(|| generic("S3 told no length of the object"))
}

pub(super) fn when(told: Option<&DateTime>) -> Result<Instant<Utc>> {
    let instant = told.and_then(|told| Instant::from_timestamp(told.secs(), told.subsec_nanos()));
    instant.ok_or_else(|| generic("S3 did not tell when the object was written"))
}

fn instant(instant: Instant<Utc>) -> DateTime {
    DateTime::from_millis(instant.timestamp_millis())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_written_with_their_last_byte() {
        let written = [GetRange::Bounded(3..7), GetRange::Offset(5), GetRange::Suffix(4)].map(|range| header(&range));
        assert_eq!(written, ["bytes=3-6", "bytes=5-", "bytes=-4"]);
    }

    #[test]
    fn content_ranges_are_read() {
        assert_eq!(parse("bytes 3-6/10"), Some((3..7, 10)));
        for wrong in ["bytes */10", "3-6/10", "bytes 3-6", "bytes 3-6/*", "bytes 3-18446744073709551615/10"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }
}
