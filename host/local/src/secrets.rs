//! Secrets of this machine: environment variables and files.
//!
//! Does not cache (reading again is cheap, and a rotated secret counts at once) and does not reach any secrets service.

use std::collections::HashSet;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use seams::secrets::{SecretError, SecretRef, SecretString, Secrets};

use crate::outside::{self, OutsideError};

/// Most bytes of a secret's file. A longer one is hardly a secret, and a device would never end.
const MAX_FILE: u64 = 64 << 10;

/// [`Secrets`] from the environment and from files.
///
/// An empty variable or file counts as missing: that is what a deployment leaves when it forgot to fill it in.
#[derive(Debug)]
pub struct LocalSecrets {
    base: PathBuf,
    /// Files with a warning about their permissions.
    warned: Mutex<HashSet<PathBuf>>,
}

impl LocalSecrets {
    /// Secrets whose relative file paths start at `base`, the folder of `pipeline.toml`.
    #[must_use]
    pub fn new(base: impl Into<PathBuf>) -> Self {
        LocalSecrets { base: base.into(), warned: Mutex::default() }
    }

    /// Warns once for each file that others can read.
    #[cfg(unix)]
    fn warn_if_exposed(&self, path: &Path) {
        use std::os::unix::fs::PermissionsExt;
        let mode = path.metadata().map_or(0, |metadata| metadata.permissions().mode());
        let mut warned = self.warned.lock().unwrap_or_else(PoisonError::into_inner);
        if mode & 0o004 != 0 && warned.insert(path.to_path_buf()) {
            let mode = format!("{:o}", mode & 0o777);
            tracing::warn!(path = %path.display(), mode, "every user of this machine can read the secret's file; `chmod 600` it");
        }
    }

    #[cfg(not(unix))]
    fn warn_if_exposed(&self, _path: &Path) {}
}

#[async_trait]
impl Secrets for LocalSecrets {
    async fn get(&self, reference: &SecretRef) -> Result<SecretString, SecretError> {
        match reference {
            SecretRef::Env(name) => from_environment(name, reference),
            SecretRef::File(file) => {
                let path = self.base.join(file);
                let read = outside::read_soon(&path, MAX_FILE).await;
                if read.is_ok() {
                    // The file was read just now, so its metadata comes without a wait.
                    self.warn_if_exposed(&path);
                }
                from_file(read, reference)
            }
            SecretRef::AwsSecretsManager { .. } => {
                let message = "this host has no access to AWS Secrets Manager\nhint: use `env:NAME` or `file:PATH` here, \
                               and keep the reference under `[target.aws]`";
                Err(SecretError::Unavailable(reference.clone(), message.into()))
            }
        }
    }
}

fn from_environment(name: &str, reference: &SecretRef) -> Result<SecretString, SecretError> {
    // `var_os` panics on such names only where a platform says so; a missing variable is what they mean anyway.
    if name.is_empty() || name.contains(['=', '\0']) {
        return Err(SecretError::Missing(reference.clone()));
    }
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => Ok(SecretString::from(value)),
        Ok(_) | Err(std::env::VarError::NotPresent) => Err(SecretError::Missing(reference.clone())),
        Err(std::env::VarError::NotUnicode(_)) => Err(not_text(reference)),
    }
}

fn not_text(reference: &SecretRef) -> SecretError {
    SecretError::Unavailable(reference.clone(), "its value is not UTF-8 text".into())
}

fn from_file(read: Result<Bytes, OutsideError>, reference: &SecretRef) -> Result<SecretString, SecretError> {
    let bytes = read.map_err(|error| match &error {
        missing if missing.is_not_there() => SecretError::Missing(reference.clone()),
        OutsideError::Io(io) if io.kind() == ErrorKind::PermissionDenied => {
            SecretError::Denied(reference.clone(), error.to_string())
        }
        OutsideError::TooLarge { most, .. } => {
            SecretError::Unavailable(reference.clone(), format!("its file is over {most} bytes"))
        }
        _ => {
            let hint = error.hint().map(|hint| format!("\nhint: {hint}")).unwrap_or_default();
            SecretError::Unavailable(reference.clone(), format!("{error}{hint}"))
        }
    })?;
    let text = String::from_utf8(bytes.into()).map_err(|_| not_text(reference))?;
    let value = text.strip_suffix("\r\n").or_else(|| text.strip_suffix('\n')).unwrap_or(&text);
    if value.is_empty() {
        return Err(SecretError::Missing(reference.clone()));
    }
    Ok(SecretString::from(value))
}

#[cfg(test)]
mod tests {
    use super::*;
    use seams::secrets::ExposeSecret;

    fn reference() -> SecretRef {
        SecretRef::File("key".into())
    }

    #[test]
    fn refused_and_missing_files_are_told_apart() {
        let outcome = |kind: ErrorKind| from_file(Err(std::io::Error::from(kind).into()), &reference()).unwrap_err();
        assert!(matches!(outcome(ErrorKind::PermissionDenied), SecretError::Denied(..)));
        assert!(matches!(outcome(ErrorKind::NotFound), SecretError::Missing(_)));
        assert!(matches!(outcome(ErrorKind::Interrupted), SecretError::Unavailable(..)));
    }

    #[test]
    fn exactly_one_line_break_is_stripped() {
        for (file, secret) in [("k", "k"), ("k\n", "k"), ("k\r\n", "k"), ("k\n\n", "k\n"), (" k ", " k ")] {
            let value = from_file(Ok(Bytes::from_static(file.as_bytes())), &reference()).unwrap();
            assert_eq!(value.expose_secret(), secret, "{file:?}");
        }
    }

    #[test]
    fn empty_and_binary_files_are_no_secrets() {
        assert!(matches!(from_file(Ok(Bytes::from_static(b"\n")), &reference()), Err(SecretError::Missing(_))));
        assert!(matches!(from_file(Ok(Bytes::from_static(b"\xff")), &reference()), Err(SecretError::Unavailable(..))));
    }

    #[tokio::test]
    async fn endless_files_are_no_secrets() {
        let folder = tempfile::tempdir().unwrap();
        let long = vec![b'x'; usize::try_from(MAX_FILE).unwrap() + 1];
        std::fs::write(folder.path().join("key"), long).unwrap();
        let read = LocalSecrets::new(folder.path()).get(&reference()).await;
        assert!(matches!(read, Err(SecretError::Unavailable(..))));
    }
}
