//! The channel into a guest: what an agent in the guest does for the service.

use async_trait::async_trait;
use serde_json::Value;
use tokio::io::AsyncRead;

use crate::{DriverError, GuestError};

/// The result of a program in the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandOutput {
    /// The exit code, or 128 and the signal that killed the program.
    pub code: i64,
    pub out: Vec<u8>,
    pub err: String,
}

/// Runs programs and moves files in a guest. The operations that [`Guest`](crate::Guest) promises
/// are built from these; see [`AgentGuest`](super::AgentGuest).
#[async_trait]
pub trait AgentChannel: Send + Sync {
    /// Checks that the guest responds.
    async fn ping(&self) -> Result<(), GuestError>;

    /// Runs a program and waits for its end.
    async fn run(&self, program: &str, arguments: &[String]) -> Result<CommandOutput, GuestError>;

    /// Reads the first bytes of a file; none if it does not exist.
    async fn read(&self, path: &str, bytes_max: usize) -> Result<Option<Vec<u8>>, GuestError>;

    /// Writes a file, replacing the old one.
    async fn write(&self, path: &str, content: &[u8]) -> Result<(), GuestError> {
        self.stream(path, &mut &content[..]).await
    }

    /// Writes a file of any size as its content arrives, replacing the old one.
    async fn stream(&self, path: &str, content: &mut (dyn AsyncRead + Send + Unpin)) -> Result<(), GuestError>;

    /// Returns the free space on the system disk, bytes.
    async fn free_disk_bytes(&self) -> Result<u64, GuestError>;
}

/// Returns the error for a response that cannot be understood.
pub fn unexpected_response(command: &str, response: &Value) -> GuestError {
    let response: String = response.to_string().chars().take(200).collect();
    DriverError::Unavailable(format!("the guest agent sent an unexpected response to {command}: {response}")).into()
}
