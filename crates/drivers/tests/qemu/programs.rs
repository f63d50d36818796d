//! Programs in a guest: success, failure, no end, and crashes of the service or the machine.

use cloudpc_drivers::{FetchPolicy, FileFormat, Guest, GuestError, ProgramExit, Tag};
use std::time::Duration;

use crate::test_bed::{TestBed, spec, wait_ready};
use crate::web;

pub async fn fetch(guest: &dyn Guest, tag: &Tag, content: &[u8]) {
    let url = web::serve(content.to_vec()).await;
    let policy =
        FetchPolicy { allowed_urls: vec![url.clone()], size_bytes_max: 64 << 20, time_max: Duration::from_secs(30) };
    let url = url.parse().unwrap();
    guest.reach(&url, &policy).await.unwrap();
    assert_eq!(guest.fetch(tag, &url, &policy).await.unwrap(), content.len() as u64);
}

/// Drops a run as soon as it has created a file.
async fn drop_when(guest: &dyn Guest, file: &str, run: impl Future<Output = Result<ProgramExit, GuestError>>) {
    let there = async {
        while guest.read_file(file).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        exit = run => panic!("the program ended early: {exit:?}"),
        () = there => {}
    }
}

async fn run_script(guest: &dyn Guest, tag: &str, script: &str, arguments: &[&str]) -> Result<ProgramExit, GuestError> {
    let tag = Tag(tag.into());
    fetch(guest, &tag, format!("#!/bin/sh\n{script}\n").as_bytes()).await;
    let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
    guest.run(&tag, &arguments).await
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn programs_succeed_fail_and_hang() {
    let bed = TestBed::new();
    let guest = bed.ready(&spec(1)).await;
    let guest = &*guest;
    let exit = |code, output: &str| Ok(ProgramExit { code, output: output.into() });

    let odd = r#"a b"c'd$e\"#;
    assert_eq!(
        run_script(guest, "good", "echo \"<$1>\" \"<$2>\"; echo err >&2", &[odd, ""]).await,
        exit(0, &format!("<{odd}> <>\nerr\n"))
    );
    assert_eq!(run_script(guest, "bad", "exit 42", &[]).await, exit(42, ""));
    assert_eq!(run_script(guest, "killed", "kill -9 $$", &[]).await.unwrap().code, 137);
    assert_eq!(run_script(guest, "once", "echo x >> /var/lib/once; wc -l < /var/lib/once", &[]).await, exit(0, "1\n"));
    assert_eq!(guest.run(&Tag("once".into()), &[]).await, exit(0, "1\n"), "a program must not run again");
    // A program has exited even if it leaves a daemon that holds its output open.
    assert_eq!(run_script(guest, "daemon", "sleep 1000 & echo begun", &[]).await, exit(0, "begun\n"));

    let page = Tag("page".into());
    fetch(guest, &page, b"<!DOCTYPE html>").await;
    assert_eq!(guest.format(&page).await, Ok(FileFormat::Unknown));
    let program = std::fs::read("/bin/true").unwrap();
    let elf = Tag("../elf; x".into());
    fetch(guest, &elf, &program).await;
    assert_eq!(guest.format(&elf).await, Ok(FileFormat::Elf));

    // Only the end of the output is kept.
    let much =
        run_script(guest, "much", "i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i + 1)); done; echo end", &[])
            .await;
    let output = much.unwrap().output;
    assert!(output.len() == 16384 && output.ends_with("0123456789\nend\n"), "{}", output.len());

    let hang = Tag("hang".into());
    let script = "sleep 1000 & echo $! > /var/lib/child; touch /var/lib/hangs; sleep 1000";
    drop_when(guest, "/var/lib/hangs", run_script(guest, &hang.0, script, &[])).await;
    let child = String::from_utf8(guest.read_file("/var/lib/child").await.unwrap().unwrap()).unwrap();
    let status = format!("/proc/{}/stat", child.trim());
    assert!(guest.read_file(&status).await.unwrap().is_some(), "the child is running");
    for _ in 0..2 {
        guest.kill(&hang).await.unwrap();
    }
    let state = guest.read_file(&status).await.unwrap().unwrap_or_default();
    let dead = state.is_empty() || String::from_utf8_lossy(&state).contains(" Z ");
    assert!(dead, "the child was killed too: {}", String::from_utf8_lossy(&state));
    assert_eq!(guest.run(&hang, &[]).await, exit(137, ""));
    guest.clean(&hang).await.unwrap();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn a_program_survives_the_service_but_not_its_machine() {
    let mut bed = TestBed::new();
    let (spec, tag) = (spec(1), Tag("action-1".into()));
    let script =
        "echo x >> /var/lib/begun; while [ ! -e /var/lib/go ]; do sleep 0.2; done; wc -l < /var/lib/begun; exit 5";
    let guest = bed.ready(&spec).await;
    drop_when(&*guest, "/var/lib/begun", run_script(&*guest, &tag.0, script, &[])).await;
    drop(guest);
    bed.restart();
    let guest = bed.guest(&spec).await;
    wait_ready(&*guest).await;
    guest.write_file("/var/lib/go", b"").await.unwrap();
    assert_eq!(guest.run(&tag, &[]).await, Ok(ProgramExit { code: 5, output: "1\n".into() }), "started once");

    let again = Tag("action-2".into());
    let script = "echo x >> /var/lib/again; [ -e /var/lib/second ] && exit 0; touch /var/lib/second; sleep 1000";
    drop_when(&*guest, "/var/lib/second", run_script(&*guest, &again.0, script, &[])).await;
    // Sync, so that the file survives the power cut.
    let sync = run_script(&*guest, "sync", "sync", &[]).await.unwrap();
    assert_eq!(sync.code, 0);
    bed.signal(&spec, "-KILL");
    let guest = bed.boot(&spec).await;
    let lost = guest.run(&again, &[]).await;
    assert!(matches!(&lost, Err(GuestError::NotReady(why)) if why.contains("was restarted")), "{lost:?}");
    assert_eq!(guest.run(&again, &[]).await.unwrap().code, 0, "the program can be started again");
}
