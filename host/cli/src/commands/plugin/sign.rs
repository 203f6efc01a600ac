//! `sluicebox plugin keygen`, `sign` and `verify`: detached signatures of components.
//!
//! Does not decide which keys to trust: `[signatures]` of `pipeline.toml` does.

use std::path::PathBuf;

use pipeline::plan::TrustedKey;
use serde_json::json;

use crate::context::Context;
use crate::exit::ExitCode;
use crate::failure::Failure;
use crate::pipelines::{self, PipelineOption};
use crate::plugins::component;
use crate::published::signature_path;
use crate::signature;

/// Make a key to sign components with
#[derive(Debug, clap::Args)]
pub(crate) struct KeygenArgs {
    /// Where the private key is written, as PKCS#8; a file that is there is not overwritten
    file: PathBuf,
}

/// Sign a component: the signature is put beside it, as FILE.wasm.sig
#[derive(Debug, clap::Args)]
pub(crate) struct SignArgs {
    /// The component
    component: PathBuf,
    /// The private key, as `plugin keygen` or `openssl genpkey -algorithm ed25519` makes it
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
}

/// Say whose signature a component has
#[derive(Debug, clap::Args)]
pub(crate) struct VerifyArgs {
    /// The component
    component: PathBuf,
    /// A public key to trust, as in ed25519:0123…; may be repeated [default: those of pipeline.toml]
    #[arg(long = "key", value_name = "KEY", value_parser = public_key)]
    keys: Vec<TrustedKey>,
    #[command(flatten)]
    pipeline: PipelineOption,
}

fn public_key(text: &str) -> Result<TrustedKey, String> {
    TrustedKey::parse(text).ok_or_else(|| "expected `ed25519:` and 64 hexadecimal digits".to_owned())
}

/// Makes a key.
pub(crate) fn keygen(args: &KeygenArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let public = signature::generate(&args.file)?;
    let document = json!({ "private_key": args.file, "public_key": public });
    context.output.report(&document, |_| {
        format!(
            "private key  {}\npublic key   {public}\n\nhosts that shall trust it:\n\n[signatures]\ntrusted_keys = [\"{public}\"]",
            args.file.display()
        )
    })?;
    Ok(ExitCode::Success)
}

/// Signs a component.
pub(crate) fn sign(args: &SignArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let public = signature::sign(&args.component, &args.key)?;
    let path = signature_path(&args.component);
    let document = json!({ "signature": path, "public_key": public });
    context.output.report(&document, |_| format!("signed by {public}: {}", path.display()))?;
    Ok(ExitCode::Success)
}

/// Verifies a component's signature.
pub(crate) fn verify(args: &VerifyArgs, context: &Context) -> anyhow::Result<ExitCode> {
    let keys = if args.keys.is_empty() { of_pipeline(args)? } else { args.keys.clone() };
    let bytes = component::read(&args.component)?;
    let path = signature_path(&args.component);
    let hint = "sign it with `sluicebox plugin sign FILE --key KEY.pem`";
    let wrong = |message: String| Failure::new(ExitCode::Wrong, message).hint(hint);
    match signature::signer(&bytes, &path, &keys).map_err(wrong)? {
        Some(key) => {
            let document = json!({ "component": args.component, "signed_by": key });
            context.output.report(&document, |_| format!("`{}` is signed by {key}", args.component.display()))?;
            Ok(ExitCode::Success)
        }
        None => {
            let trusted = keys.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let message = format!("`{}` is not a signature of the component by any of {trusted}", path.display());
            Err(wrong(message).into())
        }
    }
}

fn of_pipeline(args: &VerifyArgs) -> anyhow::Result<Vec<TrustedKey>> {
    let files = pipelines::read(&args.pipeline.args())?;
    let keys: Vec<TrustedKey> = files.iter().flat_map(|file| file.plan.trusted_keys.clone()).collect();
    if keys.is_empty() {
        let hint = "name a key under `[signatures] trusted_keys`, or with `--key`";
        return Err(Failure::new(ExitCode::Usage, "the pipeline file trusts no key").hint(hint).into());
    }
    Ok(keys)
}
