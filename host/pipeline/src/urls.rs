//! Secrets in a URL that is no endpoint's: the source's `user:password@`, and the tokens of its query.
//!
//! Does not decide which URLs may hold some: `pipeline::uris` does.

use url::Url;

/// What stands where a secret was.
pub const REDACTED: &str = "[redacted]";

/// A value of fewer bytes is not redacted: it would be found by chance in most documents, and redacting it would destroy them.
pub const SHORTEST: usize = 4;

/// Parts of the names of parameters that hold a credential: `token`, `X-Amz-Signature`, `api_key`, `sig`.
const CREDENTIALS: &[&str] = &["token", "key", "sig", "secret", "pass", "pwd", "auth", "cred", "session", "jwt", "sas"];
/// A value as long as this is no date and no page number.
const LONG: usize = 24;
/// A shorter value (`sort_key=name`) is hidden in the URL only: elsewhere it may well be a word.
const LEAST: usize = 8;

fn is_secret(name: &str, value: &str) -> bool {
    let name = name.to_lowercase();
    !value.is_empty() && (value.len() >= LONG || CREDENTIALS.iter().any(|part| name.contains(part)))
}

/// The values in `url` that must not be shown.
#[must_use]
pub fn secrets_of_url(url: &Url) -> Vec<String> {
    let query = url.query_pairs().filter(|(name, value)| is_secret(name, value) && value.len() >= LEAST);
    let query = query.map(|(_, value)| value.into_owned());
    let decoded = |text: &str| percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned();
    let password = url.password().map(decoded);
    let user = (url.password().is_none() && !url.username().is_empty()).then(|| decoded(url.username()));
    query.chain(password.into_iter().chain(user).filter(|value| value.len() >= SHORTEST)).collect()
}

/// `url` for a message: where it leads and how its parameters are called, without credentials.
#[must_use]
pub fn shown_url(url: &Url) -> String {
    let mut shown = url.clone();
    let has_user = !url.username().is_empty() || url.password().is_some();
    // Neither can fail where there was one.
    let _ = shown.set_password(None);
    let _ = shown.set_username("");
    let pairs: Vec<(String, String, bool)> = url
        .query_pairs()
        .map(|(name, value)| (name.clone().into_owned(), value.clone().into_owned(), is_secret(&name, &value)))
        .collect();
    shown.set_query(None);
    shown.set_fragment(None);
    let mut text = shown.to_string();
    if has_user {
        text = text.replacen("://", &format!("://{REDACTED}@"), 1);
    }
    if pairs.iter().any(|(_, _, secret)| *secret) {
        let encoded = |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
        let pairs: Vec<String> = pairs
            .iter()
            .map(|(name, value, secret)| {
                let value = if *secret { REDACTED.to_owned() } else { encoded(value) };
                format!("{}={value}", encoded(name))
            })
            .collect();
        text = format!("{text}?{}", pairs.join("&"));
    } else if let Some(query) = url.query() {
        text = format!("{text}?{query}");
    }
    match url.fragment() {
        Some(fragment) => format!("{text}#{fragment}"),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_url_is_shown_without_its_credentials() {
        for (url, expected) in [
            ("https://x.example/a.csv", "https://x.example/a.csv"),
            ("https://x.example/a.csv?format=csv&page=2#x", "https://x.example/a.csv?format=csv&page=2#x"),
            ("https://x.example/a.csv?token=abc&page=2", "https://x.example/a.csv?token=[redacted]&page=2"),
            ("https://joe:pw@x.example/a.csv", "https://[redacted]@x.example/a.csv"),
            (
                "https://b.s3.amazonaws.com/k.csv?X-Amz-Credential=AKIA%2F1&X-Amz-Date=20260101&X-Amz-Signature=00ff",
                "https://b.s3.amazonaws.com/k.csv?X-Amz-Credential=[redacted]&X-Amz-Date=20260101&X-Amz-Signature=[redacted]",
            ),
            ("s3://bucket/key.csv", "s3://bucket/key.csv"),
        ] {
            assert_eq!(shown_url(&Url::parse(url).unwrap()), expected);
        }
    }

    #[test]
    fn tokens_and_passwords_of_a_url_are_found() {
        let url = Url::parse(
            "https://joe:p%40ss@x.example/a?sig=a%2Fb%2Bc%3D%3Dd&key=name&page=12&x=0123456789abcdef01234567",
        )
        .unwrap();
        assert_eq!(secrets_of_url(&url), ["a/b+c==d", "0123456789abcdef01234567", "p@ss"]);
    }
}
