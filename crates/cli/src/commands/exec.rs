//! `cloudpc exec`

mod environment;
mod trust;

use clap::Args;
use cloudpc_server::edge::proxy::{ByteStream, OpenService, Proxy};
use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsString;
use std::io::{self, IsTerminal as _};
use std::net::Ipv4Addr;
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::ExitCode;
use tokio::net::{TcpListener, TcpStream};
use tokio::process::{Child, Command};
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::commands::exec::environment::Folder;
use crate::connection::SecureAddress;
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc exec -- python3 script.py
  cloudpc exec -- pwsh ./script.ps1
  cloudpc exec -- az login --use-device-code --allow-no-subscriptions
  cloudpc exec --pass-through -- terraform apply

The command sees this service under graph.microsoft.com, login.microsoftonline.com and
management.azure.com. It runs with HTTPS_PROXY and with variables that make the usual runtimes trust
the service: curl, Python, Node, .NET, Go, Java, Git. The exit code is the command's own; 127: the
command cannot be started.";

/// The exit code of shells for a command that cannot be started.
const NOT_STARTED: u8 = 127;

/// Run a program that has Microsoft's host names written into it, against this service
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Exec {
    /// Let the program connect to all other hosts too
    #[arg(long)]
    pass_through: bool,
    /// The program and its arguments
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, required = true, value_name = "COMMAND")]
    command: Vec<OsString>,
}

impl Exec {
    pub async fn run(self, data: Option<PathBuf>) -> Result<ExitCode, CommandError> {
        let service = SecureAddress::find(data)?;
        let local = |error: io::Error| CommandError::local(format!("Cannot start the proxy: {error}."));
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(local)?;
        let proxy_address = socket.local_addr().map_err(local)?;
        let folder = Folder::create(&service, proxy_address)?;
        let proxy = Proxy::new(connect_to(&service)?, self.pass_through);
        tokio::spawn(proxy.serve(socket, CancellationToken::new(), TaskTracker::new()));

        let mut signals = ForwardedSignals::new().map_err(local)?;
        let (program, arguments) = self.command.split_first().expect("clap requires a command");
        let environment = folder.variables(|name| std::env::var_os(name));
        match Command::new(program).args(arguments).envs(environment).spawn() {
            Ok(child) => signals.forward_to(child).await,
            Err(error) => {
                eprintln!("error: Cannot run '{}': {error}.", program.display());
                Ok(ExitCode::from(NOT_STARTED))
            }
        }
    }
}

/// Returns a function that connects a tunnel to the service.
fn connect_to(service: &SecureAddress) -> Result<OpenService, CommandError> {
    let host = service.https.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let port = service.https.port_or_known_default().unwrap_or(443);
    Ok(Box::new(move |_| {
        let host = host.clone();
        Box::pin(async move {
            let stream = TcpStream::connect((host.as_str(), port)).await?;
            stream.set_nodelay(true)?;
            Ok(Box::new(stream) as Box<dyn ByteStream>)
        })
    }))
}

/// Signals that end the child and not this program.
struct ForwardedSignals {
    interrupt: tokio::signal::unix::Signal,
    terminate: tokio::signal::unix::Signal,
    hangup: tokio::signal::unix::Signal,
    /// Whether the terminal sends SIGINT to the child too.
    from_terminal: bool,
}

impl ForwardedSignals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            interrupt: signal(SignalKind::interrupt())?,
            terminate: signal(SignalKind::terminate())?,
            hangup: signal(SignalKind::hangup())?,
            from_terminal: io::stdin().is_terminal(),
        })
    }

    /// Passes signals on until the child has ended; returns its exit code, 128 and the number of
    /// the signal that ended it, as shells do.
    async fn forward_to(&mut self, mut child: Child) -> Result<ExitCode, CommandError> {
        let pid = child.id().and_then(|id| Pid::from_raw(id.cast_signed()));
        let status = loop {
            let signal = tokio::select! {
                status = child.wait() => break status,
                _ = self.interrupt.recv() => if self.from_terminal { None } else { Some(Signal::INT) },
                _ = self.terminate.recv() => Some(Signal::TERM),
                _ = self.hangup.recv() => Some(Signal::HUP),
            };
            if let (Some(pid), Some(signal)) = (pid, signal) {
                // The child may have just ended.
                let _ = kill_process(pid, signal);
            }
        };
        let status = status.map_err(|error| CommandError::local(format!("Cannot wait for the command: {error}.")))?;
        let code = status.code().or_else(|| Some(128 + status.signal()?)).unwrap_or(1);
        Ok(ExitCode::from(u8::try_from(code).unwrap_or(u8::MAX)))
    }
}
