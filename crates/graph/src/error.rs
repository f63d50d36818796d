//! Errors as Graph sends them.

/// An error on its way to a client.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{status} {code}: {message}")]
pub struct GraphError {
    /// HTTP status.
    pub status: u16,
    /// `error.code`, for programs.
    pub code: String,
    /// `error.message`, for developers.
    pub message: String,
    /// `error.target`: the property, parameter or option that is wrong.
    pub target: Option<String>,
}

impl GraphError {
    /// An error.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), target: None }
    }

    /// 400 `BadRequest`.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// The same error about `target`.
    pub fn about(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }
}

/// What the envelope says besides the error.
#[derive(Clone, Debug)]
pub struct Envelope<'a> {
    /// `request-id`
    pub request_id: &'a str,
    /// `client-request-id`
    pub client_request_id: &'a str,
    /// `date`: whole seconds without zone, `2025-02-13T10:17:05`.
    pub date: &'a str,
}

impl Envelope<'_> {
    /// The JSON body of `error`: `{"error": {"code", "message", "target"?, "innerError": {"date", "request-id", "client-request-id"}}}`.
    pub fn render(&self, _error: &GraphError) -> Vec<u8> {
        unimplemented!()
    }
}
