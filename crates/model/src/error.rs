//! The one error that crosses from the domain to a caller.

use std::error::Error as StdError;

/// What kind of trouble it is, and so who is expected to do something about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// There is no such thing, or the caller may not see it.
    NotFound,
    /// It does not fit the present state of the thing.
    Conflict,
    /// The request itself is wrong.
    Invalid,
    /// The caller may not do this.
    Forbidden,
    /// Something that is needed does not answer; trying again later may help.
    Unavailable,
    /// Our fault.
    Internal,
}

impl ErrorKind {
    /// Whether the same request may succeed later without being changed.
    pub fn retryable(self) -> bool {
        match self {
            Self::Unavailable => true,
            Self::NotFound | Self::Conflict | Self::Invalid | Self::Forbidden | Self::Internal => false,
        }
    }
}

/// An error with a message that a stranger may read, and a source that only the log may.
#[derive(Debug, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// The kind.
    pub kind: ErrorKind,
    /// A stable name for programs, e.g. `remoteActionInProgress`; each is listed in `docs/ERRORS.md`.
    pub code: &'static str,
    /// What was wrong, where, and what to do. Never a secret.
    pub message: String,
    /// The cause, for the log.
    #[source]
    pub source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error without a cause of its own.
    pub fn new(kind: ErrorKind, code: &'static str, message: impl Into<String>) -> Self {
        Self { kind, code, message: message.into(), source: None }
    }

    /// No such thing.
    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::NotFound, "ResourceNotFound", message)
    }

    /// A wrong request.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Invalid, "BadRequest", message)
    }

    /// Our fault; the cause goes to the log.
    pub fn internal(source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self {
            kind: ErrorKind::Internal,
            code: "InternalServerError",
            message: "The service could not complete the request.".into(),
            source: Some(source.into()),
        }
    }
}
