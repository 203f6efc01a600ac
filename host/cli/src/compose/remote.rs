//! The clients for what is not on this machine: AWS, and objects in S3.
//!
//! Does not look for credentials before a client is needed.

use std::sync::Arc;

use aws::{Cloud, S3Store};
use seams::store::{self, Store};
use tokio::sync::OnceCell;
use url::Url;

use crate::exit::ExitCode;
use crate::failure::Failure;

/// AWS, set up at first use. Clones share it.
#[derive(Clone, Debug, Default)]
pub(crate) struct Remote(Arc<OnceCell<Cloud>>);

impl Remote {
    /// AWS itself.
    pub(crate) async fn cloud(&self) -> Result<&Cloud, Failure> {
        self.0.get_or_try_init(Cloud::load).await.map_err(|error| {
            let hint = error.hint();
            Failure::new(ExitCode::Unavailable, "cannot reach AWS").hint(hint).caused_by(error)
        })
    }

    /// The bucket that an object of S3 is in, and where in it.
    pub(crate) async fn object(&self, url: &Url) -> anyhow::Result<(Store, store::Path)> {
        let mut bucket = url.clone();
        bucket.set_path("");
        let store = S3Store::open(self.cloud().await?, &bucket)?;
        Ok((store, store::Path::from_url_path(url.path())?))
    }
}
