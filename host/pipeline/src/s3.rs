//! `s3://BUCKET/KEY`: the key is literal, as the AWS CLI takes it.
//!
//! Does not look whether anything is there.
//!
//! A URL gives `#`, `?`, `%` and `..` a meaning that a key of S3 does not have: `s3://b/a#1.csv` is the key `a#1.csv`, and `a%2Fb` is not
//! `a/b`. So the text is never parsed as a URL. [`parse`] encodes the key into the URL's path; decoding that path gives the key back.

use percent_encoding::{AsciiSet, CONTROLS, percent_decode_str, utf8_percent_encode};
use thiserror::Error;
use url::Url;

/// Characters that have a meaning in the path of a URL, or no agreed meaning.
const ENCODED: &AsciiSet = &CONTROLS
    .add(b' ')
    .add(b'"')
    .add(b'#')
    .add(b'%')
    .add(b'<')
    .add(b'>')
    .add(b'?')
    .add(b'\\')
    .add(b'`')
    .add(b'{')
    .add(b'}');

/// Most bytes of a key in S3.
const MOST_KEY: usize = 1_024;

/// Why a text is no place in S3.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum S3Error {
    /// It does not begin with `s3://` and the name of a bucket.
    #[error("`{0}` is not a bucket")]
    Bucket(String),
    /// The store cannot name such a key: it takes a part of the key for a path to another folder.
    #[error("the key has the part `{0}`")]
    Part(String),
    /// It names a version of an object.
    #[error("the text names a version of an object")]
    Version,
    /// The key is longer than S3 allows.
    #[error("the key has {0} bytes, at most {MOST_KEY} are possible")]
    Long(usize),
}

impl S3Error {
    /// What was expected in its place.
    #[must_use]
    pub fn expected(&self) -> &'static str {
        match self {
            S3Error::Bucket(_) => "`s3://BUCKET/KEY`, BUCKET 3 to 63 of `a-z`, `0-9`, `-` and `.`",
            S3Error::Part(_) => "a key without `.`, `..` and empty parts between its `/`",
            S3Error::Version | S3Error::Long(_) => "`s3://BUCKET/KEY`",
        }
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(&self) -> Option<&'static str> {
        match self {
            S3Error::Version => Some("the newest version is read: copy the older one to a key of its own"),
            S3Error::Part(_) => Some("copy the object to a key without it"),
            S3Error::Bucket(_) | S3Error::Long(_) => None,
        }
    }
}

/// The place that `s3://BUCKET/KEY` names. One `/` at the end is dropped: a layer's place may have it.
///
/// # Errors
/// See [`S3Error`].
pub fn parse(text: &str) -> Result<Url, S3Error> {
    let rest = text.strip_prefix("s3://").unwrap_or_default();
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    let plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let not_a_bucket = || S3Error::Bucket(bucket.to_owned());
    if bucket.len() < 3 || bucket.len() > 63 || !bucket.chars().all(plain) {
        return Err(not_a_bucket());
    }
    if key.len() > MOST_KEY {
        return Err(S3Error::Long(key.len()));
    }
    if key.rsplit_once('?').is_some_and(|(_, query)| query.to_ascii_lowercase().starts_with("versionid=")) {
        return Err(S3Error::Version);
    }
    let mut url = Url::parse(&format!("s3://{bucket}")).map_err(|_| not_a_bucket())?;
    let key = key.strip_suffix('/').unwrap_or(key);
    if !key.is_empty() {
        if let Some(part) = key.split('/').find(|part| matches!(*part, "" | "." | "..")) {
            return Err(S3Error::Part(part.to_owned()));
        }
        url.set_path(&utf8_percent_encode(key, ENCODED).to_string());
    }
    Ok(url)
}

/// The key of a place that [`parse`] gave, as S3 has it.
#[must_use]
pub fn key(place: &Url) -> String {
    percent_decode_str(place.path().trim_start_matches('/')).decode_utf8_lossy().into_owned()
}

/// A place as its author wrote it: what [`parse`] reads again.
#[must_use]
pub fn shown(place: &Url) -> String {
    let bucket = place.host_str().unwrap_or_default();
    match key(place).as_str() {
        "" => format!("s3://{bucket}"),
        key => format!("s3://{bucket}/{key}"),
    }
}

#[cfg(test)]
mod tests {
    use object_store::path::Path;

    use super::*;

    #[test]
    fn a_key_is_literal_and_shown_as_it_was_written() {
        for name in [
            "a#1.csv",
            "a?x=1.csv",
            "a%2Fb.csv",
            "a%20b.csv",
            "a b.csv",
            "a+b.csv",
            "ä/€.csv",
            "a;b,c=d&e@f:g.csv",
            "a%.csv",
            "%2e%2e/a.csv",
            "a\\b.csv",
            "{a}`b`.csv",
            "...",
            ".a",
            "a..b",
        ] {
            let text = format!("s3://bucket/{name}");
            let place = parse(&text).unwrap();
            assert_eq!(key(&place), name);
            assert_eq!(shown(&place), text);
            assert_eq!((place.query(), place.fragment(), place.host_str()), (None, None, Some("bucket")), "{name}");
            // As the store reads it.
            assert_eq!(Path::from_url_path(place.path()).unwrap().as_ref(), name);
        }
    }

    #[test]
    fn what_the_store_cannot_name_is_refused_and_never_another_object() {
        let refused = |text: &str| parse(text).unwrap_err();
        for part in ["..", ".", ""] {
            assert_eq!(refused(&format!("s3://bucket/a/{part}/b.csv")), S3Error::Part(part.to_owned()));
        }
        assert_eq!(refused("s3://bucket/../other/b.csv"), S3Error::Part("..".to_owned()));
        assert_eq!(refused("s3://bucket//b.csv"), S3Error::Part(String::new()));
        for version in ["a.csv?versionId=3", "a.csv?versionid=null"] {
            assert_eq!(refused(&format!("s3://bucket/{version}")), S3Error::Version);
        }
        assert_eq!(refused("s3://B/a.csv"), S3Error::Bucket("B".to_owned()));
        assert_eq!(refused("s3://user:word@bucket/a"), S3Error::Bucket("user:word@bucket".to_owned()));
        assert!(matches!(refused(&format!("s3://bucket/{}", "x".repeat(1_025))), S3Error::Long(1_025)));
    }

    #[test]
    fn a_layers_place_is_a_prefix_with_or_without_its_last_slash() {
        for (text, as_shown) in
            [("s3://lake", "s3://lake"), ("s3://lake/", "s3://lake"), ("s3://lake/a/b/", "s3://lake/a/b")]
        {
            assert_eq!(shown(&parse(text).unwrap()), as_shown);
        }
    }
}
