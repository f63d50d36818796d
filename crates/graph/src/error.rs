//! Errors in Graph's format.

use serde::Serialize;
use std::time::Duration;

use crate::Method;

/// An error to be sent to a client.
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
    /// Methods that the path supports, for the `Allow` header of 405.
    pub allow: Vec<Method>,
    /// When the client may try again, for the `Retry-After` header.
    pub retry_after: Option<Duration>,
}

impl GraphError {
    /// Returns an error without a target.
    pub fn new(status: u16, code: impl Into<String>, message: impl Into<String>) -> Self {
        Self { status, code: code.into(), message: message.into(), target: None, allow: Vec::new(), retry_after: None }
    }

    /// Returns a 400 `BadRequest` error.
    pub fn bad_request(message: impl Into<String>) -> Self {
        Self::new(400, "BadRequest", message)
    }

    /// Returns the error with a target.
    pub fn about(mut self, target: impl Into<String>) -> Self {
        self.target = Some(target.into());
        self
    }
}

/// Values of the error envelope other than the error.
#[derive(Clone, Debug)]
pub struct ErrorEnvelope<'a> {
    /// `request-id`
    pub request_id: &'a str,
    /// `client-request-id`
    pub client_request_id: &'a str,
    /// `date`, in whole seconds without a zone: `2025-02-13T10:17:05`.
    pub date: &'a str,
}

impl ErrorEnvelope<'_> {
    /// Returns the JSON body of an error: `{"error": {"code", "message", "target"?, "innerError":
    /// {"date", "request-id", "client-request-id"}}}`.
    pub fn render(&self, error: &GraphError) -> Vec<u8> {
        #[derive(Serialize)]
        struct Body<'a> {
            error: Outer<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "camelCase")]
        struct Outer<'a> {
            code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            target: Option<&'a str>,
            inner_error: InnerError<'a>,
        }
        #[derive(Serialize)]
        #[serde(rename_all = "kebab-case")]
        struct InnerError<'a> {
            date: &'a str,
            request_id: &'a str,
            client_request_id: &'a str,
        }
        let body = Body {
            error: Outer {
                code: &error.code,
                message: &error.message,
                target: error.target.as_deref(),
                inner_error: InnerError {
                    date: self.date,
                    request_id: self.request_id,
                    client_request_id: self.client_request_id,
                },
            },
        };
        serde_json::to_vec(&body).expect("text always becomes JSON")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn envelope() -> ErrorEnvelope<'static> {
        ErrorEnvelope {
            request_id: "0f5a1f3c-0000-4000-8000-000000000001",
            client_request_id: "0f5a1f3c-0000-4000-8000-000000000002",
            date: "2025-02-13T10:17:05",
        }
    }

    fn rendered(error: &GraphError) -> String {
        String::from_utf8(envelope().render(error)).unwrap()
    }

    #[test]
    fn renders_an_error_with_a_target() {
        let error = GraphError::bad_request("There is no \"colour\".").about("colour");
        insta::assert_snapshot!(rendered(&error), @r#"{"error":{"code":"BadRequest","message":"There is no \"colour\".","target":"colour","innerError":{"date":"2025-02-13T10:17:05","request-id":"0f5a1f3c-0000-4000-8000-000000000001","client-request-id":"0f5a1f3c-0000-4000-8000-000000000002"}}}"#);
    }

    #[test]
    fn renders_an_error_without_a_target() {
        let error = GraphError::new(404, "ResourceNotFound", "There is no such Cloud PC.");
        insta::assert_snapshot!(rendered(&error), @r#"{"error":{"code":"ResourceNotFound","message":"There is no such Cloud PC.","innerError":{"date":"2025-02-13T10:17:05","request-id":"0f5a1f3c-0000-4000-8000-000000000001","client-request-id":"0f5a1f3c-0000-4000-8000-000000000002"}}}"#);
    }
}
