//! Checks of the verbs on images: an imported image makes machines, an import happens once however
//! often it is requested, and machines keep the disks of an image that is removed.

use cloudpc_model::{ImageId, Power};
use futures_util::future::join;

use super::verbs::drop_at;
use super::{CallMode, CheckResult, ConformanceReport, DriverUnderTest, Fixture, must_be};
use crate::{DriverError, IMAGE_NOT_ON_HOST, MachineSpec, SOURCE_IMAGE_INVALID};

pub async fn check(subject: &mut dyn DriverUnderTest, modes: &[CallMode], report: &mut ConformanceReport) {
    let source = subject.image_source();
    for mode in modes {
        let mut fixture = report.fixture(subject);
        let result = imported(subject, &mut fixture, &source, *mode).await;
        report.add(format!("ensure_image {mode:?}"), result);
    }
    let booted = booted(&report.fixture(subject), &source).await;
    report.add("an imported image boots".into(), booted);
    let refused = refused(&report.fixture(subject), &source).await;
    report.add("impossible calls of the verbs on images".into(), refused);
}

async fn imported(subject: &mut dyn DriverUnderTest, b: &mut Fixture, source: &str, mode: CallMode) -> CheckResult {
    let image = image_of(b);
    let driver = b.driver.clone();
    let import = || Box::pin(driver.ensure_image(&image, source));
    match mode {
        CallMode::Once => {}
        CallMode::Twice => import().await?,
        CallMode::AtOnce => {
            let (first, second) = join(import(), import()).await;
            first.and(second)?;
        }
        CallMode::Dropped(phase) | CallMode::Crashed(phase) => drop_at(phase, import()).await?,
    }
    drop(driver);
    if let CallMode::Crashed(_) = mode {
        subject.restart().await;
        b.driver = subject.driver();
    }
    b.driver.ensure_image(&image, source).await?;
    b.driver.check_image(&image).await?;
    b.driver.ensure_present(&MachineSpec { image: image.clone(), ..b.spec.clone() }).await?;
    b.driver.ensure_image_absent(&image).await?;
    b.driver.ensure_running(b.spec.id).await?;
    must_be("a machine runs without its image", b.driver.observe(b.spec.id).await?.power, Power::Running)?;
    b.driver.ensure_absent(b.spec.id).await?;
    for _ in 0..2 {
        b.driver.ensure_image_absent(&image).await?;
    }
    must_be("a removed image is not on the host", is_not_on_host(b, &image).await, true)?;
    // The id can be used again, with any source; a dropped removal is repeated.
    b.driver.ensure_image(&image, source).await?;
    let driver = b.driver.clone();
    if let CallMode::Dropped(phase) | CallMode::Crashed(phase) = mode {
        drop_at(phase, Box::pin(driver.ensure_image_absent(&image))).await?;
    }
    Ok(b.driver.ensure_image_absent(&image).await?)
}

async fn booted(b: &Fixture, source: &str) -> CheckResult {
    let image = image_of(b);
    b.driver.ensure_image(&image, source).await?;
    let machines = b.driver.list().await?;
    let facts = b.driver.probe_image(&image).await?;
    must_be("the size is positive", facts.size_gib > 0, true)?;
    must_be("the operating system is known", facts.operating_system.is_some(), true)?;
    must_be("the machines", b.driver.list().await?, machines)?;
    Ok(b.driver.ensure_image_absent(&image).await?)
}

async fn refused(b: &Fixture, source: &str) -> CheckResult {
    let image = image_of(b);
    for listed in b.driver.source_images().await? {
        let checked = b.driver.check_source(&listed.resource_id).await?;
        must_be("a listed source", checked, listed)?;
    }
    must_be("the source", b.driver.check_source(source).await?.resource_id.as_str(), source)?;
    for no_source in ["", "/etc/passwd", "../disk.qcow2", "file:///etc/passwd", "nbd://localhost"] {
        let checked = b.driver.check_source(no_source).await.map(drop);
        must_be("the check of what is no source", is_rejected(&checked, SOURCE_IMAGE_INVALID), true)?;
        let imported = b.driver.ensure_image(&image, no_source).await;
        must_be("the import of what is no source", is_rejected(&imported, SOURCE_IMAGE_INVALID), true)?;
    }
    must_be("a refused import leaves nothing", is_not_on_host(b, &image).await, true)?;
    b.driver.ensure_image_absent(&image).await?;
    b.driver.ensure_image(&image, source).await?;
    let other = format!("{source}-other");
    let replaced = b.driver.ensure_image(&image, &other).await;
    must_be("another source for the same id is a conflict", is_conflict(&replaced), true)?;
    Ok(b.driver.ensure_image_absent(&image).await?)
}

fn image_of(b: &Fixture) -> ImageId {
    ImageId(format!("imported-by-{}", b.tag))
}

/// Returns whether an image that was never imported, or was removed, cannot be booted.
async fn is_not_on_host(b: &Fixture, image: &ImageId) -> bool {
    is_rejected(&b.driver.probe_image(image).await.map(drop), IMAGE_NOT_ON_HOST)
}

fn is_rejected(result: &Result<(), DriverError>, code: &str) -> bool {
    matches!(result, Err(DriverError::Rejected { code: of, .. }) if of == code)
}

fn is_conflict(result: &Result<(), DriverError>) -> bool {
    matches!(result, Err(DriverError::Conflict(_)))
}
