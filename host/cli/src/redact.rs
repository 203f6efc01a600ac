//! Secrets that must not be shown: a list of values, and a writer that blots them out of everything written through it.
//!
//! Does not read a secret: whoever does registers its value here before using it.

use std::io::{self, Write};
use std::sync::{Arc, PoisonError, RwLock};

use async_trait::async_trait;
use engine::seams::secrets::{ExposeSecret, SecretError, SecretRef, SecretString, Secrets};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands where a secret was.
pub(crate) const REDACTED: &str = "[redacted]";

/// Values of fewer bytes are not blotted out.
const SHORTEST: usize = 4;

/// Knows every registered secret, in each form in which it could be written. Clones share one list.
#[derive(Clone, Default)]
pub(crate) struct Redactor {
    /// Longest first, so that a form that contains another one is blotted out whole.
    forms: Arc<RwLock<Vec<String>>>,
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor")
    }
}

impl Redactor {
    /// From now on `secret` is not written: as it stands, percent-encoded (both of the usual ways), or escaped as in JSON or `Debug`.
    pub(crate) fn register(&self, secret: &str) {
        // So short a value is no secret, and blotting it out would make everything unreadable.
        if secret.len() < SHORTEST {
            return;
        }
        let json = serde_json::Value::from(secret).to_string();
        let debug = format!("{secret:?}");
        let percent = utf8_percent_encode(secret, NON_ALPHANUMERIC).to_string();
        let form: String = url::form_urlencoded::byte_serialize(secret.as_bytes()).collect();
        let new = [secret, &percent, &percent.to_lowercase(), &form, unquoted(&json), unquoted(&debug)];
        if self.forms.read().unwrap_or_else(PoisonError::into_inner).iter().any(|form| form == secret) {
            return;
        }
        let mut forms = self.forms.write().unwrap_or_else(PoisonError::into_inner);
        forms.extend(new.map(str::to_owned));
        forms.sort_unstable_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
    }

    /// `text` without any registered secret.
    pub(crate) fn redact(&self, text: &str) -> String {
        let forms = self.forms.read().unwrap_or_else(PoisonError::into_inner);
        forms.iter().fold(text.to_owned(), |text, form| match text.contains(form.as_str()) {
            true => text.replace(form.as_str(), REDACTED),
            false => text,
        })
    }

    /// A writer that hands on to `inner` what remains.
    pub(crate) fn writer<W: Write>(&self, inner: W) -> RedactingWriter<W> {
        RedactingWriter { redactor: self.clone(), inner }
    }
}

fn unquoted(text: &str) -> &str {
    text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text)
}

/// Writes what remains after redaction. Each `write` must hold whole records (a log line, a document): a secret that is
/// spread over two calls is not seen.
pub(crate) struct RedactingWriter<W> {
    redactor: Redactor,
    inner: W,
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(bytes);
        self.inner.write_all(self.redactor.redact(&text).as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Secrets that are registered as they are read, before anybody else has them.
#[derive(Debug)]
pub(crate) struct RegisteringSecrets<S> {
    inner: S,
    redactor: Redactor,
}

impl<S: Secrets> RegisteringSecrets<S> {
    /// `inner`'s secrets, known to `redactor`.
    pub(crate) fn new(inner: S, redactor: Redactor) -> Self {
        RegisteringSecrets { inner, redactor }
    }

    fn register(&self, secret: Result<SecretString, SecretError>) -> Result<SecretString, SecretError> {
        secret.inspect(|secret| self.redactor.register(secret.expose_secret()))
    }
}

#[async_trait]
impl<S: Secrets> Secrets for RegisteringSecrets<S> {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.register(self.inner.get(reference).await)
    }

    async fn refresh(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        self.register(self.inner.refresh(reference).await)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(redactor: &Redactor, text: &str) -> String {
        let mut sink = Vec::new();
        redactor.writer(&mut sink).write_all(text.as_bytes()).unwrap();
        String::from_utf8(sink).unwrap()
    }

    #[test]
    fn a_secret_is_blotted_out_in_every_form() {
        let redactor = Redactor::default();
        redactor.register("a b/\"c\"");
        for form in ["a b/\"c\"", "a%20b%2F%22c%22", "a%20b%2f%22c%22", "a+b%2F%22c%22", "a b/\\\"c\\\""] {
            assert_eq!(written(&redactor, &format!("<{form}>")), "<[redacted]>", "{form}");
        }
    }

    #[test]
    fn a_secret_that_contains_another_goes_whole() {
        let redactor = Redactor::default();
        redactor.register("keys");
        redactor.register("keys-and-more");
        assert_eq!(written(&redactor, "keys-and-more, keys"), "[redacted], [redacted]");
    }

    #[test]
    fn a_clone_knows_what_is_registered_later_and_a_short_value_blots_nothing() {
        let redactor = Redactor::default();
        let clone = redactor.clone();
        redactor.register("");
        redactor.register("k");
        redactor.register("s3cret");
        assert_eq!(written(&clone, "plain s3cret"), "plain [redacted]");
    }
}
