//! A `cloudpc serve` in a temporary directory.

use cloudpc_graph::client::{Client, Credentials};
use serde_json::Value;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use tempfile::TempDir;

const PROGRAM: &str = env!("CARGO_BIN_EXE_cloudpc");

/// A service that ends with this value. Its data directory outlives a kill and a restart.
pub struct Service {
    directory: TempDir,
    process: Child,
    http: String,
    https: String,
}

/// What a client verb did.
pub struct Run {
    pub exit: i32,
    pub out: String,
    pub err: String,
}

impl Service {
    /// Starts a service on free ports; returns when it is ready.
    pub fn start(options: &[&str]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (process, http, https) = spawn(&directory.path().join("data"), options);
        Self { directory, process, http, https }
    }

    /// Starts it again on the same data directory.
    pub fn start_again(&mut self, options: &[&str]) {
        (self.process, self.http, self.https) = spawn(&self.data(), options);
    }

    /// SIGKILL: it gets no chance to do anything more.
    pub fn kill(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    /// Asks it to stop; returns its exit code.
    pub fn stop(&mut self) -> Option<i32> {
        let process = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &process]).status().unwrap().success());
        self.process.wait().unwrap().code()
    }

    pub fn data(&self) -> PathBuf {
        self.directory.path().join("data")
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
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    Run { exit: output.status.code().unwrap(), out: text(&output.stdout), err: text(&output.stderr) }
}

fn spawn(data: &Path, options: &[&str]) -> (Child, String, String) {
    let mut process = Command::new(PROGRAM)
        .args(["serve", "--listen", "127.0.0.1:0", "--tls-listen", "127.0.0.1:0", "--data"])
        .arg(data)
        .args(options)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
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
