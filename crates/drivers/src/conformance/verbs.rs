//! Every verb in every way: once, twice, at once, dropped, and over the death of the driver.

use cloudpc_model::{ImageId, Power};
use futures_util::future::{BoxFuture, join};
use std::future::poll_fn;
use std::task::Poll;

use super::{CallMode, CallPhase, CheckFailure, CheckResult, CheckStep, Fixture, Report, Subject, must_be};
use crate::{DriverError, MachineSpec, StopMode, Tag};

/// By how much [`larger`] disks are larger.
const GROWTH_BYTES: u64 = 1 << 30;

struct Case {
    name: &'static str,
    /// Brings a machine that is not there to where the verb is called.
    prepare: CheckStep,
    verb: fn(&Fixture) -> BoxFuture<'_, Result<(), DriverError>>,
    /// What is true when the verb has returned, however often it was called.
    holds: CheckStep,
}

pub async fn check(subject: &mut dyn Subject, ways: &[CallMode], report: &mut Report) {
    for way in ways {
        check_in_turn(subject, &[*way], report).await;
    }
}

/// Calls each verb in one of the ways, the first in the first and so on.
pub async fn check_in_turn(subject: &mut dyn Subject, ways: &[CallMode], report: &mut Report) {
    for (case, way) in cases().iter().zip(ways.iter().cycle()) {
        let mut bench = report.bench(subject);
        let result = check_case(subject, &mut bench, case, *way).await;
        report.add(format!("{} {way:?}", case.name), result);
    }
}

async fn check_case(subject: &mut dyn Subject, bench: &mut Fixture, case: &Case, way: CallMode) -> CheckResult {
    (case.prepare)(bench).await.map_err(|CheckFailure(why)| CheckFailure(format!("prepare: {why}")))?;
    match way {
        CallMode::Once => {}
        CallMode::Twice => (case.verb)(bench).await?,
        CallMode::AtOnce => {
            let (first, second) = join((case.verb)(bench), (case.verb)(bench)).await;
            first.and(second)?;
        }
        CallMode::Dropped(moment) => drop_at(moment, (case.verb)(bench)).await?,
        CallMode::Died(moment) => {
            drop_at(moment, (case.verb)(bench)).await?;
            subject.restart().await;
            bench.driver = subject.driver();
        }
    }
    (case.verb)(bench).await?;
    if let CallMode::Died(_) = way {
        // What was brought about does not depend on the process that did it either.
        subject.restart().await;
        bench.driver = subject.driver();
    }
    (case.holds)(bench).await?;
    Ok(bench.driver.ensure_absent(bench.spec.id).await?)
}

/// Drops a call at a moment, unless it ends before.
async fn drop_at(moment: CallPhase, mut call: BoxFuture<'_, Result<(), DriverError>>) -> Result<(), DriverError> {
    let mut left = match moment {
        CallPhase::Elapsed(time) => return tokio::time::timeout(time, call).await.unwrap_or(Ok(())),
        CallPhase::Awaits(awaits) => awaits,
    };
    poll_fn(|context| match call.as_mut().poll(context) {
        Poll::Ready(result) => Poll::Ready(result),
        Poll::Pending if left == 0 => Poll::Ready(Ok(())),
        Poll::Pending => {
            left -= 1;
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
                    // A machine made anew under the same id has nothing of the old one.
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
                    must_have_aside(b, &[&b.tag]).await?;
                    b.driver.ensure_disk_back(b.spec.id, &b.tag).await?;
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_disk_from_image",
            prepare: |b| Box::pin(aside(b)),
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
            name: "ensure_disk_aside after the disk was made",
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
            prepare: |b| Box::pin(aside(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| Box::pin(async { b.must_boot_with_mark(Some("old")).await }),
        },
        Case {
            name: "ensure_disk_back without a disk aside",
            prepare: |b| Box::pin(marked_and_stopped(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| Box::pin(async { b.must_boot_with_mark(Some("old")).await }),
        },
        Case {
            name: "ensure_disk_back into a machine that has grown",
            prepare: |b| Box::pin(free_noted_and_grown(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.boot().await?;
                    if !b.driver.capabilities(&b.spec).resize {
                        return Ok(());
                    }
                    let noted = b.guest().await?.read_file(&b.file).await?.unwrap_or_default();
                    let before = String::from_utf8_lossy(&noted).parse().unwrap_or(u64::MAX);
                    let grown = b.guest().await?.free_disk_bytes().await?.saturating_sub(before);
                    // File systems keep some of it for themselves.
                    must_be("the old disk has grown with its machine", grown > GROWTH_BYTES - GROWTH_BYTES / 8, true)
                })
            },
        },
        Case {
            name: "ensure_disk_back while the new disk is made",
            prepare: |b| {
                Box::pin(async {
                    aside(b).await?;
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
                    must_have_aside(b, &[]).await?;
                    b.stop().await?;
                    // There is no way back, and the new disk is not taken for the old one.
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    b.must_boot_with_mark(None).await
                })
            },
        },
        Case {
            name: "ensure_disk_back in place of a newer disk that is set aside itself",
            prepare: |b| Box::pin(newer_aside(b)),
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            holds: |b| {
                Box::pin(async {
                    b.must_be(Power::PoweredOff, 2, None).await?;
                    must_have_aside(b, &[&later(b)]).await?;
                    b.must_boot_with_mark(Some("old")).await
                })
            },
        },
        Case {
            name: "ensure_disk_back of the newer disk",
            prepare: |b| {
                Box::pin(async {
                    newer_aside(b).await?;
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
                    must_have_aside(b, &[&b.tag]).await?;
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
                    // Once made it stays as it is.
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

async fn aside(b: &Fixture) -> CheckResult {
    marked_and_stopped(b).await?;
    Ok(b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?)
}

/// The disk, on which is noted what was free of it, is set aside, and its machine has grown since.
async fn free_noted_and_grown(b: &Fixture) -> CheckResult {
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
    aside(b).await?;
    Ok(b.driver.ensure_disk_from_image(&other_image(b), &b.tag).await?)
}

/// The old disk is set aside, and so is the new one, under a later tag.
async fn newer_aside(b: &Fixture) -> CheckResult {
    new_disk(b).await?;
    b.boot().await?;
    b.mark("new").await?;
    b.stop().await?;
    Ok(b.driver.ensure_disk_aside(b.spec.id, &later(b)).await?)
}

fn later(b: &Fixture) -> Tag {
    Tag(format!("{}-later", b.tag))
}

async fn must_have_aside(b: &Fixture, tags: &[&Tag]) -> CheckResult {
    let asides = b.driver.observe(b.spec.id).await?.asides;
    must_be("the tags of the disks aside", asides.iter().map(|aside| &aside.tag).collect(), tags.to_vec())?;
    must_be("a disk aside takes no space", asides.iter().any(|aside| aside.size_bytes == 0), false)
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
