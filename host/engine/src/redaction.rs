//! Secrets that must not be shown: found in whatever encoding they travel, and taken out of texts, bodies and the answers of services.
//!
//! Does not read a secret: its reader registers the value before it is used.

mod http;
mod json;
mod needle;
mod redactor;

pub use http::RedactingHttp;
pub use redactor::Redactor;
