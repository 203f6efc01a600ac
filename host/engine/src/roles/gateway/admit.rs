//! What a plugin may ask for: a plain path below an endpoint, a bounded query, a few harmless headers.
//!
//! Does not send anything, and does not know which endpoints there are.

use super::{GatewayError, refused};
use crate::pipeline::plan::Endpoint;

/// Most characters of a path and query that a plugin may ask for.
const MOST_URL: usize = 8 << 10;

/// Refuses a path that could lead out of the endpoint's URL.
pub(super) fn check_path(path: &str) -> Result<(), GatewayError> {
    let bad = path.len() > MOST_URL
        || path.contains(['?', '#', '\\', ':', '@'])
        || path.chars().any(char::is_control)
        || path.split('/').any(|segment| segment == "." || segment == "..");
    if bad {
        Err(refused("P160", format!("the plugin asks for path `{}`, expected a plain relative one", short(path))))
    } else {
        Ok(())
    }
}

/// Refuses a query that is too large, or that sets what the endpoint fixes.
pub(super) fn check_query(query: &[(String, String)], endpoint: &Endpoint) -> Result<(), GatewayError> {
    let size: usize = query.iter().map(|(name, value)| name.len() + value.len()).sum();
    if size > MOST_URL {
        return Err(refused(
            "P163",
            format!("the plugin asks with {size} bytes of query, at most {MOST_URL} are allowed"),
        ));
    }
    match query.iter().find(|(name, _)| endpoint.query.iter().any(|(fixed, _)| fixed == name)) {
        Some((name, _)) => {
            Err(refused("P164", format!("the plugin sets query parameter `{}`, which the endpoint fixes", short(name))))
        }
        None => Ok(()),
    }
}

/// Refuses every header but the few that a plugin may set.
pub(super) fn check_headers(headers: &[(String, String)]) -> Result<(), GatewayError> {
    for (name, value) in headers {
        let known = matches!(name.as_str(), "accept" | "accept-language") || name.starts_with("x-");
        let plain = name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-');
        if !known || !plain {
            let expected = "expected `accept`, `accept-language` or `x-…` in lower case";
            return Err(refused("P162", format!("the plugin sets header `{}`, {expected}", short(name))));
        }
        if !value.bytes().all(|byte| (0x20..0x7f).contains(&byte)) || value.len() > MOST_URL {
            return Err(refused(
                "P162",
                format!("the plugin's header `{name}` has a value that is no printable ASCII"),
            ));
        }
    }
    Ok(())
}

/// Untrusted text, short and on one line.
fn short(text: &str) -> String {
    text.chars().take(60).flat_map(char::escape_debug).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pipeline::plan::Template;

    fn code_of(checked: Result<(), GatewayError>) -> &'static str {
        match checked {
            Ok(()) => "none",
            Err(GatewayError::Refused { code, .. }) => code,
            Err(GatewayError::Failure(_)) => "failure",
        }
    }

    #[test]
    fn a_path_stays_below_its_endpoint() {
        for path in
            ["../admin", "//evil.example/x?y", "http://evil.example", "a/../../b", "x\ny", "u@evil", "a#b", "a\\b"]
        {
            assert_eq!(code_of(check_path(path)), "P160", "{path}");
        }
        for path in ["", "a", "a b/c", "é/1999"] {
            assert!(check_path(path).is_ok(), "{path}");
        }
    }

    #[test]
    fn headers_are_allowed_by_name() {
        let ok = |name: &str, value: &str| check_headers(&[(name.into(), value.into())]).is_ok();
        assert!(ok("accept", "application/json") && ok("x-trace", "1"));
        assert_eq!(code_of(check_headers(&[("host".into(), "evil".into())])), "P162");
        assert!(!ok("host", "evil") && !ok("authorization", "x") && !ok("X-Upper", "1") && !ok("x-a", "b\r\nc"));
    }

    #[test]
    fn a_query_is_bounded_and_leaves_the_endpoint_s_own_alone() {
        let endpoint = Endpoint {
            url: url::Url::parse("https://shop.example/").unwrap(),
            query: vec![("key".into(), Template(Vec::new()))],
            headers: Vec::new(),
            rate: None,
            timeout: std::time::Duration::from_secs(1),
            attempts: std::num::NonZeroU32::MIN,
            max_body: 1,
        };
        let code = |name: &str, value: String| code_of(check_query(&[(name.into(), value)], &endpoint));
        assert_eq!(code("id", "7".into()), "none");
        assert_eq!(code("id", "x".repeat(5 << 20)), "P163");
        assert_eq!(code("key", "mine".into()), "P164");
    }
}
