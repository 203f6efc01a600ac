//! Where what people publish lies: a file of this machine, or an object in S3. Read whole, and looked at for a change.
//!
//! Does not judge what it reads: pins and signatures are checked by who loads it.

use std::path::{Path, PathBuf};

use bytes::Bytes;
use engine::pipeline::plan::{Location, PluginRef};
use engine::pipeline::s3;
use engine::seams::plugin::Digest;
use engine::seams::store::{self, ObjectStoreExt as _};
use url::Url;

use crate::compose::Remote;

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
    /// A plugin's component; `folder` is where relative paths start from.
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
            Published::File(path) => Published::File(crate::signature::path_of(path)),
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

    /// All of it.
    pub(crate) async fn read(&self, remote: &Remote) -> anyhow::Result<Bytes> {
        match self {
            Published::File(path) => {
                let path = path.clone();
                // On a thread of its own each: what a pipeline has of them is read side by side when a function starts.
                Ok(tokio::task::spawn_blocking(move || std::fs::read(path)).await??.into())
            }
            Published::Object(url) => {
                let (bucket, object) = remote.object(url).await?;
                Ok(store::read(&*bucket, &object).await?)
            }
        }
    }

    /// Another text when it is another one: a file's digest; of an object its tag, so that it is not fetched to be looked at.
    pub(crate) async fn mark(&self, remote: &Remote) -> String {
        let seen = match self {
            Published::File(path) => match std::fs::read(path) {
                Ok(bytes) => Digest::of(&bytes).to_string(),
                Err(error) => error.kind().to_string(),
            },
            Published::Object(url) => match head(url, remote).await {
                Ok(tag) => tag,
                Err(error) => {
                    tracing::warn!(object = %url, error = format!("{error:#}"), "cannot see whether it has changed");
                    "unseen".to_owned()
                }
            },
        };
        format!("{self} {seen}")
    }
}

async fn head(url: &Url, remote: &Remote) -> anyhow::Result<String> {
    let (bucket, object) = remote.object(url).await?;
    let meta = bucket.head(&object).await?;
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
