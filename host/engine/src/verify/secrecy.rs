//! V7: no object of the lake holds a secret, as it is or encoded as requests, JSON and headers encode it.
//!
//! Does not read logs: they are not in the lake. What the program prints passes its redactor.

use base64::Engine as _;
use bytes::Bytes;
use futures::TryStreamExt;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{Checker, Invariant};
use crate::failure::Failure;
use crate::lake::delta;
use crate::seams::secrets::ExposeSecret;
use crate::seams::store::{Store, StoreError, read};

/// A shorter value would be found everywhere by chance.
const SHORTEST: usize = 6;

impl Checker<'_> {
    /// V7.
    pub(super) async fn secrecy(&mut self) -> Result<(), Failure> {
        let (secrets, absent) = self.service.enrich.gateway.secrets().await;
        let long = secrets.iter().filter(|(_, secret)| secret.expose_secret().len() >= SHORTEST);
        let needles: Vec<(String, Vec<String>)> =
            long.map(|(name, secret)| (name.clone(), forms(secret.expose_secret()))).collect();
        for name in absent {
            self.report.notes.push(format!("secret `{name}` cannot be had here: the lake was not searched for it"));
        }
        for (name, _) in secrets.iter().filter(|(_, secret)| secret.expose_secret().len() < SHORTEST) {
            let message = format!("secret `{name}` is shorter than {SHORTEST} bytes: the lake was not searched for it");
            self.report.notes.push(message);
        }
        if needles.is_empty() {
            return Ok(());
        }
        let lake = &self.service.enrich.lake;
        for (layer, store) in [("bronze", &lake.bronze), ("silver", &lake.silver), ("gold", &lake.gold)] {
            self.layer(layer, store, &needles).await?;
        }
        Ok(())
    }

    async fn layer(&mut self, layer: &str, store: &Store, needles: &[(String, Vec<String>)]) -> Result<(), Failure> {
        let objects: Vec<_> = store.list(None).try_collect().await?;
        self.steps.begin("searching for secrets", objects.len());
        self.report.checked(Invariant::V7, objects.len());
        for object in objects {
            self.steps.step(1);
            let bytes = match read(&**store, &object.location).await {
                Ok(bytes) => bytes,
                Err(StoreError::NotFound { .. }) => continue,
                Err(error) => return Err(error.into()),
            };
            let path = object.location.as_ref();
            // A Parquet file is compressed: what it says is what its rows say.
            let text = if path.ends_with(".parquet") { delta::text_of(&bytes).unwrap_or(bytes) } else { bytes };
            for (name, forms) in needles {
                if forms.iter().any(|form| holds(&text, form.as_bytes())) {
                    self.report.find(Invariant::V7, format!("{layer}/{path}"), format!("it holds the secret `{name}`"));
                }
            }
        }
        Ok(())
    }
}

/// The value in every form that it may take on its way.
fn forms(value: &str) -> Vec<String> {
    let json = serde_json::to_string(value).unwrap_or_default();
    let mut forms = vec![
        value.to_owned(),
        json.trim_matches('"').to_owned(),
        utf8_percent_encode(value, NON_ALPHANUMERIC).to_string(),
        url::form_urlencoded::byte_serialize(value.as_bytes()).collect(),
        base64::engine::general_purpose::STANDARD.encode(value),
        // As a kept answer has a body that is no text.
        hex::encode(value),
    ];
    forms.sort();
    forms.dedup();
    forms
}

fn holds(text: &Bytes, needle: &[u8]) -> bool {
    memchr::memmem::find(text, needle).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_looked_for_as_it_travels() {
        let forms = forms("a/b c\"d");
        for form in ["a/b c\"d", "a/b c\\\"d", "a%2Fb%20c%22d", "a%2Fb+c%22d", "YS9iIGMiZA==", "612f6220632264"] {
            assert!(forms.iter().any(|one| one == form), "{form} is not in {forms:?}");
        }
    }
}
