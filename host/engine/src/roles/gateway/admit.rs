//! What a plugin may ask for: a plain path below an endpoint, a bounded query, a few harmless headers.
//!
//! Does not send anything, and does not know which endpoints there are.

use percent_encoding::percent_decode_str;
use pipeline::plan::Endpoint;
use seams::foreign::{inert, is_odd};

use super::error::{GatewayError, refused};

/// Most characters of a path and query that a plugin may ask for.
const MOST_URL: usize = 8 << 10;

/// Most query parameters of one request.
const MOST_PARAMETERS: usize = 64;
/// Most bytes of a header's value that a plugin may set.
const MOST_VALUE: usize = 1 << 10;
/// The headers that a plugin may set, each once: what sort of answer it wants. No other header, because the service decides what a header
/// means: some override the method, the path or the caller.
const HEADERS: [&str; 4] = ["accept", "accept-language", "if-modified-since", "if-none-match"];

/// Refuses a path that could lead out of the endpoint's URL, also once a proxy or a service has decoded it again or has cut parameters
/// off its segments.
pub(super) fn check_path(path: &str) -> Result<(), GatewayError> {
    let bad = path.len() > MOST_URL
        || path.contains(['?', '#', '\\', ':', '@'])
        || path.chars().any(is_odd)
        || hides(path)
        || path.split('/').any(leads_up);
    if bad {
        Err(refused("P160", format!("the plugin asks for path `{}`, expected a plain relative one", short(path))))
    } else {
        Ok(())
    }
}

/// Whether a segment is one of dots alone, or would be without its parameters (`..;a=b`) or after what some servers make of it.
fn leads_up(segment: &str) -> bool {
    let is_dot =
        |c: char| matches!(c, '.' | '\u{2024}' | '\u{2025}' | '\u{2026}' | '\u{fe52}' | '\u{ff0e}' | '\u{3002}');
    let name = segment.split(';').next().unwrap_or_default().trim();
    (name.is_empty() && segment.contains(';')) || (!name.is_empty() && name.chars().all(|c| is_dot(c) || c == ' '))
}

/// How often a path may be encoded already.
const MOST_ENCODED: usize = 3;

/// Whether a path differs for a server that decodes it once too often: it is encoded on its way, and so arrives as it is here.
fn hides(path: &str) -> bool {
    let steps = path.matches('/').count();
    let mut now = path.to_owned();
    for _ in 0..MOST_ENCODED {
        let next = percent_decode_str(&now).decode_utf8_lossy().into_owned();
        if next == now {
            return false;
        }
        let bad = next.contains('\\')
            || next.chars().any(is_odd)
            || next.matches('/').count() != steps
            || next.split('/').any(leads_up);
        if bad {
            return true;
        }
        now = next;
    }
    true
}

/// Refuses a query that is too large, or that sets what the endpoint fixes.
pub(super) fn check_query(query: &[(String, String)], endpoint: &Endpoint) -> Result<(), GatewayError> {
    if query.len() > MOST_PARAMETERS {
        let text =
            format!("the plugin asks with {} query parameters, at most {MOST_PARAMETERS} are allowed", query.len());
        return Err(refused("P163", text));
    }
    let size =
        query.iter().fold(0_usize, |size, (name, value)| size.saturating_add(name.len()).saturating_add(value.len()));
    if size > MOST_URL {
        return Err(refused(
            "P163",
            format!("the plugin asks with {size} bytes of query, at most {MOST_URL} are allowed"),
        ));
    }
    let fixed: Vec<String> = endpoint.query.iter().map(|(name, _)| as_servers_read(name)).collect();
    match query.iter().find(|(name, _)| fixed.contains(&as_servers_read(name))) {
        Some((name, _)) => {
            Err(refused("P164", format!("the plugin sets query parameter `{}`, which the endpoint fixes", short(name))))
        }
        None => Ok(()),
    }
}

/// A parameter's name as the most generous of servers reads it: `Api.Key[0]` is `api_key` to some.
fn as_servers_read(name: &str) -> String {
    let name = name.split('[').next().unwrap_or_default();
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

/// Refuses every header but the few that a plugin may set, and those that the endpoint sets itself.
pub(super) fn check_headers(headers: &[(String, String)], endpoint: &Endpoint) -> Result<(), GatewayError> {
    if headers.len() > HEADERS.len() {
        let text =
            format!("the plugin sets {} headers, at most {} are allowed, each once", headers.len(), HEADERS.len());
        return Err(refused("P162", text));
    }
    for (at, (name, value)) in headers.iter().enumerate() {
        if !HEADERS.contains(&name.as_str()) {
            let expected = HEADERS.map(|name| format!("`{name}`")).join(", ");
            return Err(refused(
                "P162",
                format!("the plugin sets header `{}`, expected one of {expected}", short(name)),
            ));
        }
        if endpoint.headers.iter().any(|(own, _)| own.eq_ignore_ascii_case(name)) {
            return Err(refused("P162", format!("the plugin sets header `{name}`, which the endpoint sets itself")));
        }
        if headers.iter().take(at).any(|(before, _)| before == name) {
            return Err(refused("P162", format!("the plugin sets header `{name}` twice")));
        }
        if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || value.len() > MOST_VALUE {
            return Err(refused(
                "P162",
                format!(
                    "the plugin's header `{name}` has a value that is not at most {MOST_VALUE} bytes of printable ASCII"
                ),
            ));
        }
    }
    Ok(())
}

/// Untrusted text, short and on one line.
pub(super) fn short(text: &str) -> String {
    let start: String = text.chars().take(60).collect();
    inert(&start).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use pipeline::plan::Template;

    fn code_of(checked: Result<(), GatewayError>) -> &'static str {
        match checked {
            Ok(()) => "none",
            Err(GatewayError::Refused { code, .. }) => code,
            Err(GatewayError::Failure(_)) => "failure",
        }
    }

    fn endpoint(headers: &[&str]) -> Endpoint {
        Endpoint {
            url: url::Url::parse("https://shop.example/").unwrap(),
            query: vec![("api_key".into(), Template(Vec::new()))],
            headers: headers.iter().map(|name| ((*name).to_owned(), Template(Vec::new()))).collect(),
            rate: None,
            timeout: std::time::Duration::from_secs(1),
            attempts: std::num::NonZeroU32::MIN,
            max_body: 1,
        }
    }

    #[test]
    fn a_path_stays_below_its_endpoint() {
        for path in [
            "../admin",
            "//evil.example/x?y",
            "http://evil.example",
            "a/../../b",
            "x\ny",
            "u@evil",
            "a#b",
            "a\\b",
            "..;/admin",
            "a/..;jsession=1/b",
            "a/;/b",
            "%2e%2e/admin",
            "a/%2E%2e%2fb",
            "a%00b",
            "a%5cb",
            "a/%252e%252e/b",
            "a%2fb",
            "%25252525",
            "a/.. /b",
            "a/\u{ff0e}\u{ff0e}/b",
            "a/\u{2025}/b",
            "a\u{9b}b",
            "a\u{202e}b",
            "...",
        ] {
            assert_eq!(code_of(check_path(path)), "P160", "{path}");
        }
        for path in [
            "",
            "a",
            "a b/c",
            "é/1999",
            "100%",
            "50% off",
            "a%20b",
            "a%252Bb",
            "a;v=1",
            "St. Elmo's Fire",
            ".well-known/x",
        ] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn headers_are_allowed_by_name() {
        let code = |name: &str, value: &str| code_of(check_headers(&[(name.into(), value.into())], &endpoint(&[])));
        for (name, value) in [("accept", "application/json"), ("accept-language", "de"), ("if-none-match", "\"a\"")] {
            assert_eq!(code(name, value), "none", "{name}");
        }
        for name in [
            "host",
            "authorization",
            "cookie",
            "x-http-method-override",
            "x-forwarded-for",
            "x-original-url",
            "content-length",
            "transfer-encoding",
            "Accept",
            "x-trace",
        ] {
            assert_eq!(code(name, "evil"), "P162", "{name}");
        }
        assert_eq!(code("accept", "b\r\nc"), "P162");
        assert_eq!(code("accept", &"x".repeat(5 << 20)), "P162");
    }

    #[test]
    fn many_headers_and_the_endpoints_own_are_refused() {
        let many = vec![("accept".to_owned(), "a".to_owned()); 32_769];
        assert_eq!(code_of(check_headers(&many, &endpoint(&[]))), "P162");
        let (own, twice) = (vec![many[0].clone()], many[..2].to_vec());
        assert_eq!(code_of(check_headers(&own, &endpoint(&["Accept"]))), "P162");
        assert_eq!(code_of(check_headers(&twice, &endpoint(&[]))), "P162");
    }

    #[test]
    fn a_query_is_bounded_and_leaves_the_endpoint_s_own_alone() {
        let code = |name: &str, value: String| code_of(check_query(&[(name.into(), value)], &endpoint(&[])));
        assert_eq!(code("id", "7".into()), "none");
        assert_eq!(code("id", "x".repeat(5 << 20)), "P163");
        for name in ["api_key", "API_KEY", "api.key", "api_key[]", " api key"] {
            assert_eq!(code(name, "mine".into()), "P164", "{name}");
        }
        let many = vec![("a".to_owned(), String::new()); 100_000];
        assert_eq!(code_of(check_query(&many, &endpoint(&[]))), "P163");
    }
}
