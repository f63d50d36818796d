//! A `cloudpc serve` in a temporary directory.

use cloudpc_graph::client::{Client, Credentials};
use serde_json::Value;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudpc");

/// A service that ends with this value. Its data directory outlives a kill and a restart.
pub struct Service {
    #[expect(dead_code, reason = "it is deleted when this is dropped")]
    directory: TempDir,
    process: Child,
    http: String,
    https: String,
    data: PathBuf,
}

/// Where OpenSSL's programs, and ours, look for authorities.
pub const NO_AUTHORITIES: [(&str, &str); 2] = [("SSL_CERT_FILE", "/nowhere"), ("SSL_CERT_DIR", "/nowhere")];

/// What a client verb did.
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

    /// Starts one in a directory that may hold something already.
    pub fn start_in(directory: TempDir, options: &[&str]) -> Self {
        let data = directory.path().join("data");
        let (process, http, https) = ready(command(&data, options));
        Self { directory, process, http, https, data }
    }

    /// Starts one where a first start was killed after this time.
    pub fn start_after_a_kill(after: Duration, options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let mut first = command(&directory.path().join("data"), options).stdout(Stdio::null()).spawn().unwrap();
        pause(after);
        first.kill().unwrap();
        first.wait().unwrap();
        Self::start_in(directory, options)
    }

    /// Starts one from a shell that has run a command before, such as `umask 0`.
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

    /// Starts one on a host that knows no certificate authorities, as small containers are.
    pub fn start_without_authorities(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        let mut program = command(&data, options);
        program.envs(NO_AUTHORITIES);
        let (process, http, https) = ready(program);
        Self { directory, process, http, https, data }
    }

    /// What the system says of its limits.
    pub fn limits(&self) -> String {
        std::fs::read_to_string(format!("/proc/{}/limits", self.process.id())).unwrap()
    }

    /// Starts one whose data directory is a disk of its own with this many bytes; none if this
    /// environment lets nobody make one.
    pub fn start_on_a_disk_of(bytes: usize, options: &[&str]) -> Option<Self> {
        let directory = tempfile::tempdir().unwrap();
        let data = directory.path().join("data");
        std::fs::create_dir(&data).unwrap();
        let (process, http, https) = ready(on_own_disk(&data, &format!("size={bytes}"), &command(&data, options))?);
        // Only the service sees that disk; its process leads there.
        let data = PathBuf::from(format!("/proc/{}/root{}", process.id(), data.display()));
        Some(Self { directory, process, http, https, data })
    }

    /// Starts one whose data directory is a disk of its own that has no byte left: a first one has
    /// used it, was ended by `signal`, and then the disk was filled. None if this environment lets
    /// nobody make a disk.
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

    /// Starts it again on the same data directory.
    pub fn start_again(&mut self, options: &[&str]) {
        (self.process, self.http, self.https) = ready(command(&self.data, options));
    }

    /// SIGKILL: it gets no chance to do anything more.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to stop; returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        self.ask_to_stop();
        self.wait()
    }

    /// SIGTERM.
    pub fn ask_to_stop(&self) {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
    }

    /// Waits for its end; returns its exit code.
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

    /// Runs a client verb against it, found by its data directory.
    pub fn run(&self, words: &[&str]) -> Run {
        let data = self.data();
        run(&[words, &["--data", data.to_str().unwrap()]].concat(), &[])
    }

    /// Runs a client verb that has to work; returns what it printed as JSON.
    pub fn json(&self, words: &[&str]) -> Value {
        let run = self.run(&[words, &["-o", "json"]].concat());
        assert_eq!(run.exit, 0, "{words:?}: {}", run.err);
        serde_json::from_str(&run.out).unwrap()
    }

    /// A client of it, signed in as its administrator.
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
        // It may be dead already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Runs the program with nothing of the environment but `variables`.
pub fn run(words: &[&str], variables: &[(&str, &str)]) -> Run {
    let output = Command::new(PROGRAM).args(words).env_clear().envs(variables.iter().copied()).output().unwrap();
    Run::from(&output)
}

impl From<&Output> for Run {
    fn from(output: &Output) -> Self {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Self { exit: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
    }
}

/// A program that sees nothing of the environment but where programs and temporary files are.
fn bare(program: &str) -> Command {
    let mut command = Command::new(program);
    let kept = ["PATH", "TMPDIR"].into_iter().filter_map(|name| Some((name, std::env::var_os(name)?)));
    command.env_clear().envs(kept);
    command
}

fn command(data: &Path, options: &[&str]) -> Command {
    let mut command = bare(PROGRAM);
    command.args(["serve", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--data"]).arg(data).args(options);
    command
}

/// A start that is expected to fail, on a data directory that may only be read; none if this
/// environment lets nobody make one.
pub fn run_on_a_read_only_disk() -> Option<Run> {
    let data = tempfile::tempdir().unwrap();
    let output = on_own_disk(data.path(), "ro", &command(data.path(), &[]))?.output().unwrap();
    let mut run = Run::from(&output);
    run.err = run.err.replace(data.path().to_str().unwrap(), "<data>");
    Some(run)
}

/// The program with a new disk at `path` that nobody else sees; none if nobody may make one.
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
        not_run("nobody may mount a disk of their own here (unshare --mount)");
    }
    allowed.then(|| own_disk(program))
}

/// Says that a test cannot run on this machine. Written past the capture of the test runner, since
/// the test passes; and to the file of `scripts/test`, which lists all of these at its end.
fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("NOT RUN: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("CLOUDPC_TEST_NOT_RUN") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Starts it, and returns when it tells where it serves.
fn ready(mut command: Command) -> (Child, String, String) {
    let mut process = command.stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    let mut address = |name: &str| {
        let line = lines.find(|line| line.trim_start().starts_with(name)).expect("it tells where it serves");
        line.split_whitespace().nth(1).unwrap().to_owned()
    };
    let (http, https) = (address("HTTP "), address("HTTPS "));
    // What it prints later must not fill the pipe.
    std::thread::spawn(move || lines.for_each(drop));
    (process, http, https)
}

/// Lets time go by in which another process does something that cannot be seen from here.
pub fn pause(time: Duration) {
    let began = Instant::now();
    while let Some(left) = time.checked_sub(began.elapsed()) {
        std::thread::park_timeout(left);
    }
}
