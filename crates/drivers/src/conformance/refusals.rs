//! What cannot be done is refused in the right way, and the machine stays as it was.

use futures_util::future::BoxFuture;

use super::{CheckFailure, CheckResult, CheckStep, Fixture, Report, Subject, must_be};
use crate::{DriverError, MachineSpec, NO_DISPLAY, Tag};

/// A verb, and a machine that must refuse it.
struct Case {
    name: &'static str,
    prepare: CheckStep,
    verb: fn(&Fixture) -> BoxFuture<'_, Result<(), DriverError>>,
    refused: fn(&DriverError) -> bool,
}

pub async fn check(subject: &mut dyn Subject, report: &mut Report) {
    for case in cases() {
        let bench = report.bench(subject);
        report.add(case.name.into(), check_case(&bench, &case).await);
    }
    for (name, verb) in on_nothing() {
        let bench = report.bench(subject);
        let result = verb(&bench).await;
        let refused = matches!(result, Err(DriverError::NotFound(_)));
        let result = if refused { Ok(()) } else { Err(CheckFailure(format!("{result:?} instead of not found"))) };
        report.add(format!("{name} of no machine"), result);
    }
}

async fn check_case(bench: &Fixture, case: &Case) -> CheckResult {
    (case.prepare)(bench).await?;
    let before = bench.driver.observe(bench.spec.id).await?;
    match (case.verb)(bench).await {
        Err(error) if (case.refused)(&error) => {}
        other => return Err(CheckFailure(format!("{other:?} is not the refusal that is promised"))),
    }
    must_be("the machine", bench.driver.observe(bench.spec.id).await?, before)?;
    Ok(bench.driver.ensure_absent(bench.spec.id).await?)
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "the disk of a running machine is not set aside",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| Box::pin(async { b.driver.ensure_disk_aside(b.spec.id, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a machine has one disk",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.ensure_disk_from_image(&b.spec, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a machine has one disk, from a restore point too",
            prepare: |b| {
                Box::pin(async {
                    b.present().await?;
                    Ok(b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await?)
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "no disk is put back into a running machine",
            prepare: |b| {
                Box::pin(async {
                    b.present().await?;
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    b.driver.ensure_disk_from_image(&b.spec, &b.tag).await?;
                    b.boot().await
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "another action's disk is not pushed out",
            prepare: |b| {
                Box::pin(async {
                    b.present().await?;
                    b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?;
                    Ok(b.driver.ensure_disk_from_image(&b.spec, &Tag("another".into())).await?)
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a running machine is not resized",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| {
                Box::pin(async {
                    let spec = MachineSpec { vcpu_count: b.spec.vcpu_count * 2, ..b.spec.clone() };
                    b.driver.ensure_size(&spec).await
                })
            },
            refused: |error| matches!(error, DriverError::Conflict(_) | DriverError::Rejected { .. }),
        },
        Case {
            name: "a disk does not shrink",
            prepare: |b| Box::pin(b.present()),
            verb: |b| {
                Box::pin(async {
                    let spec = MachineSpec { storage_gib: b.spec.storage_gib - 1, ..b.spec.clone() };
                    b.driver.ensure_size(&spec).await
                })
            },
            refused: |error| matches!(error, DriverError::Rejected { .. }),
        },
        Case {
            name: "a machine that is off is not restarted",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.ensure_restarted(b.spec.id, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a machine that is off shows nothing",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.display(b.spec.id).await.map(drop) }),
            refused: shows_nothing,
        },
        Case {
            name: "there is no picture of a machine that is off",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.screenshot(b.spec.id).await.map(drop) }),
            refused: shows_nothing,
        },
        Case {
            name: "an unknown restore point is not found",
            prepare: |b| {
                Box::pin(async {
                    b.present().await?;
                    Ok(b.driver.ensure_disk_aside(b.spec.id, &b.tag).await?)
                })
            },
            verb: |b| Box::pin(async { b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &b.tag).await }),
            refused: |error| matches!(error, DriverError::NotFound(_)),
        },
    ]
}

type Verb = fn(&Fixture) -> BoxFuture<'_, Result<(), DriverError>>;

/// The verbs that need a machine.
fn on_nothing() -> Vec<(&'static str, Verb)> {
    vec![
        ("observe", |b| Box::pin(async { b.driver.observe(b.spec.id).await.map(drop) })),
        ("guest", |b| Box::pin(async { b.driver.guest(b.spec.id).await.map(drop) })),
        ("display", |b| Box::pin(async { b.driver.display(b.spec.id).await.map(drop) })),
        ("screenshot", |b| Box::pin(async { b.driver.screenshot(b.spec.id).await.map(drop) })),
        ("ensure_running", |b| Box::pin(async { b.driver.ensure_running(b.spec.id).await })),
        ("ensure_stopped", |b| Box::pin(async { b.driver.ensure_stopped(b.spec.id, crate::StopMode::Force).await })),
        ("ensure_restarted", |b| Box::pin(async { b.driver.ensure_restarted(b.spec.id, &b.tag).await })),
        ("ensure_disk_aside", |b| Box::pin(async { b.driver.ensure_disk_aside(b.spec.id, &b.tag).await })),
        ("ensure_disk_from_image", |b| Box::pin(async { b.driver.ensure_disk_from_image(&b.spec, &b.tag).await })),
        ("ensure_disk_from_snapshot", |b| {
            Box::pin(async { b.driver.ensure_disk_from_snapshot(b.spec.id, &b.snapshot, &b.tag).await })
        }),
        ("ensure_disk_back", |b| Box::pin(async { b.driver.ensure_disk_back(b.spec.id, &b.tag).await })),
        ("ensure_aside_dropped", |b| Box::pin(async { b.driver.ensure_aside_dropped(b.spec.id, &b.tag).await })),
        ("ensure_size", |b| Box::pin(async { b.driver.ensure_size(&b.spec).await })),
        ("ensure_snapshot", |b| Box::pin(async { b.driver.ensure_snapshot(b.spec.id, &b.snapshot).await })),
        ("ensure_snapshot_absent", |b| {
            Box::pin(async { b.driver.ensure_snapshot_absent(b.spec.id, &b.snapshot).await })
        }),
    ]
}

fn shows_nothing(error: &DriverError) -> bool {
    is_conflict(error) || matches!(error, DriverError::Rejected { code, .. } if code == NO_DISPLAY)
}

fn is_conflict(error: &DriverError) -> bool {
    matches!(error, DriverError::Conflict(_))
}
