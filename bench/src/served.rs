//! The measured process: the server as `cloudpc serve` runs it, and the anchors next to it.

use clap::Args;
use cloudpc_server::config::Config;
use cloudpc_server::start::{DriverKind, Server, StartOptions};
use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use tokio::net::TcpListener;
use tracing_subscriber::EnvFilter;

use crate::{BenchError, anchors};

/// Options of the measured process.
#[derive(Debug, Args)]
pub struct Serve {
    /// Data directory of the server.
    #[arg(long)]
    data: PathBuf,
    /// Scenario for the first start.
    #[arg(long)]
    scenario: Option<PathBuf>,
    /// Also serve the anchors.
    #[arg(long)]
    anchors: bool,
    /// Run real machines instead of simulated ones.
    #[arg(long)]
    machines: bool,
}

/// Start of the line that tells the parent the server's address.
pub const READY: &str = "serving at";

impl Serve {
    /// Serves until standard input is closed: when the parent ends or stops the server.
    pub fn run(self) -> Result<(), BenchError> {
        if !self.machines {
            crate::server::pin_to_core(0);
        }
        // Logs like the program, so that the cost of logging is included.
        let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("warn"));
        tracing_subscriber::fmt().json().with_env_filter(filter).with_writer(std::io::stderr).init();
        tokio::runtime::Runtime::new()?.block_on(Box::pin(self.serve()))
    }

    async fn serve(self) -> Result<(), BenchError> {
        let any_port = SocketAddr::from((Ipv4Addr::LOCALHOST, 0));
        let scenario = self.scenario.map(std::fs::read_to_string).transpose()?;
        let options = StartOptions {
            data: self.data.clone(),
            listen: Some(any_port),
            tls_listen: Some(any_port),
            config: Config::default(),
            scenario,
            driver: if self.machines { DriverKind::Qemu } else { DriverKind::Sim },
            proxy: None,
        };
        let server = Server::start(options).await?;
        let address = server.http_address().ok_or("plain HTTP is served")?;
        let anchor_address = if self.anchors {
            let listener = TcpListener::bind(any_port).await?;
            let address = listener.local_addr()?;
            let directory = self.data.clone();
            tokio::spawn(async move { anchors::serve(listener, &directory).await });
            address
        } else {
            address
        };
        let mut out = std::io::stdout();
        writeln!(out, "{READY} {address} {anchor_address}")?;
        out.flush()?;
        let closed = tokio::task::spawn_blocking(|| std::io::copy(&mut std::io::stdin(), &mut std::io::sink()));
        closed.await??;
        server.stop().await;
        Ok(())
    }
}
