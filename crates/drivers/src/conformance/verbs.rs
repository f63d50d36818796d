//! Checks every verb in every mode: once, twice, concurrently, dropped, and across a crash of the
//! driver.

use cloudpc_model::{ImageId, Power};
use futures_util::future::{BoxFuture, join};
use std::future::poll_fn;
use std::task::Poll;

use super::{
    CallMode, CallPhase, CheckFailure, CheckResult, CheckStep, ConformanceReport, DriverUnderTest, Fixture, must_be,
};
use crate::{DriverError, MachineSpec, StopMode, Tag};

/// Growth of the disk in [`larger`], bytes.
const GROWTH_BYTES: u64 = 1 << 30;

struct Case {
    name: &'static str,
    /// Brings an absent machine into the state in which the verb is called.
    prepare: CheckStep,
    verb: fn(&Fixture) -> BoxFuture<'_, Result<(), DriverError>>,
    /// Checks the postcondition of the verb, however often it was called.
    holds: CheckStep,
}

pub async fn check(subject: &mut dyn DriverUnderTest, modes: &[CallMode], report: &mut ConformanceReport) {
    for mode in modes {
        check_in_turn(subject, &[*mode], report).await;
    }
}

/// Checks each verb in one mode: the first verb in the first mode, and so on.
pub async fn check_in_turn(subject: &mut dyn DriverUnderTest, modes: &[CallMode], report: &mut ConformanceReport) {
    for (case, mode) in cases().iter().zip(modes.iter().cycle()) {
        let mut fixture = report.fixture(subject);
        let result = check_case(subject, &mut fixture, case, *mode).await;
        report.add(format!("{} {mode:?}", case.name), result);
    }
}

async fn check_case(
    subject: &mut dyn DriverUnderTest,
    fixture: &mut Fixture,
    case: &Case,
    mode: CallMode,
) -> CheckResult {
    (case.prepare)(fixture).await.map_err(|CheckFailure(why)| CheckFailure(format!("prepare: {why}")))?;
    match mode {
        CallMode::Once => {}
        CallMode::Twice => (case.verb)(fixture).await?,
        CallMode::AtOnce => {
            let (first, second) = join((case.verb)(fixture), (case.verb)(fixture)).await;
            first.and(second)?;
        }
        CallMode::Dropped(phase) => drop_at(phase, (case.verb)(fixture)).await?,
        CallMode::Crashed(phase) => {
            drop_at(phase, (case.verb)(fixture)).await?;
            subject.restart().await;
            fixture.driver = subject.driver();
        }
    }
    (case.verb)(fixture).await?;
    if let CallMode::Crashed(_) = mode {
        // The result must not depend on the process that made it.
        subject.restart().await;
        fixture.driver = subject.driver();
    }
    (case.holds)(fixture).await?;
    Ok(fixture.driver.ensure_absent(fixture.spec.id).await?)
}

/// Drops a call in a phase, unless it completes before.
pub async fn drop_at(phase: CallPhase, mut call: BoxFuture<'_, Result<(), DriverError>>) -> Result<(), DriverError> {
    let mut remaining = match phase {
        CallPhase::Elapsed(time) => return tokio::time::timeout(time, call).await.unwrap_or(Ok(())),
        CallPhase::Awaits(awaits) => awaits,
    };
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending if remaining == 0 => Poll::Ready(Ok(())),
        Poll::Pending => {
            remaining -= 1;
            Poll::Pending
        }
    })
    .await
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "ensure_present",
            prepare: |_| Box::pin(async { Ok(()) }),
            verb: |b| Box::pin(async { b.driver.ensure_present(&b.spec).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 0, None).await?;
                    must_be("listed", b.driver.list().await?.contains(&b.spec.id), true)?;
                    must_be("the spec", &b.driver.observe(b.spec.id).await?.spec, &b.spec)?;
                    b.must_boot_with_mark(None).await
                })
            },
        },
        Case {
            name: "ensure_absent",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| Box::pin(async { b.driver.ensure_absent(b.spec.id).await }),
            holds: |b| {
                Box::pin(async {
                    must_be("listed", b.driver.list().await?.contains(&b.spec.id), false)?;
                    let observed = b.driver.observe(b.spec.id).await;
                    must_be("not found", matches!(observed, Err(DriverError::NotFound(_))), true)?;
                    // A new machine under the same id inherits nothing of the old one.
                    b.present().await?;
                    b.must_be(Power::PoweredOff, 0, None).await
                })
            },
        },
        Case {
            name: "ensure_running",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.ensure_running(b.spec.id).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::Running, 1, None).await?;
                    b.guest().await?.wait_ready().await?;
                    b.must_be(Power::Running, 1, None).await
                })
            },
        },
        Case {
            name: "ensure_stopped Graceful",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| Box::pin(async { b.driver.ensure_stopped(b.spec.id, StopMode::Graceful).await }),
            holds: |b| Box::pin(async { b.must_be(Power::PoweredOff, 1, None).await }),
        },
        Case {
            name: "ensure_stopped Force",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| Box::pin(async { b.driver.ensure_stopped(b.spec.id, StopMode::Force).await }),
            holds: |b| Box::pin(async { b.must_be(Power::PoweredOff, 1, None).await }),
        },
        Case {
            name: "ensure_restarted",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| Box::pin(async { b.driver.ensure_restarted(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::Running, 2, None).await?;
                    Ok(b.guest().await?.wait_ready().await?)
                })
            },
        },
        Case {
            name: "ensure_disk_aside",
            prepare: |b| Box::pin(marked_and_stopped(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_aside(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    let start = b.driver.ensure_running(b.spec.id).await;
                    must_be("a start without a disk is a conflict", is_conflict(&start), true)?;
                    must_have_old_disks(b, &[&b.tag]).await?;
                    b.driver.ensure_disk_back(b.spec.id, &b.tag).await?;
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_disk_from_image",
            prepare: |b| Box::pin(detached(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_from_image(&other_image(b), &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 1, Some(&b.tag)).await?;
                    must_be("the image", b.driver.observe(b.spec.id).await?.spec.image, other_image(b).image)?;
                    b.must_boot_with_mark(None).await
                })
            },
        },
        Case {
            name: "ensure_disk_aside after the new disk was made",
            prepare: |b| Box::pin(new_disk(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_aside(b.spec.id, &b.tag).await }),
            holds: |b| Box::pin(async { b.must_be(Power::PoweredOff, 1, Some(&b.tag)).await }),
        },
        Case {
            name: "ensure_disk_from_snapshot",
            prepare: |b| {
                Box::pin(async {
                    b.ready().await?;
                    b.mark("restore point").await?;
                    b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await?;
                    b.mark("later").await?;
                    b.stop().await?;
                    Ok(b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?)
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 1, Some(&b.tag)).await?;
                    b.must_boot_with_mark(Some("restore point")).await
                })
            },
        },
        Case {
            name: "ensure_disk_back",
            prepare: |b| {
                Box::pin(async {
                    new_disk(b).await?;
                    b.boot().await?;
                    b.mark("new").await?;
                    b.stop().await
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 2, None).await?;
                    must_be("the image", b.driver.observe(b.spec.id).await?.spec.image, b.spec.image.clone())?;
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_disk_back without a new disk",
            prepare: |b| Box::pin(detached(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| Box::pin(async { b.must_boot_with_mark(Some("old")).await }),
        },
        Case {
            name: "ensure_disk_back without an old disk",
            prepare: |b| Box::pin(marked_and_stopped(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| Box::pin(async { b.must_boot_with_mark(Some("old")).await }),
        },
        Case {
            name: "ensure_disk_back on a machine that has grown",
            prepare: |b| Box::pin(detached_and_grown(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.boot().await?;
                    if !b.driver.capabilities(&b.spec).resize {
                        return Ok(());
                    }
                    let recorded = b.guest().await?.read_file(&b.file).await?.unwrap_or_default();
                    let before = String::from_utf8_lossy(&recorded).parse().unwrap_or(u64::MAX);
                    let grown = b.guest().await?.free_disk_bytes().await?.saturating_sub(before);
                    // File systems reserve some of the space.
                    must_be("the old disk has grown with its machine", grown > GROWTH_BYTES - GROWTH_BYTES / 8, true)
                })
            },
        },
        Case {
            name: "ensure_disk_back while the new disk is being made",
            prepare: |b| {
                Box::pin(async {
                    detached(b).await?;
                    let image = other_image(b);
                    let call = Box::pin(b.driver.ensure_disk_from_image(&image, &b.tag));
                    Ok(drop_at(CallPhase::Awaits(0), call).await?)
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| Box::pin(async { b.must_boot_with_mark(Some("old")).await }),
        },
        Case {
            name: "ensure_aside_dropped",
            prepare: |b| {
                Box::pin(async {
                    new_disk(b).await?;
                    b.boot().await
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_aside_dropped(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::Running, 2, Some(&b.tag)).await?;
                    must_have_old_disks(b, &[]).await?;
                    b.stop().await?;
                    // The old disk cannot be restored, and the new disk is not mistaken for it.
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    b.must_boot_with_mark(None).await
                })
            },
        },
        Case {
            name: "ensure_disk_back after the newer disk was detached too",
            prepare: |b| Box::pin(both_detached(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 2, None).await?;
                    must_have_old_disks(b, &[&later(b)]).await?;
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_disk_back of the newer disk",
            prepare: |b| {
                Box::pin(async {
                    both_detached(b).await?;
                    Ok(b.driver.ensure_disk_back(b.spec.id, &b.tag).await?)
                })
            },
            verb: |b| {
                Box::pin(async {
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    b.driver.ensure_disk_back(b.spec.id, &later(b)).await
                })
            },
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 2, Some(&b.tag)).await?;
                    must_have_old_disks(b, &[&b.tag]).await?;
                    b.must_boot_with_mark(Some("new")).await
                })
            },
        },
        Case {
            name: "ensure_size",
            prepare: |b| Box::pin(marked_and_stopped(b)),
            verb: |b| {
                Box::pin(async {
                    match b.driver.capabilities(&b.spec).resize {
                        true => b.driver.ensure_size(&larger(b)).await,
                        false => Ok(()),
                    }
                })
            },
            holds: |b| {
                Box::pin(async {
                    if b.driver.capabilities(&b.spec).resize {
                        must_be("the spec", b.driver.observe(b.spec.id).await?.spec, larger(b))?;
                    }
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_snapshot",
            prepare: |b| {
                Box::pin(async {
                    b.ready().await?;
                    b.mark("old").await
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::Running, 1, None).await?;
                    // An existing restore point does not change.
                    b.mark("later").await?;
                    b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await?;
                    b.stop().await?;
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &b.tag).await?;
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_snapshot_absent",
            prepare: |b| {
                Box::pin(async {
                    b.ready().await?;
                    Ok(b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await?)
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_snapshot_absent(b.spec.id, &b.snapshot).await }),
            holds: |b| {
                Box::pin(async {
                    b.stop().await?;
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    let restored = b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &b.tag).await;
                    must_be("the restore point is gone", matches!(restored, Err(DriverError::NotFound(_))), true)
                })
            },
        },
    ]
}

async fn marked_and_stopped(b: &Fixture) -> CheckResult {
    b.ready().await?;
    b.mark("old").await?;
    b.stop().await
}

async fn detached(b: &Fixture) -> CheckResult {
    marked_and_stopped(b).await?;
    Ok(b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?)
}

/// The disk, which records its own free space, is detached, and its machine has grown since.
async fn detached_and_grown(b: &Fixture) -> CheckResult {
    b.ready().await?;
    let free = b.guest().await?.free_disk_bytes().await?;
    b.guest().await?.write_file(&b.file, free.to_string().as_bytes()).await?;
    b.stop().await?;
    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
    match b.driver.capabilities(&b.spec).resize {
        true => Ok(b.driver.ensure_size(&larger(b)).await?),
        false => Ok(()),
    }
}

async fn new_disk(b: &Fixture) -> CheckResult {
    detached(b).await?;
    Ok(b.driver.ensure_disk_from_image(&other_image(b), &b.tag).await?)
}

/// The old disk is detached, and so is the new one, under a later tag.
async fn both_detached(b: &Fixture) -> CheckResult {
    new_disk(b).await?;
    b.boot().await?;
    b.mark("new").await?;
    b.stop().await?;
    Ok(b.driver.ensure_disk_aside(b.spec.id, &later(b)).await?)
}

fn later(b: &Fixture) -> Tag {
    Tag(format!("{}-later", b.tag))
}

async fn must_have_old_disks(b: &Fixture, tags: &[&Tag]) -> CheckResult {
    let old_disks = b.driver.observe(b.spec.id).await?.asides;
    must_be("the tags of the old disks", old_disks.iter().map(|disk| &disk.tag).collect(), tags.to_vec())?;
    must_be("an old disk has no size", old_disks.iter().any(|disk| disk.size_bytes == 0), false)
}

fn other_image(b: &Fixture) -> MachineSpec {
    MachineSpec { image: ImageId(format!("{}-next", b.spec.image)), ..b.spec.clone() }
}

fn larger(b: &Fixture) -> MachineSpec {
    MachineSpec { vcpu_count: b.spec.vcpu_count * 2, storage_gib: b.spec.storage_gib + 1, ..b.spec.clone() }
}

fn is_conflict(result: &Result<(), DriverError>) -> bool {
    matches!(result, Err(DriverError::Conflict(_)))
}
