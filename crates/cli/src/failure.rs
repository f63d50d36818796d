//! How a command can fail, and the exit code that says so.

use std::process::ExitCode;

/// What each exit code means, for `--help`.
pub const EXIT_CODES: &str = "\
Exit codes:
  0  it worked
  1  the action was carried out and did not end well, or something on this computer failed
  2  the command line is wrong
  3  there is no such thing
  4  the service refused, for instance because another action is open on the Cloud PC
  5  not signed in, or not permitted
  6  the service cannot be reached, or failed itself";

/// What kind of failure it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    Failed = 1,
    Usage = 2,
    NotFound = 3,
    Refused = 4,
    NotPermitted = 5,
    Unreachable = 6,
}

/// A failure as it is told to the person at the terminal: what was wrong, where, and what to do.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Failure {
    pub exit: Exit,
    pub message: String,
}

impl Failure {
    pub fn new(exit: Exit, message: impl Into<String>) -> Self {
        Self { exit, message: message.into() }
    }

    /// Something on this computer, not at the service.
    pub fn local(message: impl Into<String>) -> Self {
        Self::new(Exit::Failed, message)
    }

    /// An answer of the service that is an error.
    pub fn answered(status: u16, code: &str, message: &str) -> Self {
        let exit = match status {
            401 | 403 => Exit::NotPermitted,
            404 => Exit::NotFound,
            500 | 502..=599 => Exit::Unreachable,
            _ => Exit::Refused,
        };
        Self::new(exit, format!("{message} ({code})"))
    }

    /// Tells it, and gives the exit code.
    pub fn report(&self) -> ExitCode {
        eprintln!("error: {self}");
        ExitCode::from(self.exit as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_answer_has_its_exit_code() {
        let exits =
            [400, 401, 403, 404, 409, 413, 500, 501, 503].map(|status| Failure::answered(status, "x", "y").exit);
        use Exit::{NotFound, NotPermitted, Refused, Unreachable};
        assert_eq!(
            exits,
            [Refused, NotPermitted, NotPermitted, NotFound, Refused, Refused, Unreachable, Refused, Unreachable]
        );
    }
}
