//! The verbs of the simulated driver: check the machine, start the missing work, wait, check again.

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, ImageId, SnapshotId, Timestamp};
use futures_util::stream::BoxStream;
use std::sync::Arc;

use super::disk::{Disk, IMAGE_GIB};
use super::guest::SimGuest;
use super::images::ImportedImage;
use super::machine::{Machine, MachineChange, Requirement, WorkKind};
use super::world::unwritable;
use super::{ScriptedCondition, SimDriver};
use crate::image_source::ImageSource;
use crate::{
    Capabilities, Display, Driver, DriverError, Guest, GuestOs, IMAGE_NOT_ON_HOST, ImageFacts, MachineSpec, NO_DISPLAY,
    NetworkCheck, NetworkFinding, Observed, SourceImage, StopMode, Tag, rejected,
};

#[async_trait]
impl Driver for SimDriver {
    fn capabilities(&self, spec: &MachineSpec) -> Capabilities {
        Capabilities { resize: !spec.gpu, snapshots: true }
    }

    /// A simulated disk needs no image, except one that is being imported.
    async fn check_image(&self, image: &ImageId) -> Result<(), DriverError> {
        let now = self.inner.parts.clock.now();
        match self.inner.lock().images.get(image) {
            Some(imported) if imported.ready_at > now => Err(not_on_host(image)),
            _ => Ok(()),
        }
    }

    async fn source_images(&self) -> Result<Vec<SourceImage>, DriverError> {
        let sources = SOURCES.map(|source| ImageSource::parse(source).map(|parsed| parsed.describe(source)));
        sources.into_iter().collect()
    }

    /// Every well-formed source exists.
    async fn check_source(&self, source: &str) -> Result<SourceImage, DriverError> {
        ImageSource::parse(source).map(|parsed| parsed.describe(source))
    }

    async fn ensure_image(&self, image: &ImageId, source: &str) -> Result<(), DriverError> {
        ImageSource::parse(source)?;
        let ready_at = self.begin_import(image, source)?;
        self.inner.parts.clock.sleep_until(ready_at).await;
        match self.inner.lock().images.get(image) {
            Some(_) => Ok(()),
            None => Err(DriverError::Conflict(format!("image {image} was removed during its import"))),
        }
    }

    async fn probe_image(&self, image: &ImageId) -> Result<ImageFacts, DriverError> {
        let boot = self.draw_boot();
        let now = self.inner.parts.clock.now();
        if self.inner.lock().images.get(image).is_none_or(|imported| imported.ready_at > now) {
            return Err(not_on_host(image));
        }
        self.inner.parts.clock.sleep_until(now + boot).await;
        Ok(ImageFacts {
            os: GuestOs::Windows,
            operating_system: Some("Windows 11 Enterprise".into()),
            build_number: Some("22631".into()),
            version_number: Some("10.0.22631".into()),
            size_gib: IMAGE_GIB,
        })
    }

    async fn ensure_image_absent(&self, image: &ImageId) -> Result<(), DriverError> {
        let mut world = self.inner.lock();
        if world.images.get(image).is_none() {
            return Ok(());
        }
        world.images.remove(image).map_err(unwritable)
    }

    /// A simulated host has unlimited capacity.
    fn check_size(&self, _spec: &MachineSpec) -> Result<(), DriverError> {
        Ok(())
    }

    async fn check_network(&self, check: &NetworkCheck) -> Result<NetworkFinding, DriverError> {
        Ok(self.run_network_check(check).await)
    }

    async fn observe(&self, id: CloudPcId) -> Result<Observed, DriverError> {
        let now = self.inner.parts.clock.now();
        self.inner.lock().refresh(id, now).map(Machine::observed)
    }

    async fn ensure_present(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        {
            let mut world = self.inner.lock();
            if !world.has(spec.id) {
                let disk = Disk::from_image(spec, None)?;
                let mut machine = Machine::new(spec, ScriptedCondition::default());
                let now = self.inner.parts.clock.now();
                let duration = self.inner.spread(now, world.pace.mean_ms(WorkKind::Disk));
                machine.begin(MachineChange::MakeDisk(disk), now + duration);
                world.put(machine)?;
            }
        }
        self.ensure(spec.id, |_| Ok(Requirement::Met)).await
    }

    async fn ensure_absent(&self, id: CloudPcId) -> Result<(), DriverError> {
        {
            let mut world = self.inner.lock();
            if world.has(id) {
                world.remove(id)?;
            }
        }
        self.inner.wakeups.notify_waiters();
        Ok(())
    }

    async fn ensure_running(&self, id: CloudPcId) -> Result<(), DriverError> {
        let boot = self.draw_boot();
        self.ensure(id, |machine| machine.plan_running(boot)).await
    }

    async fn ensure_stopped(&self, id: CloudPcId, how: StopMode) -> Result<(), DriverError> {
        if how == StopMode::Force {
            self.cancel_work(id, |change| matches!(change, MachineChange::PowerOff | MachineChange::Restart { .. }))?;
        }
        self.ensure(id, |machine| Ok(machine.plan_stopped(how))).await
    }

    async fn ensure_restarted(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        let boot = self.draw_boot();
        self.ensure(id, |machine| machine.plan_restarted(tag, boot)).await
    }

    async fn ensure_disk_aside(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.ensure(id, |machine| machine.plan_disk_aside(tag)).await
    }

    async fn ensure_disk_from_image(&self, spec: &MachineSpec, tag: &Tag) -> Result<(), DriverError> {
        self.ensure(spec.id, |machine| machine.plan_disk_from_image(spec, tag)).await
    }

    async fn ensure_disk_from_snapshot(
        &self,
        id: CloudPcId,
        snapshot: &SnapshotId,
        tag: &Tag,
    ) -> Result<(), DriverError> {
        self.ensure(id, |machine| machine.plan_disk_from_snapshot(snapshot, tag)).await
    }

    async fn ensure_disk_back(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        // A disk that is going to be deleted need not be completed first.
        self.cancel_work(id, |change| change.makes_disk_of(tag))?;
        self.ensure(id, |machine| machine.plan_disk_back(tag)).await
    }

    async fn ensure_aside_dropped(&self, id: CloudPcId, tag: &Tag) -> Result<(), DriverError> {
        self.ensure(id, |machine| Ok(machine.plan_aside_dropped(tag))).await
    }

    async fn ensure_size(&self, spec: &MachineSpec) -> Result<(), DriverError> {
        self.ensure(spec.id, |machine| machine.plan_size(spec)).await
    }

    async fn ensure_snapshot(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        self.ensure(id, |machine| machine.plan_snapshot(snapshot)).await
    }

    async fn ensure_snapshot_absent(&self, id: CloudPcId, snapshot: &SnapshotId) -> Result<(), DriverError> {
        self.ensure(id, |machine| Ok(machine.plan_snapshot_absent(snapshot))).await
    }

    async fn guest(&self, id: CloudPcId) -> Result<Box<dyn Guest>, DriverError> {
        self.observe(id).await?;
        Ok(Box::new(SimGuest::new(self.inner.clone(), id)))
    }

    async fn display(&self, id: CloudPcId) -> Result<Box<dyn Display>, DriverError> {
        self.observe(id).await?;
        Err(no_display())
    }

    async fn screenshot(&self, id: CloudPcId) -> Result<Vec<u8>, DriverError> {
        self.observe(id).await?;
        Err(no_display())
    }

    fn watch(&self) -> BoxStream<'static, CloudPcId> {
        let inner = Arc::clone(&self.inner);
        // A running machine has no condition.
        self.inner.changes.watch(move || inner.lock().off())
    }

    async fn list(&self) -> Result<Vec<CloudPcId>, DriverError> {
        Ok(self.inner.lock().ids())
    }
}

/// The listed sources.
const SOURCES: [&str; 2] = [
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cloudpc/providers/Microsoft.Compute/images/windows-11-custom",
    "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/cloudpc/providers/Microsoft.Compute/galleries/shared/images/windows-11-office/versions/1.0.0",
];

fn no_display() -> DriverError {
    rejected(NO_DISPLAY, "a simulated machine has no screen")
}

fn not_on_host(image: &ImageId) -> DriverError {
    rejected(IMAGE_NOT_ON_HOST, format!("image '{image}' is not imported, or not yet; import it first"))
}

impl SimDriver {
    /// Starts the missing work and waits for it until the machine meets the requirement that `plan`
    /// checks.
    async fn ensure(
        &self,
        id: CloudPcId,
        plan: impl Fn(&Machine) -> Result<Requirement, DriverError> + Send,
    ) -> Result<(), DriverError> {
        while let Some(ends_at) = self.advance(id, &plan)? {
            self.inner.parts.clock.sleep_until(ends_at).await;
        }
        Ok(())
    }

    /// Checks the requirement once, without waiting: returns when the work in progress ends, or
    /// none if the requirement is met.
    fn advance(
        &self,
        id: CloudPcId,
        plan: impl Fn(&Machine) -> Result<Requirement, DriverError>,
    ) -> Result<Option<Timestamp>, DriverError> {
        let inner = &self.inner;
        let now = inner.parts.clock.now();
        let mut world = inner.lock();
        let machine = world.refresh(id, now)?;
        if let Some(ends_at) = machine.work_ends_at() {
            return Ok(Some(ends_at));
        }
        let Requirement::Missing(change, kind) = plan(machine)? else { return Ok(None) };
        let mean_ms = world.pace.mean_ms(kind);
        let ends_at = now + inner.spread(now, mean_ms);
        world.change(id, |machine| {
            machine.begin(change, ends_at);
            machine.catch_up(now);
        })?;
        drop(world);
        inner.wakeups.notify_waiters();
        Ok(Some(ends_at))
    }

    /// Starts an import unless there is one; returns when it ends.
    fn begin_import(&self, image: &ImageId, source: &str) -> Result<Timestamp, DriverError> {
        let mut world = self.inner.lock();
        match world.images.get(image) {
            Some(imported) if imported.source == source => return Ok(imported.ready_at),
            Some(imported) => {
                return Err(DriverError::Conflict(format!("image {image} was imported from {}", imported.source)));
            }
            None => {}
        }
        let now = self.inner.parts.clock.now();
        let ready_at = now + self.inner.spread(now, world.pace.disk_ms);
        world.images.put(image, ImportedImage { source: source.to_owned(), ready_at }).map_err(unwritable)?;
        Ok(ready_at)
    }

    /// Cancels the work in progress if `which` matches it.
    fn cancel_work(&self, id: CloudPcId, which: impl Fn(&MachineChange) -> bool) -> Result<(), DriverError> {
        let now = self.inner.parts.clock.now();
        let mut world = self.inner.lock();
        if world.refresh(id, now)?.work().is_some_and(which) {
            world.change(id, Machine::cancel_work)?;
        }
        Ok(())
    }

    /// Draws the duration of the next boot.
    fn draw_boot(&self) -> std::time::Duration {
        let mean_ms = self.inner.lock().pace.boot_ms;
        self.inner.spread(self.inner.parts.clock.now(), mean_ms)
    }
}

#[cfg(test)]
mod tests;
