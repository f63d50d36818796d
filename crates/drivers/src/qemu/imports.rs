//! The verbs on images: check a source, import, boot a temporary machine, remove.
//!
//! One lock for each image serializes its verbs. Temporary machines have a host state of their own,
//! below `probes/`, so that no verb on machines shows them; they share memory, processors and the
//! accelerator with all other machines.

use cloudpc_model::{CloudPcId, ImageId, Power};
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::SemaphorePermit;
use uuid::Uuid;

use super::image::DiskFile;
use super::layout::file_name;
use super::machine::{blocking, host_error};
use super::sources::{DownloadedDisk, source_error};
use super::{QemuDriver, QemuHost, Requests};
use crate::image_source::ImageSource;
use crate::{
    Driver, DriverError, Guest, GuestError, ImageFacts, MachineSpec, SOURCE_IMAGE_INVALID, SOURCE_IMAGE_NOT_FOUND,
    SourceImage, rejected,
};

/// The size of a temporary machine, or that of the host if it is smaller.
const PROBE_VCPU_COUNT: u32 = 2;
const PROBE_RAM_GIB: u32 = 4;

/// Most imports and temporary machines at a time on a host.
pub const IMPORTS_MAX: usize = 1;

/// Interval at which a temporary machine is checked for having powered off.
const PROBE_POLL: Duration = Duration::from_secs(1);

/// In-memory state of one image, which need not survive the process.
#[derive(Default)]
pub struct ImageSlot {
    /// Serializes verbs.
    pub lock: Arc<tokio::sync::Mutex<()>>,
    /// The callers that want the image removed.
    pub removals: Requests,
}

impl QemuHost {
    /// Checks a source without copying it.
    pub async fn check_source(&self, source: &str) -> Result<SourceImage, DriverError> {
        let parsed = ImageSource::parse(source)?;
        match &parsed {
            ImageSource::Managed { name } => drop(self.parts.sources.file(name)?),
            ImageSource::Gallery { .. } => return Err(no_galleries(source)),
            ImageSource::Url(url) => drop(self.parts.sources.look(url, &self.parts.fetcher).await?),
        }
        Ok(parsed.describe(source))
    }

    /// Imports an image unless it was imported before. The caller holds its lock.
    pub async fn import(&self, slot: &ImageSlot, image: ImageId, source: String) -> Result<(), DriverError> {
        let images = self.parts.images.clone();
        match images.source(&image).map_err(host_error)? {
            Some(present) if present == source => return Ok(()),
            Some(present) => {
                return Err(DriverError::Conflict(format!("image {image} was imported from {present}")));
            }
            None if images.has(&image) => return Err(not_imported(&image)),
            None => {}
        }
        let _turn = self.import_turn(slot, &image).await?;
        // The copy is not interrupted: what a thread of its own writes cannot be stopped.
        let (file, _downloaded) = tokio::select! {
            biased;
            () = slot.removals.requested() => return Err(being_removed(&image)),
            file = self.source_file(&image, &source) => file?,
        };
        let checked = file.clone();
        let measured = blocking(move || Ok(checked.check().and_then(|()| checked.copy_bytes()))).await?;
        self.parts.capacity.admit_bytes(images.path(), measured.map_err(source_error)?)?;
        let imported = blocking(move || Ok(images.import_from_source(&file, &source, &image))).await?;
        imported.map_err(source_error)
    }

    /// Waits for this host's other imports and probes: each is admitted by the free space and
    /// memory that it finds.
    async fn import_turn(&self, slot: &ImageSlot, image: &ImageId) -> Result<SemaphorePermit<'_>, DriverError> {
        tokio::select! {
            biased;
            () = slot.removals.requested() => Err(being_removed(image)),
            turn = self.imports.acquire() => {
                turn.map_err(|_| DriverError::Unavailable("the host is shutting down".into()))
            }
        }
    }

    /// Returns the file of a source, which is downloaded first if it is a URL.
    async fn source_file(
        &self,
        image: &ImageId,
        source: &str,
    ) -> Result<(DiskFile, Option<DownloadedDisk>), DriverError> {
        let (sources, fetcher) = (&self.parts.sources, &self.parts.fetcher);
        match ImageSource::parse(source)? {
            ImageSource::Managed { name } => Ok((sources.file(&name)?, None)),
            ImageSource::Gallery { .. } => Err(no_galleries(source)),
            ImageSource::Url(url) => {
                let size_bytes = sources.look(&url, fetcher).await?;
                self.parts.capacity.admit_bytes(&self.downloads, size_bytes)?;
                let path = self.downloads.join(format!("image-{}", file_name(&image.0)));
                let (file, downloaded) = sources.download(&url, size_bytes, fetcher, path).await?;
                Ok((file, Some(downloaded)))
            }
        }
    }

    /// Removes an imported image; disks that were made from it keep its files. The caller holds its
    /// lock.
    pub async fn remove_image(&self, image: ImageId) -> Result<(), DriverError> {
        let images = self.parts.images.clone();
        if !images.has(&image) {
            return Ok(());
        }
        if images.source(&image).map_err(host_error)?.is_none() {
            return Err(not_imported(&image));
        }
        blocking(move || images.remove(&image)).await
    }
}

impl QemuDriver {
    /// Boots a temporary machine from an image and removes it. The caller holds the image's lock.
    pub(super) async fn probe(&self, slot: &ImageSlot, image: ImageId) -> Result<ImageFacts, DriverError> {
        let _turn = self.host.import_turn(slot, &image).await?;
        let probes = self.probes();
        let spec = probe_spec(&self.host, image);
        // A crashed service may have left a machine.
        probes.ensure_absent(spec.id).await?;
        let probed = tokio::select! {
            biased;
            () = slot.removals.requested() => Err(being_removed(&spec.image)),
            probed = probes.boot_and_inspect(&spec) => probed,
        };
        probes.ensure_absent(spec.id).await?;
        probed
    }

    /// Removes the temporary machine that a crashed service may have left.
    pub(super) async fn remove_probe(&self, image: &ImageId) -> Result<(), DriverError> {
        self.probes().ensure_absent(probe_id(image)).await
    }

    async fn boot_and_inspect(&self, spec: &MachineSpec) -> Result<ImageFacts, DriverError> {
        let image = &spec.image;
        let summary = self.host.parts.images.describe(image).map_err(host_error)?;
        let summary = summary.ok_or_else(|| DriverError::Conflict(format!("image {image} was removed")))?;
        self.ensure_present(spec).await?;
        self.ensure_running(spec.id).await?;
        let guest = self.agent_guest(spec.id)?;
        let (clock, time_max) = (&self.host.parts.clock, self.host.parts.probe_time_max);
        let inspected = tokio::select! {
            info = async { guest.wait_ready().await?; guest.channel.system_info().await } => info.map_err(|error| match error {
                GuestError::Driver(error) => error,
                other => DriverError::Unavailable(other.to_string()),
            }),
            ended = self.powered_off(spec.id) => Err(match ended {
                Ok(()) => rejected(SOURCE_IMAGE_INVALID, format!("a machine made from image {image} powers off while it boots")),
                Err(error) => error,
            }),
            () = clock.sleep_until(clock.now() + time_max) => Err(rejected(
                SOURCE_IMAGE_INVALID,
                format!(
                    "the guest agent of a machine made from image {image} did not answer within {} seconds; the disk must boot by itself and start the QEMU guest agent",
                    time_max.as_secs()
                ),
            )),
        };
        let info = inspected?;
        if info.os.is_some_and(|os| os != summary.os) {
            return Err(rejected(
                SOURCE_IMAGE_INVALID,
                format!(
                    "the partitions of image {image} are those of {:?}, but its guest is {:?}",
                    summary.os, info.os
                ),
            ));
        }
        Ok(ImageFacts {
            os: summary.os,
            operating_system: info.name,
            build_number: info.build_number,
            version_number: info.version_number,
            size_gib: summary.size_gib,
        })
    }

    /// Returns once a machine is off.
    async fn powered_off(&self, id: CloudPcId) -> Result<(), DriverError> {
        let clock = &self.host.parts.clock;
        while self.observe(id).await?.power == Power::Running {
            clock.sleep_until(clock.now() + PROBE_POLL).await;
        }
        Ok(())
    }
}

/// Returns the id of an image's temporary machine, which is the same after a crash.
fn probe_id(image: &ImageId) -> CloudPcId {
    let digest: [u8; 32] = Sha256::digest(image.0.as_bytes()).into();
    let (start, _) = digest.split_at(16);
    CloudPcId(Uuid::from_slice(start).expect("an id has 16 bytes"))
}

fn probe_spec(host: &QemuHost, image: ImageId) -> MachineSpec {
    let capacity = &host.parts.capacity;
    MachineSpec {
        id: probe_id(&image),
        hostname: "CPC-PROBE".into(),
        vcpu_count: PROBE_VCPU_COUNT.min(capacity.vcpu_count_max),
        ram_gib: PROBE_RAM_GIB.min(capacity.ram_gib),
        // The disk has the image's size.
        storage_gib: 1,
        gpu: false,
        image,
    }
}

fn no_galleries(source: &str) -> DriverError {
    rejected(SOURCE_IMAGE_NOT_FOUND, format!("this host has no image galleries, so there is no '{source}'"))
}

fn not_imported(image: &ImageId) -> DriverError {
    DriverError::Conflict(format!("image {image} was built or imported with `cloudpc image`, not by a request"))
}

fn being_removed(image: &ImageId) -> DriverError {
    DriverError::Conflict(format!("image {image} is being removed"))
}
