//! The resources of a template, as all its parts pass them.
//!
//! Does not make any.

use serde_json::Value;

/// Resources with their names, in order.
pub(super) type Resources = Vec<(String, Value)>;
