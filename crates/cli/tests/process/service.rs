//! A `cloudpc serve` in a temporary directory.

use cloudpc_graph::client::{Client, Credentials};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// File of the log, if it is kept.
const LOG: &str = "log";

/// The variable with the URL of an empty PostgreSQL database, for one service in place of SQLite.
pub const POSTGRES: &str = "CLOUDPC_TEST_POSTGRES";

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudpc");

/// A service that is killed when dropped. Its data directory survives kills and restarts.
pub struct Service {
    directory: TempDir,
    process: Child,
    http: String,
    https: String,
    data: PathBuf,
}

/// Environment in which OpenSSL, and this program, find no certificate authorities.
pub const NO_AUTHORITIES: [(&str, &str); 2] = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];

/// The result of a client verb.
pub struct Run {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Service {
    /// Starts a service on free ports; returns when it is ready.
    pub fn start(options: &[&str]) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), options)
    }

    /// Starts a service in a directory that may already have content.
    pub fn start_in(directory: TempDir, options: &[&str]) -> Self {
        let data = directory.path().join("data");
        let (process, http, https) = ready(command(&data, options));
        Self { directory, process, http, https, data }
    }

    /// Starts a service where a first start was killed after this time.
    pub fn start_after_a_kill(after: Duration, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut first = command(&directory.path().join("data"), options).stdout(Stdio::null()).spawn().unwrap();
        pause(after);
        first.kill().unwrap();
        first.wait().unwrap();
        Self::start_in(directory, options)
    }

    /// Starts a service from a shell that has run another command first, such as `umask 0`.
    pub fn start_after(before: &str, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let program = command(&data, options);
        let mut shell = bare("sh");
        shell.args(["-c", &format!(r#"{before} && exec "$0" "$@""#)]);
        shell.arg(program.get_program()).args(program.get_args());
        let (process, http, https) = ready(shell);
        Self { directory, process, http, https, data }
    }

    /// Starts a service on a host without certificate authorities, such as a small container.
    pub fn start_without_authorities(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let mut program = command(&data, options);
        program.envs(NO_AUTHORITIES);
        let (process, http, https) = ready(program);
        Self { directory, process, http, https, data }
    }

    /// Returns the resource limits of the process, from `/proc`.
    pub fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.process.id())).unwrap()
    }

    /// Starts a service whose data directory is its own disk of this many bytes; none if mounting
    /// is not allowed here.
    pub fn start_on_a_disk_of(bytes: usize, options: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let mut program = on_own_disk(&data, &format!("size={bytes}"), &command(&data, options))?;
        program.stderr(std::fs::File::create(directory.path().join(LOG)).unwrap());
        let (process, http, https) = ready(program);
        // Only the service sees that disk; the path leads through its process.
        let data = PathBuf::from(format!("/proc/{}/root{}", process.id(), data.display()));
        Some(Self { directory, process, http, https, data })
    }

    /// Returns the log of a service on a disk of its own.
    pub fn log(&self) -> String {
        std::fs::read_to_string(self.directory.path().join(LOG)).unwrap()
    }

    /// Starts a service whose data directory is its own full disk: a first service used it and was
    /// ended by `signal`, then the disk was filled. None if mounting is not allowed here.
    pub fn start_on_a_full_disk(bytes: usize, signal: &str, options: &[&str]) -> Option<Self> {
        const FILL: &str = r#"
            "$@" > "$0/out" & first=$!
            until grep -q HTTPS "$0/out"; do sleep 0.05; done
            kill -"$SIGNAL" $first; wait $first
            cat /dev/zero > "$0/filler"
            exec "$@""#;
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let program = command(&data, options);
        let mut shell = Command::new("sh");
        shell.args(["-c", FILL]).arg(&data).arg(program.get_program()).args(program.get_args());
        let mut shell = on_own_disk(&data, &format!("size={bytes}"), &shell)?;
        let (process, http, https) = ready({
            shell.env("SIGNAL", signal);
            shell
        });
        let data = PathBuf::from(format!("/proc/{}/root{}", process.id(), data.display()));
        Some(Self { directory, process, http, https, data })
    }

    /// Starts the service again on the same data directory.
    pub fn start_again(&mut self, options: &[&str]) {
        (self.process, self.http, self.https) = ready(command(&self.data, options));
    }

    /// Kills the service with SIGKILL.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Requests a graceful shutdown; returns the exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.send_sigterm();
        self.wait()
    }

    /// Sends SIGTERM.
    pub fn send_sigterm(&self) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    }

    /// Waits for the service to exit; returns its exit code.
    pub fn wait(&mut self) -> Option<i32> {
        self.process.wait().unwrap().code()
    }

    pub fn data(&self) -> PathBuf {
        self.data.clone()
    }

    /// Host and port of plain HTTP.
    pub fn http(&self) -> &str {
        self.http.trim_start_matches("http://")
    }

    pub fn https(&self) -> &str {
        &self.https
    }

    /// Runs a client verb against the service, found by its data directory.
    pub fn run(&self, arguments: &[&str]) -> Run {
        let data = self.data();
        run(&[arguments, &["--data", data.to_str().unwrap()]].concat(), &[])
    }

    /// Begins a client verb that does not end by itself, with its output in a pipe.
    pub fn begin(&self, arguments: &[&str]) -> Child {
        let mut command = bare(PROGRAM);
        command.args(arguments).arg("--data").arg(self.data()).stdout(Stdio::piped()).spawn().unwrap()
    }

    /// Runs a client verb that must succeed; returns its output as JSON.
    pub fn json(&self, arguments: &[&str]) -> Value {
        let run = self.run(&[arguments, &["-o", "json"]].concat());
        assert_eq!(run.exit, 0, "{arguments:?}: {}", run.err);
        serde_json::from_str(&run.out).unwrap()
    }

    /// Returns a client that is signed in as the administrator.
    pub async fn client(&self) -> Client {
        let admin: Value = serde_json::from_slice(&std::fs::read(self.data().join("admin.json")).unwrap()).unwrap();
        let text = |name: &str| admin[name].as_str().unwrap().to_owned();
        let credentials = Credentials {
            tenant_id: text("tenantId"),
            client_id: text("clientId"),
            client_secret: text("clientSecret"),
        };
        Client::sign_in(&self.http, credentials, None).await.unwrap()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        // The process may have exited already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the program with only `variables` in its environment.
pub fn run(arguments: &[&str], variables: &[(&str, &str)]) -> Run {
    let output = Command::new(PROGRAM).args(arguments).env_clear().envs(variables.iter().copied()).output().unwrap();
    Run::from(&output)
}

impl From<&Output> for Run {
    fn from(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { exit: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// Returns a command with only the paths of programs and temporary files in its environment.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    let kept = ["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept);
    command
}

fn command(data: &Path, options: &[&str]) -> Command {
    let mut command = bare(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--data"]).arg(data).args(options);
    if let Ok(url) = std::env::var(POSTGRES) {
        let config = data.with_extension("toml");
        std::fs::write(&config, format!("[store]\nurl = {url:?}\n")).unwrap();
        command.arg("--config").arg(config);
    }
    command
}

/// Runs a start on a read-only data directory, which is expected to fail; none if mounting is not
/// allowed here.
pub fn run_on_a_read_only_disk() -> Option<Run> {
    let data = tempfile::tempdir().unwrap();
    let output = on_own_disk(data.path(), "ro", &command(data.path(), &[]))?.output().unwrap();
    let mut run = Run::from(&output);
    run.err = run.err.replace(data.path().to_str().unwrap(), "<data>");
    Some(run)
}

/// Returns the program's command with a private new disk at `path`; none if mounting is not allowed
/// here.
fn on_own_disk(path: &Path, mount_options: &str, program: &Command) -> Option<Command> {
    let mount = r#"mount -t tmpfs -o "$0" tmpfs "$1" && shift && exec "$@""#;
    let own_disk = |program: &Command| {
        let mut unshare = bare("unshare");
        unshare.args(["--mount", "--map-root-user", "sh", "-c", mount, mount_options]).arg(path);
        unshare.arg(program.get_program()).args(program.get_args());
        unshare
    };
    let allowed = own_disk(&Command::new("true")).status().is_ok_and(|status| status.success());
    if !allowed {
        not_run("mounting a disk is not allowed here (unshare --mount)");
    }
    allowed.then(|| own_disk(program))
}

/// Reports that a test cannot run on this machine. Writes past the output capture of the test
/// runner, because the test passes, and to the file of `scripts/test`, which lists all of these at
/// the end.
fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("NOT RUN: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("CLOUDPC_TEST_NOT_RUN") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Starts the program, and returns when it has printed its addresses.
fn ready(mut command: Command) -> (Child, String, String) {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut address = |name: &str| {
        let line = lines.find(|line| line.trim_start().starts_with(name)).expect("the service prints its addresses");
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let (http, https) = (address("HTTP "), address("HTTPS "));
    // Later output must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (process, http, https)
}

/// Waits while another process does something that cannot be observed from here.
pub fn pause(time: Duration) {
    let started = Instant::now();
    while let Some(remaining) = time.checked_sub(started.elapsed()) {
        std::thread::park_timeout(remaining);
    }
}
