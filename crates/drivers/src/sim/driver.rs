//! The verbs of the simulated driver: check the machine, start the missing work, wait, check again.

use async_trait::async_trait;
use cloudpc_model::{CloudPcId, ImageId, SnapshotId, Timestamp};
use futures_util::stream::BoxStream;
use std::sync::Arc;

use super::disk::Disk;
use super::guest::SimGuest;
use super::machine::{Machine, MachineChange, Requirement, WorkKind};
use super::{ScriptedCondition, SimDriver};
use crate::{
    Capabilities, Display, Driver, DriverError, Guest, MachineSpec, NO_DISPLAY, NetworkCheck, NetworkFinding, Observed,
    StopMode, Tag,
};

#[async_trait]
impl Driver for SimDriver {
    fn capabilities(&self, spec: &MachineSpec) -> Capabilities {
        Capabilities { resize: !spec.gpu, snapshots: true }
    }

    /// A simulated disk needs no image.
    async fn check_image(&self, _image: &ImageId) -> Result<(), DriverError> {
        Ok(())
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
                let duration = self.inner.spread(world.pace.mean_ms(WorkKind::Disk));
                machine.begin(MachineChange::MakeDisk(disk), self.inner.parts.clock.now() + duration);
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

fn no_display() -> DriverError {
    DriverError::Rejected { code: NO_DISPLAY.into(), message: "a simulated machine has no screen".into() }
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
        let ends_at = now + inner.spread(mean_ms);
        world.change(id, |machine| {
            machine.begin(change, ends_at);
            machine.catch_up(now);
        })?;
        drop(world);
        inner.wakeups.notify_waiters();
        Ok(Some(ends_at))
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
        self.inner.spread(mean_ms)
    }
}

#[cfg(test)]
mod tests;
