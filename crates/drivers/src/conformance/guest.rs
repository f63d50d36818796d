//! Checks of the guest: files, enrolment, and a program from download to exit.

use super::{CheckResult, ConformanceReport, DriverUnderTest, Fixture, Program, must_be};
use crate::{GuestError, Tag};

pub async fn check(subject: &mut dyn DriverUnderTest, report: &mut ConformanceReport) {
    let program = subject.program();
    // Each fixture is dropped before the next check: a fixture holds the driver, and a later check
    // may crash it.
    let files = files(&report.fixture(subject)).await;
    report.add("files".into(), files);
    let not_ready = not_ready(&report.fixture(subject)).await;
    report.add("a guest that is not ready".into(), not_ready);
    let mut fixture = report.fixture(subject);
    let runs = runs(subject, &mut fixture, &program).await;
    report.add("a program".into(), runs);
    let stored_on_disk = stored_on_disk(&report.fixture(subject), &program).await;
    report.add("downloads are stored on the guest's disk".into(), stored_on_disk);
}

async fn files(b: &Fixture) -> CheckResult {
    b.ready().await?;
    let guest = b.guest().await?;
    must_be("an absent file", guest.read_file(&b.absent).await?, None)?;
    for content in [b"one".to_vec(), vec![0, 255, 10, 13], Vec::new()] {
        guest.write_file(&b.file, &content).await?;
        guest.write_file(&b.file, &content).await?;
        must_be("the file", guest.read_file(&b.file).await?, Some(content))?;
    }
    let free = guest.free_disk_bytes().await?;
    must_be(
        "free disk is positive and less than the disk",
        free > 0 && free < u64::from(b.spec.storage_gib) << 30,
        true,
    )?;
    for _ in 0..2 {
        guest.enrol(&b.spec.hostname).await?;
    }
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

async fn not_ready(b: &Fixture) -> CheckResult {
    b.present().await?;
    let guest = b.guest().await?;
    let is_not_ready = |error: &GuestError| matches!(error, GuestError::NotReady(_));
    must_be("reading is refused", guest.read_file(&b.file).await.is_err_and(|e| is_not_ready(&e)), true)?;
    must_be("enrolment is refused", guest.enrol("A").await.is_err_and(|e| is_not_ready(&e)), true)?;
    must_be("running is refused", guest.run(&b.tag, &[]).await.is_err_and(|e| is_not_ready(&e)), true)?;
    b.boot().await?;
    // The same handle works once the guest is ready.
    must_be("an absent file", guest.read_file(&b.file).await?, None)?;
    b.driver.ensure_absent(b.spec.id).await?;
    let gone = guest.wait_ready().await;
    must_be("a guest without a machine is not found", matches!(gone, Err(GuestError::Driver(_))), true)
}

async fn runs(subject: &mut dyn DriverUnderTest, b: &mut Fixture, program: &Program) -> CheckResult {
    b.ready().await?;
    let guest = b.guest().await?;
    let no_file = guest.run(&b.tag, &program.arguments).await;
    must_be("a program that was not fetched", matches!(no_file, Err(GuestError::FileNotFound(_))), true)?;
    guest.reach(&program.url, &program.policy).await?;
    for _ in 0..2 {
        must_be("size", guest.fetch(&b.tag, &program.url, &program.policy).await?, program.size_bytes)?;
    }
    must_be("format", guest.format(&b.tag).await?, program.format)?;
    must_be("digest", guest.sha256(&b.tag).await?, program.sha256)?;
    must_be("nothing is detected yet", guest.detect(&program.detection).await?.code != 0, true)?;
    must_be("exit code", guest.run(&b.tag, &program.arguments).await?.code, 0)?;
    for _ in 0..2 {
        must_be("detection", guest.detect(&program.detection).await?.code, 0)?;
    }
    // After a crash of the service, the file and the exit code are found again under the tag.
    drop(guest);
    subject.restart().await;
    b.driver = subject.driver();
    let guest = b.guest().await?;
    guest.wait_ready().await?;
    must_be("digest", guest.sha256(&b.tag).await?, program.sha256)?;
    must_be("exit code", guest.run(&b.tag, &program.arguments).await?.code, 0)?;
    guest.kill(&b.tag).await?;
    guest.kill(&Tag("nothing".into())).await?;
    for _ in 0..2 {
        guest.clean(&b.tag).await?;
    }
    must_be("the file is gone", matches!(guest.format(&b.tag).await, Err(GuestError::FileNotFound(_))), true)?;
    let mut policy = program.policy.clone();
    policy.size_bytes_max = program.size_bytes - 1;
    let too_large = guest.fetch(&b.tag, &program.url, &policy).await;
    must_be("a file that is too large", matches!(too_large, Err(GuestError::FileNotFound(_))), true)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}

async fn stored_on_disk(b: &Fixture, program: &Program) -> CheckResult {
    b.ready().await?;
    let guest = b.guest().await?;
    guest.fetch(&b.tag, &program.url, &program.policy).await?;
    b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await?;
    b.stop().await?;
    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
    b.driver.ensure_disk_from_image(&b.spec, &b.tag).await?;
    b.boot().await?;
    must_be("a new disk has no file", matches!(guest.format(&b.tag).await, Err(GuestError::FileNotFound(_))), true)?;
    b.stop().await?;
    let again = Tag(format!("{}-again", b.tag));
    b.driver.ensure_disk_aside(b.spec.id, &again).await?;
    b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &again).await?;
    b.boot().await?;
    must_be("a restored disk has the file", guest.format(&b.tag).await?, program.format)?;
    Ok(b.driver.ensure_absent(b.spec.id).await?)
}
