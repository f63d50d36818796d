//! Programs that really run inside: to their end, to a bad end, without an end, and over the death
//! of whoever began them.

use cloudpc_drivers::{FetchPolicy, FileFormat, Guest, GuestError, ProgramExit, Tag};
use std::time::Duration;

use crate::bed::{Bed, spec, wait_ready};
use crate::web;

pub async fn fetched(guest: &dyn Guest, tag: &Tag, content: &[u8]) {
    let url = web::serve(content.to_vec()).await;
    let policy =
        FetchPolicy { allowed_urls: vec![url.clone()], size_bytes_max: 64 << 20, time_max: Duration::from_secs(30) };
    let url = url.parse().unwrap();
    guest.reach(&url, &policy).await.unwrap();
    assert_eq!(guest.fetch(tag, &url, &policy).await.unwrap(), content.len() as u64);
}

/// Drops a run when a file is there that it makes.
async fn dropped_when(guest: &dyn Guest, file: &str, run: impl Future<Output = Result<ProgramExit, GuestError>>) {
    let there = async {
        while guest.read_file(file).await.unwrap().is_none() {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::select! {
        exit = run => panic!("it has ended: {exit:?}"),
        () = there => {}
    }
}

async fn ran(guest: &dyn Guest, tag: &str, script: &str, arguments: &[&str]) -> Result<ProgramExit, GuestError> {
    let tag = Tag(tag.into());
    fetched(guest, &tag, format!("#!/bin/sh\n{script}\n").as_bytes()).await;
    let arguments: Vec<_> = arguments.iter().map(|word| (*word).to_owned()).collect();
    guest.run(&tag, &arguments).await
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn programs_end_well_and_badly_and_not_at_all() {
    let bed = Bed::new();
    let guest = bed.ready(&spec(1)).await;
    let guest = &*guest;
    let exit = |code, output: &str| Ok(ProgramExit { code, output: output.into() });

    let odd = r#"a b"c'd$e\"#;
    assert_eq!(
        ran(guest, "good", "echo \"<$1>\" \"<$2>\"; echo err >&2", &[odd, ""]).await,
        exit(0, &format!("<{odd}> <>\nerr\n"))
    );
    assert_eq!(ran(guest, "bad", "exit 42", &[]).await, exit(42, ""));
    assert_eq!(ran(guest, "killed", "kill -9 $$", &[]).await.unwrap().code, 137);
    assert_eq!(ran(guest, "once", "echo x >> /var/lib/once; wc -l < /var/lib/once", &[]).await, exit(0, "1\n"));
    assert_eq!(guest.run(&Tag("once".into()), &[]).await, exit(0, "1\n"), "it is not run again");
    // One that leaves a daemon behind, which holds on to its output, has ended.
    assert_eq!(ran(guest, "daemon", "sleep 1000 & echo begun", &[]).await, exit(0, "begun\n"));

    let page = Tag("page".into());
    fetched(guest, &page, b"<!DOCTYPE html>").await;
    assert_eq!(guest.format(&page).await, Ok(FileFormat::Unknown));
    let program = std::fs::read("/bin/true").unwrap();
    let elf = Tag("../elf; x".into());
    fetched(guest, &elf, &program).await;
    assert_eq!(guest.format(&elf).await, Ok(FileFormat::Elf));

    // The end of what was printed is kept, and no more.
    let much =
        ran(guest, "much", "i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i + 1)); done; echo end", &[]).await;
    let output = much.unwrap().output;
    assert!(output.len() == 16384 && output.ends_with("0123456789\nend\n"), "{}", output.len());

    let hang = Tag("hang".into());
    let script = "sleep 1000 & echo $! > /var/lib/child; touch /var/lib/hangs; sleep 1000";
    dropped_when(guest, "/var/lib/hangs", ran(guest, &hang.0, script, &[])).await;
    let child = String::from_utf8(guest.read_file("/var/lib/child").await.unwrap().unwrap()).unwrap();
    let status = format!("/proc/{}/stat", child.trim());
    assert!(guest.read_file(&status).await.unwrap().is_some(), "the child runs");
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
async fn a_program_goes_on_without_us_but_not_without_its_machine() {
    let mut bed = Bed::new();
    let (spec, tag) = (spec(1), Tag("action-1".into()));
    let script =
        "echo x >> /var/lib/begun; while [ ! -e /var/lib/go ]; do sleep 0.2; done; wc -l < /var/lib/begun; exit 5";
    let guest = bed.ready(&spec).await;
    dropped_when(&*guest, "/var/lib/begun", ran(&*guest, &tag.0, script, &[])).await;
    drop(guest);
    bed.restart();
    let guest = bed.guest(&spec).await;
    wait_ready(&*guest).await;
    guest.write_file("/var/lib/go", b"").await.unwrap();
    assert_eq!(guest.run(&tag, &[]).await, Ok(ProgramExit { code: 5, output: "1\n".into() }), "begun once");

    let again = Tag("action-2".into());
    let script = "echo x >> /var/lib/again; [ -e /var/lib/second ] && exit 0; touch /var/lib/second; sleep 1000";
    dropped_when(&*guest, "/var/lib/second", ran(&*guest, &again.0, script, &[])).await;
    // So that the disk has it when the power is cut.
    let sync = ran(&*guest, "sync", "sync", &[]).await.unwrap();
    assert_eq!(sync.code, 0);
    bed.signal(&spec, "-KILL");
    let guest = bed.boot(&spec).await;
    let lost = guest.run(&again, &[]).await;
    assert!(matches!(&lost, Err(GuestError::NotReady(why)) if why.contains("was restarted")), "{lost:?}");
    assert_eq!(guest.run(&again, &[]).await.unwrap().code, 0, "then it may be begun anew");
}
