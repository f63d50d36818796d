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

#[test]
fn table_of_actions_has_every_measurement() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cloudpc-bench"))
        .args(["actions", "--count", "20", "--machines", "30", "--directory"])
        .arg(directory.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    for line in [
        "accepting 20 reprovisions",
        "running 20 reprovisions, each",
        "accepted and ended, 20 reprovisions",
        "advancing until 20 reprovisions have ended",
        "start to ready, 30 Cloud PCs, 3 with an action",
        "memory, 30 Cloud PCs",
        "a page of 30 quiet Cloud PCs",
        "a page beside the actions",
    ] {
        assert!(out.contains(line), "{line} is missing:\n{out}");
    }
}

#[test]
fn table_of_lists_compares_the_fleets() {
    let directory = tempfile::tempdir().unwrap();
    let output = Command::new(env!("CARGO_BIN_EXE_cloudpc-bench"))
        .args(["lists", "--machines", "200", "--machines", "300", "--requests", "5", "--rounds", "1", "--directory"])
        .arg(directory.path())
        .output()
        .unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{err}");
    let cells = |line: &str| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let header = out.lines().next().map(cells).unwrap();
    assert_eq!(header[1..9], ["list", "200 Cloud PCs", "pages", "300 Cloud PCs", "pages", "growth", "goal", "met"]);
    for list in [
        "plain first page",
        "startswith: one in 1,000",
        "contains: none",
        "eq, orderby: all",
        "page 100: orderby desc",
        "count: and, all",
        "scan: filter without an index, none",
    ] {
        assert!(out.lines().any(|line| cells(line)[1] == list), "{list} is missing:\n{out}");
    }
}
