//! The whole benchmark at sizes that take seconds: what it drives is still there, and its table has every line.

use std::process::Command;

#[test]
fn everything_is_measured() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cloudpc-bench"))
        .args(["--rows", "300", "--machines", "60", "--requests", "50", "--rounds", "1", "--directory"])
        .arg(directory.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let lines = [
        "ready, without a fleet",
        "ready, 60 Cloud PCs and 300 results",
        "memory of an idle server",
        "memory of one of 60",
        "constant body",
        "hot page out of 300",
        "finished pages at random out of 300",
    ];
    for line in lines {
        assert!(out.contains(line), "{line} is missing:\n{out}");
    }
}
