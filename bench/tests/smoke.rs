//! Smoke test: runs the whole benchmark at small sizes and checks that its table is complete.

use std::process::Command;

#[test]
fn table_has_every_measurement() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cloudpc-bench"))
        .args([
            "--rows",
            "300",
            "--machines",
            "200",
            "--requests",
            "50",
            "--writes",
            "20",
            "--rounds",
            "1",
            "--directory",
        ])
        .arg(directory.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let lines = [
        "a token verified before",
        "start to ready, no fleet",
        "start to ready, 200 Cloud PCs and 300 results",
        "memory, idle",
        "memory of one of 200",
        "constant body",
        "one page of 300 results",
        "all pages of 300 results",
        "last 99 of 300 results",
        "plain first page (anchor), 200 Cloud PCs",
        "page 100: orderby desc, 200 Cloud PCs",
        "$count with $filter: all, 200 Cloud PCs",
        "a page of deployments under way",
        "getCloudPcRemoteActionResults, 100 actions",
        "raw log, 64 clients",
        "reprovisionCloudPc, 256 clients",
        "deployAgent, 1 clients",
    ];
    for line in lines {
        assert!(out.contains(line), "{line} is missing:\n{out}");
    }
}
