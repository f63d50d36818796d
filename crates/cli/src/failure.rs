//! Failures of commands and their exit codes.

use std::process::ExitCode;

/// The exit codes, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  success
  1  the action failed, or a local error occurred
  2  invalid command line
  3  not found
  4  the service refused the request, for example because another action is in progress
  5  not signed in, or permission denied
  6  the service is unreachable or failed";

/// The exit code of a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum ExitStatus {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    NotPermitted = 5,
    Unreachable = 6,
}

/// A failure as printed to the terminal: what is wrong, where, and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct CommandError {
    pub exit: ExitStatus,
    pub message: String,
}

impl CommandError {
    pub fn new(exit: ExitStatus, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// A local failure, not one of the service.
    pub fn local(message: impl Into<String>) -> Self {
        Self::new(ExitStatus::Failed, message)
    }

    /// An error response of the service.
    pub fn answered(status: u16, code: &str, message: &str) -> Self {
        let exit = match status {
            401 | 403 => ExitStatus::NotPermitted,
            404 => ExitStatus::NotFound,
            500 | 502..=599 => ExitStatus::Unreachable,
            _ => ExitStatus::Refused,
        };
        Self::new(exit, format!("{message} ({code})"))
    }

    /// Prints the failure to standard error and returns the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        ExitCode::from(self.exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn status_codes_map_to_exit_codes() {
        let exits =
            [400, 401, 403, 404, 409, 413, 500, 501, 503].map(|status| CommandError::answered(status, "x", "y").exit);
        use ExitStatus::{NotFound, NotPermitted, Refused, Unreachable};
        assert_eq!(
            exits,
            [Refused, NotPermitted, NotPermitted, NotFound, Refused, Refused, Unreachable, Refused, Unreachable]
        );
    }
}
