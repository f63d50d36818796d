//! The script that runs all tests.

use std::fs;
use std::path::Path;
use std::process::Command;

#[test]
fn a_failing_part_does_not_stop_the_others_and_skipped_tests_are_listed() {
    let parts = tempfile::tempdir().unwrap();
    let scripts = [
        ("fails", "exit 1"),
        ("cannot", "exit 3"),
        ("passes", "echo 'NOT RUN: some::test: it needs a bridge' >> \"$CLOUDPC_TEST_NOT_RUN\""),
    ];
    let commands = scripts.map(|(name, text)| {
        fs::write(parts.path().join(name), text).unwrap();
        format!("sh {}", parts.path().join(name).display())
    });
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scripts/test");
    let run = |commands: &[String]| Command::new("bash").arg(&script).args(commands).output().unwrap();
    let all = run(&commands);
    let printed = String::from_utf8(all.stdout).unwrap();
    let (_, table) = printed.split_once("== summary ==\n").unwrap();
    let rows: Vec<_> = table.lines().map(|row| row.trim_end_matches(|c: char| " s0123456789".contains(c))).collect();
    let expected = [
        "  fails          FAILED",
        "  cannot         NOT RUN",
        "  passes         passed",
        "      NOT RUN: some::test: it needs a bridge",
    ];
    assert_eq!(rows, expected);
    assert_eq!(all.status.code(), Some(1));
    assert_eq!(run(&commands[1..]).status.code(), Some(0), "a test that cannot run is not a failure");
}
