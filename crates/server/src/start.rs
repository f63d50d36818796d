//! The composition root: from options to a running server.

use std::net::SocketAddr;
use std::path::PathBuf;

/// What `cloudpc serve` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The data directory.
    pub data: PathBuf,
    /// Plain HTTP; none: not served.
    pub listen: Option<SocketAddr>,
    /// HTTPS; none: not served.
    pub tls_listen: Option<SocketAddr>,
    /// Configuration file.
    pub config: Option<PathBuf>,
    /// The scenario's text to load if the data directory is new.
    pub scenario: Option<String>,
}

/// A running server.
pub struct Server {}

/// Why a server did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {}

impl Server {
    /// Opens the data directory, makes what a first start needs, binds the addresses and begins to serve and to run actions.
    pub async fn start(_options: Options) -> Result<Self, StartError> {
        unimplemented!()
    }

    /// Where it serves plain HTTP.
    pub fn http_address(&self) -> Option<SocketAddr> {
        unimplemented!()
    }

    /// Where it serves HTTPS.
    pub fn https_address(&self) -> Option<SocketAddr> {
        unimplemented!()
    }

    /// Stops claiming, answers open requests, lets the current steps end within a grace time.
    pub async fn stop(self) {
        unimplemented!()
    }
}
