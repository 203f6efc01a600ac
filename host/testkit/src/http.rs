//! Answers from a closure, with a record of what was asked.
//!
//! Does not open a socket; `conformance::http` has a server for that.

use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use bytes::Bytes;
use seams::http::{Http, HttpAnswer, HttpError, HttpRequest};

type Script = dyn Fn(&HttpRequest, usize) -> Result<HttpAnswer, HttpError> + Send + Sync;

/// [`Http`] that answers by a closure.
pub struct ScriptedHttp {
    script: Box<Script>,
    calls: Mutex<Vec<HttpRequest>>,
}

impl std::fmt::Debug for ScriptedHttp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ScriptedHttp").field("calls", &self.calls().len()).finish_non_exhaustive()
    }
}

impl ScriptedHttp {
    /// Answers each request with the result of `script`, called with the request and the number of calls before it.
    #[must_use]
    pub fn new<S>(script: S) -> Arc<Self>
    where
        S: Fn(&HttpRequest, usize) -> Result<HttpAnswer, HttpError> + Send + Sync + 'static,
    {
        Arc::new(ScriptedHttp { script: Box::new(script), calls: Mutex::default() })
    }

    /// Every request so far, in order of arrival.
    #[must_use]
    pub fn calls(&self) -> Vec<HttpRequest> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[async_trait]
impl Http for ScriptedHttp {
    async fn send(&self, request: HttpRequest) -> Result<HttpAnswer, HttpError> {
        let before = {
            let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
            calls.push(request.clone());
            calls.len() - 1
        };
        let answer = (self.script)(&request, before)?;
        // The seam's promise about size holds for a script as well.
        if answer.body.len() as u64 > request.max_body {
            return Err(HttpError::TooLarge { limit: request.max_body });
        }
        Ok(answer)
    }
}

/// A JSON answer.
#[must_use]
pub fn answer(status: u16, body: impl Into<Bytes>) -> HttpAnswer {
    HttpAnswer { status, headers: vec![("content-type".into(), "application/json".into())], body: body.into() }
}
