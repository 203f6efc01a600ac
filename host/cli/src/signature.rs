//! Signatures of components: ed25519 (RFC 8032) over the component's bytes, 64 raw bytes in `FILE.wasm.sig` beside it, as
//! `openssl pkeyutl -rawin` makes and takes them.
//!
//! Does not keep keys: a private key is a PKCS#8 file of the publisher, the public keys are in `pipeline.toml`.

use std::path::Path;

use anyhow::Context as _;
use bytes::Bytes;
use ed25519_dalek::pkcs8::spki::der::pem::LineEnding;
use ed25519_dalek::pkcs8::{DecodePrivateKey, EncodePrivateKey};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use local::outside::{self, OutsideError};
use pipeline::plan::TrustedKey;
use seams::plugin::LoadError;

use crate::compose::Remote;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::load::passes;
use crate::plugins::component::cannot_read;
use crate::published::{Published, signature_path};

/// Why a component does not count as signed.
pub(crate) struct Unsigned {
    pub(crate) error: LoadError,
    /// Whether the next look may differ although nothing new is published: the signature could not be read.
    pub(crate) again: bool,
}

/// Checks that the component published there is signed with one of `keys`, if there are any. Returns the signature.
pub(crate) async fn check(
    component: &[u8],
    keys: &[TrustedKey],
    published: &Published,
    remote: &Remote,
) -> Result<Option<Bytes>, Unsigned> {
    if keys.is_empty() {
        return Ok(None);
    }
    let signature = published.signature();
    let bytes = signature.read(remote, outside::MOST_SIGNATURE).await.map_err(|error| {
        let again = passes(&error) || error.downcast_ref::<OutsideError>().is_some_and(OutsideError::may_pass);
        Unsigned { error: refused(format!("cannot read the signature `{signature}`: {error:#}")), again }
    })?;
    covers(component, &bytes, &signature, keys).map_err(|error| Unsigned { error, again: false })?;
    Ok(Some(bytes))
}

/// Checks that a signature is of this component and by one of `keys`.
pub(crate) fn covers(
    component: &[u8],
    signature: &[u8],
    place: &impl std::fmt::Display,
    keys: &[TrustedKey],
) -> Result<(), LoadError> {
    let Some(key) = made_by(component, signature, place, keys).map_err(refused)? else {
        let trusted = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
        return Err(refused(format!("`{place}` is not by a trusted key, trusted are {trusted}")));
    };
    tracing::debug!(signature = %place, %key, "signature verified");
    Ok(())
}

/// The key of `keys` that made the signature at `path`, or why there is no signature to check.
pub(crate) fn signer(component: &[u8], path: &Path, keys: &[TrustedKey]) -> Result<Option<TrustedKey>, String> {
    let bytes = outside::read(path, outside::MOST_SIGNATURE)
        .map_err(|error| format!("cannot read the signature `{}`: {error}", path.display()))?;
    made_by(component, &bytes, &path.display(), keys)
}

/// The key of `keys` that made a signature.
fn made_by(
    component: &[u8],
    signature: &[u8],
    place: &impl std::fmt::Display,
    keys: &[TrustedKey],
) -> Result<Option<TrustedKey>, String> {
    let signature = Signature::from_slice(signature)
        .map_err(|_| format!("`{place}` has {} bytes, expected a signature of 64", signature.len()))?;
    let by = |key: &&TrustedKey| {
        VerifyingKey::from_bytes(&key.0).is_ok_and(|key| key.verify_strict(component, &signature).is_ok())
    };
    Ok(keys.iter().find(by).copied())
}

fn refused(message: String) -> LoadError {
    let hint = "sign it with `sluicebox plugin sign FILE --key KEY.pem`, or trust the key in `[signatures]`".to_owned();
    LoadError { code: "P017", message, hint: Some(hint) }
}

/// Makes a key, writes it to a new file that only its owner can read, and returns its public half.
pub(crate) fn generate(path: &Path) -> anyhow::Result<TrustedKey> {
    let key = SigningKey::from_bytes(&rand::random());
    let pem = key.to_pkcs8_pem(LineEnding::LF).context("cannot write the key as PKCS#8")?;
    let mut options = std::fs::OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let written = options.open(path).and_then(|mut file| std::io::Write::write_all(&mut file, pem.as_bytes()));
    written.with_context(|| format!("cannot write the key `{}`", path.display()))?;
    Ok(TrustedKey(key.verifying_key().to_bytes()))
}

/// Signs a component with the key of a PKCS#8 file, and returns the public half.
pub(crate) fn sign(component: &Path, key: &Path) -> anyhow::Result<TrustedKey> {
    let pem = outside::read_text(key, outside::MOST_TEXT).map_err(|error| cannot_read(key, error))?;
    let signing = SigningKey::from_pkcs8_pem(&pem).map_err(|error| {
        let what = format!("`{}` is no ed25519 key in PKCS#8", key.display());
        Failure::new(ExitCode::Usage, what).caused_by(error).hint("make one with `sluicebox plugin keygen FILE`")
    })?;
    let bytes = outside::read(component, outside::MOST_COMPONENT).map_err(|error| cannot_read(component, error))?;
    let path = signature_path(component);
    std::fs::write(&path, signing.sign(&bytes).to_bytes())
        .with_context(|| format!("cannot write `{}`", path.display()))?;
    Ok(TrustedKey(signing.verifying_key().to_bytes()))
}
