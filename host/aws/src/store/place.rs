//! A place in S3: a bucket, a prefix in it, and the keys that objects have there.
//!
//! Does not ask whether it is there.

use object_store::Result;
use object_store::path::Path;
use url::Url;

use super::failure::generic;
use crate::cloud::Cloud;

/// How objects are written.
#[derive(Clone, Copy, Debug)]
pub struct S3Options {
    /// A body of more bytes goes in parts.
    pub in_parts_above: usize,
    /// Bytes of a part; S3 wants at least 5 MiB. More if there would be over 10,000.
    pub part: usize,
}

impl Default for S3Options {
    /// Parts of 8 MiB for what is over 16 MiB: a call that fails late has not sent much.
    fn default() -> Self {
        S3Options { in_parts_above: 16 << 20, part: 8 << 20 }
    }
}

/// A prefix in a bucket, and the client that reaches it.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) client: aws_sdk_s3::Client,
    pub(super) bucket: String,
    /// Empty for a whole bucket.
    prefix: Path,
    pub(super) options: S3Options,
}

impl Place {
    /// The place `s3://BUCKET/PREFIX`.
    pub(super) fn of(cloud: &Cloud, url: &Url, options: S3Options) -> Result<Self> {
        let bucket = url.host_str().filter(|_| url.scheme() == "s3").unwrap_or_default();
        if bucket.is_empty() {
            return Err(generic(format!("`{url}` is no place in S3, expected `s3://BUCKET/PREFIX`")));
        }
        let prefix = Path::from_url_path(url.path())?;
        Ok(Place { client: cloud.s3(), bucket: bucket.to_owned(), prefix, options })
    }

    /// The key of an object.
    pub(super) fn key(&self, location: &Path) -> String {
        match self.prefix.as_ref() {
            "" => location.to_string(),
            prefix => format!("{prefix}/{location}"),
        }
    }

    /// What the keys of everything in a folder begin with; empty for a whole bucket.
    pub(super) fn folder(&self, folder: Option<&Path>) -> String {
        let folder = folder.map_or_else(|| self.prefix.to_string(), |folder| self.key(folder));
        let folder = folder.trim_end_matches('/');
        if folder.is_empty() { String::new() } else { format!("{folder}/") }
    }

    /// The object of a key; none if that is not below the prefix or no path.
    pub(super) fn location(&self, key: &str) -> Option<Path> {
        let below = match self.prefix.as_ref() {
            "" => key,
            prefix => key.strip_prefix(prefix)?.strip_prefix('/')?,
        };
        if below.is_empty() || below.ends_with('/') {
            return None;
        }
        Path::parse(below).ok()
    }

    /// A key as people write it.
    pub(super) fn name(&self, key: &str) -> String {
        format!("s3://{}/{key}", self.bucket)
    }
}

#[cfg(test)]
mod tests {
    use aws_config::{Region, SdkConfig};

    use super::*;

    fn place(url: &str) -> Result<Place> {
        let config = SdkConfig::builder().region(Region::new("us-east-1")).build();
        let cloud = Cloud::of(config).unwrap();
        Place::of(&cloud, &Url::parse(url).unwrap(), S3Options::default())
    }

    #[test]
    fn keys_lie_below_the_prefix_and_lead_back() {
        for (url, key) in [("s3://lake", "a/b"), ("s3://lake/", "a/b"), ("s3://lake/p/q/", "p/q/a/b")] {
            let place = place(url).unwrap();
            assert_eq!(place.key(&"a/b".into()), key, "{url}");
            assert_eq!(place.location(key), Some("a/b".into()), "{url}");
        }
    }

    #[test]
    fn what_is_beside_the_prefix_or_no_path_is_no_object() {
        let place = place("s3://lake/p").unwrap();
        for key in ["q/a", "pq/a", "p", "p/", "p/folder/", "p/a//b"] {
            assert_eq!(place.location(key), None, "{key}");
        }
    }

    #[test]
    fn a_folder_ends_with_a_slash_and_a_bucket_with_nothing() {
        let (whole, part) = (place("s3://lake").unwrap(), place("s3://lake/p").unwrap());
        assert_eq!((whole.folder(None), whole.folder(Some(&"a".into()))), (String::new(), "a/".to_owned()));
        assert_eq!((part.folder(None), part.folder(Some(&"a".into()))), ("p/".to_owned(), "p/a/".to_owned()));
        assert_eq!(part.folder(Some(&Path::default())), "p/");
    }

    #[test]
    fn another_scheme_is_refused() {
        let told = place("https://lake/p").unwrap_err().to_string();
        assert!(told.contains("expected `s3://BUCKET/PREFIX`"), "{told}");
    }
}
