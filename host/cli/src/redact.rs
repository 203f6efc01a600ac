//! Secrets must not be shown: a writer that redacts them in everything written through it, and a source of secrets that registers
//! each one when it is read.
//!
//! Does not find them: `engine::redaction` does, for the lake and the plugins as well.

use std::io::{self, Write};

use async_trait::async_trait;
use bytes::Bytes;
pub(crate) use engine::redaction::Redactor;
use pipeline::plan::Location;
use pipeline::urls::secrets_of_url;
use seams::secrets::{ExposeSecret, SecretError, SecretRef, SecretString, Secrets};

/// Writes the redacted text; JSON stays JSON. Each `write` must hold whole records (a log line, a document): a secret that is
/// spread over two calls is not found.
pub(crate) struct RedactingWriter<W> {
    redactor: Redactor,
    inner: W,
}

impl<W> RedactingWriter<W> {
    /// A writer that passes the redacted text on to `inner`.
    pub(crate) fn new(redactor: &Redactor, inner: W) -> Self {
        RedactingWriter { redactor: redactor.clone(), inner }
    }
}

impl<W: Write> Write for RedactingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.inner.write_all(&self.redactor.redact_body(&Bytes::copy_from_slice(bytes)))?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// Has the credentials in a source's URL redacted like secrets.
pub(crate) fn register_place(redactor: &Redactor, place: &Location) {
    if let Location::Remote(url) = place {
        for secret in secrets_of_url(url) {
            redactor.register(&secret);
        }
    }
}

/// Secrets that are registered when they are read, before other code has them.
#[derive(Debug)]
pub(crate) struct RegisteringSecrets<S> {
    inner: S,
    redactor: Redactor,
}

impl<S: Secrets> RegisteringSecrets<S> {
    /// `inner`'s secrets, registered at `redactor`.
    pub(crate) fn new(inner: S, redactor: Redactor) -> Self {
        RegisteringSecrets { inner, redactor }
    }

    fn register(&self, secret: Result<SecretString, SecretError>) -> Result<SecretString, SecretError> {
        secret.inspect(|secret| {
            self.redactor.register(secret.expose_secret());
        })
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
        RedactingWriter::new(redactor, &mut sink).write_all(text.as_bytes()).unwrap();
        String::from_utf8(sink).unwrap()
    }

    #[test]
    fn what_is_written_holds_no_secret_and_a_document_stays_one() {
        let redactor = Redactor::of("123456");
        assert_eq!(written(&redactor, "pin 123456\n"), "pin [redacted]\n");
        assert_eq!(written(&redactor, "{\"pin\": 123456}\n"), "{\"pin\": \"[redacted]\"}\n");
    }

    #[test]
    fn credentials_of_a_sources_url_are_not_written() {
        let redactor = Redactor::default();
        register_place(&redactor, &Location::Remote("https://x.example/a.csv?token=0123456789".parse().unwrap()));
        assert_eq!(written(&redactor, "GET /a.csv?token=0123456789"), "GET /a.csv?token=[redacted]");
    }
}
