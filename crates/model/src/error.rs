//! The error type of the domain.

use std::error::Error as StdError;

/// The kind of an error, which decides the HTTP status.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// The thing does not exist, or the caller may not see it.
    NotFound,
    /// The request conflicts with the current state.
    Conflict,
    /// The request is invalid.
    Invalid,
    /// The caller may not do this.
    Forbidden,
    /// A dependency is unavailable; a retry may succeed.
    Unavailable,
    /// An internal error of the service.
    Internal,
}

impl ErrorKind {
    /// Whether a retry of the same request may succeed.
    pub fn retryable(self) -> bool {
        match self {
            Self::Unavailable => true,
            Self::NotFound | Self::Conflict | Self::Invalid | Self::Forbidden | Self::Internal => false,
        }
    }
}

/// An error with a message for the caller and a source for the log.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// Kind of the error.
    pub kind: ErrorKind,
    /// Stable code for programs, e.g. `remoteActionInProgress`; `docs/ERRORS.md` lists all.
    pub code: &'static str,
    /// What is wrong, what is allowed and what to do. Never contains a secret.
    pub message: String,
    /// Cause, for the log only.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// Returns an error without a source.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), source: None }
    }

    /// Returns a `ResourceNotFound` error.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, "ResourceNotFound", message)
    }

    /// Returns a `BadRequest` error.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "BadRequest", message)
    }

    /// Returns an `InternalServerError`; the source goes to the log.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Internal,
            code: "InternalServerError",
            message: "The service could not complete the request.".into(),
            source: Some(source.into()),
        }
    }
}
