//! Checks of refusals: an impossible call fails with the right error and leaves the machine
//! unchanged.

use futures_util::future::BoxFuture;

use super::{CheckFailure, CheckResult, CheckStep, ConformanceReport, DriverUnderTest, Fixture, must_be};
use crate::{DriverError, MachineSpec, NO_DISPLAY, Tag};

/// A verb, and a machine state in which it must be refused.
struct Case {
    name: &'static str,
    prepare: CheckStep,
    verb: fn(&Fixture) -> BoxFuture<'_, Result<(), DriverError>>,
    refused: fn(&DriverError) -> bool,
}

pub async fn check(subject: &mut dyn DriverUnderTest, report: &mut ConformanceReport) {
    for case in cases() {
        let fixture = report.fixture(subject);
        report.add(case.name.into(), check_case(&fixture, &case).await);
    }
    for (name, verb) in verbs_on_absent_machine() {
        let fixture = report.fixture(subject);
        let result = verb(&fixture).await;
        let refused = matches!(result, Err(DriverError::NotFound(_)));
        let result = if refused { Ok(()) } else { Err(CheckFailure(format!("{result:?}, expected NotFound"))) };
        report.add(format!("{name} of an absent machine"), result);
    }
}

async fn check_case(fixture: &Fixture, case: &Case) -> CheckResult {
    (case.prepare)(fixture).await?;
    let before = fixture.driver.observe(fixture.spec.id).await?;
    match (case.verb)(fixture).await {
        Err(error) if (case.refused)(&error) => {}
        other => return Err(CheckFailure(format!("{other:?}, expected a refusal"))),
    }
    must_be("the machine", fixture.driver.observe(fixture.spec.id).await?, before)?;
    Ok(fixture.driver.ensure_absent(fixture.spec.id).await?)
}

fn cases() -> Vec<Case> {
    vec![
        Case {
            name: "the disk of a running machine cannot be detached",
            prepare: |b| Box::pin(b.ready()),
            verb: |b| Box::pin(async { b.driver.ensure_disk_aside(b.spec.id, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a second disk from an image is refused",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.ensure_disk_from_image(&b.spec, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a second disk from a restore point is refused",
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
            name: "an old disk cannot be reattached to a running machine",
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
            name: "another action's disk is not replaced",
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
            name: "a running machine cannot be resized",
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
            name: "a disk cannot shrink",
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
            name: "a stopped machine cannot be restarted",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.ensure_restarted(b.spec.id, &b.tag).await }),
            refused: is_conflict,
        },
        Case {
            name: "a stopped machine has no screen",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.display(b.spec.id).await.map(drop) }),
            refused: is_no_display,
        },
        Case {
            name: "a stopped machine has no screenshot",
            prepare: |b| Box::pin(b.present()),
            verb: |b| Box::pin(async { b.driver.screenshot(b.spec.id).await.map(drop) }),
            refused: is_no_display,
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

/// Returns every verb that needs a machine.
fn verbs_on_absent_machine() -> Vec<(&'static str, Verb)> {
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

fn is_no_display(error: &DriverError) -> bool {
    is_conflict(error) || matches!(error, DriverError::Rejected { code, .. } if code == NO_DISPLAY)
}

fn is_conflict(error: &DriverError) -> bool {
    matches!(error, DriverError::Conflict(_))
}
