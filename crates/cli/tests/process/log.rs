//! The log follows the configuration.

use serde_json::Value;
use std::io::{BufRead as _, BufReader};
use std::process::{Command, Stdio};

use crate::service::run;

#[test]
fn the_log_follows_the_configuration() {
    let directory = tempfile::tempdir().unwrap();
    let (config, data) = (directory.path().join("config.toml"), directory.path().join("data"));
    std::fs::write(&config, "[log]\nfilter = \"info\"\nformat = \"json\"\n").unwrap();
    let mut process = Command::new(env!("CARGO_BIN_EXE_cloudpc"))
        .args(["serve", "--listen", "127.0.0.1:0", "--tls-listen", "off", "--config"])
        .arg(&config)
        .arg("--data")
        .arg(&data)
        .env_clear()
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let output = BufReader::new(process.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(output.take_while(|line| !line.is_empty()).any(|line| line.contains("is ready")));
    let mut log = BufReader::new(process.stderr.take().unwrap()).lines().map(Result::unwrap);

    assert_eq!(run(&["list", "--data", data.to_str().unwrap()], &[]).exit, 0);
    let line = log.find(|line| line.contains("cloudPC.list")).unwrap();
    let line: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&line["level"], &line["fields"]["status"]), (&"INFO".into(), &200.into()), "{line}");
    process.kill().unwrap();
    process.wait().unwrap();
}

#[test]
fn an_invalid_log_filter_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let config = directory.path().join("config.toml");
    std::fs::write(&config, "[log]\nfilter = \"loudly=maybe\"\n").unwrap();
    let serve = ["serve", "--config", config.to_str().unwrap()];
    let refused = run(&serve, &[]);
    assert_eq!(refused.exit, 2);
    insta::assert_snapshot!(refused.err, @r#"error: Invalid log.filter in the configuration file: error parsing level filter: expected one of "off", "error", "warn", "info", "debug", "trace", or a number 0-5."#);
    assert_eq!(run(&serve, &[("RUST_LOG", "nobody=ever")]).exit, 2);
}
