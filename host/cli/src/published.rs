//! Published files: on this machine, or objects in S3. Read whole, and checked for a change.
//!
//! Does not judge the content: the loading code checks pins and signatures.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use local::outside::{self, OutsideError};
use pipeline::plan::{Location, PluginRef};
use pipeline::s3;
use seams::plugin::Digest;
use seams::store::{self, ObjectStore as _, ObjectStoreExt as _, StoreError};
use url::Url;

use crate::compose::Remote;

/// How long reading an object may take, retries included.
const OBJECT_IN: Duration = Duration::from_secs(60);

/// A published file or object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Published {
    /// On this machine.
    File(PathBuf),
    /// `s3://BUCKET/KEY`.
    Object(Url),
}

impl std::fmt::Display for Published {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Published::File(path) => path.display().fmt(f),
            Published::Object(url) => f.write_str(&s3::shown(url)),
        }
    }
}

impl Published {
    /// A plugin's component; `folder` is the base of relative paths.
    pub(crate) fn component(plugin: &PluginRef, folder: &Path) -> Self {
        match plugin {
            PluginRef::Crate(name) => Published::File(folder.join("plugins").join(name).join(format!("{name}.wasm"))),
            PluginRef::File(Location::Local(path)) => Published::File(folder.join(path)),
            PluginRef::File(Location::Remote(url)) => Published::Object(url.clone()),
        }
    }

    /// The signature beside it.
    pub(crate) fn signature(&self) -> Self {
        match self {
            Published::File(path) => Published::File(signature_path(path)),
            Published::Object(url) => {
                let mut beside = url.clone();
                beside.set_path(&format!("{}.sig", url.path()));
                Published::Object(beside)
            }
        }
    }

    /// Its path, if it is on this machine.
    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Published::File(path) => Some(path),
            Published::Object(_) => None,
        }
    }

    /// The whole content, if it is a file or object of at most `most` bytes.
    pub(crate) async fn read(&self, remote: &Remote, most: u64) -> anyhow::Result<Bytes> {
        match self {
            // Each file on a thread of its own: a pipeline's files are read concurrently when a function starts.
            Published::File(path) => Ok(outside::read_soon(path, most).await?),
            Published::Object(url) => {
                let read = async {
                    let (bucket, object) = remote.object(url).await?;
                    let found = bucket.get_opts(&object, store::GetOptions::default()).await?;
                    if found.meta.size > most {
                        return Err(OutsideError::TooLarge { size: found.meta.size, most }.into());
                    }
                    Ok(found.bytes().await?)
                };
                let read = tokio::time::timeout(OBJECT_IN, read).await;
                read.unwrap_or_else(|_| Err(OutsideError::Hangs { after: OBJECT_IN }.into()))
            }
        }
    }

    /// The most bytes that are read to look for a change.
    fn most(&self) -> u64 {
        let name = match self {
            Published::File(path) => path.extension().and_then(|end| end.to_str()).unwrap_or_default(),
            Published::Object(_) => "",
        };
        match name {
            "sig" => outside::MOST_SIGNATURE,
            "toml" => outside::MOST_TEXT,
            _ => outside::MOST_COMPONENT,
        }
    }

    /// A text that changes with the content: a file's digest; an object's tag, since the tag needs no download.
    pub(crate) async fn mark(&self, remote: &Remote) -> String {
        let seen = match self {
            Published::File(path) => match outside::read_soon(path, self.most()).await {
                Ok(bytes) => Digest::of(&bytes).to_string(),
                Err(error) => error.to_string(),
            },
            Published::Object(url) => match head(url, remote).await {
                Ok(tag) => tag,
                Err(error) if is_not_there(&error) => "is not there".to_owned(),
                Err(error) => {
                    tracing::warn!(object = %url, error = format!("{error:#}"), "cannot see whether it has changed");
                    "unseen".to_owned()
                }
            },
        };
        format!("{self} {seen}")
    }
}

/// The place of the signature of a component on this machine.
pub(crate) fn signature_path(component: &Path) -> PathBuf {
    let mut path = component.as_os_str().to_owned();
    path.push(".sig");
    path.into()
}

fn is_not_there(error: &anyhow::Error) -> bool {
    error.chain().any(|cause| matches!(cause.downcast_ref(), Some(StoreError::NotFound { .. })))
}

async fn head(url: &Url, remote: &Remote) -> anyhow::Result<String> {
    let (bucket, object) = remote.object(url).await?;
    let meta = tokio::time::timeout(OBJECT_IN, bucket.head(&object)).await??;
    Ok(meta.e_tag.unwrap_or_else(|| format!("{} {}", meta.last_modified, meta.size)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_signature_lies_beside_its_component() {
        let of = |plugin: &PluginRef| Published::component(plugin, Path::new("p")).signature().to_string();
        assert_eq!(of(&PluginRef::Crate("a".to_owned())), "p/plugins/a/a.wasm.sig");
        assert_eq!(of(&PluginRef::File(Location::Local("b.wasm".to_owned()))), "p/b.wasm.sig");
        let url = s3::parse("s3://acme-plugins/clean/c d.wasm").unwrap();
        assert_eq!(of(&PluginRef::File(Location::Remote(url))), "s3://acme-plugins/clean/c d.wasm.sig");
    }
}
