//! Observing the machine of a Cloud PC on request, and not only when its driver reports a change.

use cloudpc_model::{AuditVerb, CloudPc, Error};
use cloudpc_store::{Reader, StoreError};

use crate::Engine;
use crate::ledger::{RequestContext, audit};

impl Engine {
    /// Schedules an observation of the machine of the Cloud PC that `find` looks up. It takes place
    /// once no remote action is open, and updates what is stored of the machine.
    ///
    /// # Errors
    /// Errors of `find`; the store fails.
    pub async fn sync_device<E, F>(&self, asked: &RequestContext, find: F) -> Result<(), E>
    where
        F: Fn(&Reader<'_>) -> Result<CloudPc, E> + Send + 'static,
        E: From<Error> + From<StoreError> + Send + 'static,
    {
        let (asked, now) = (asked.clone(), self.parts.clock.now());
        let written = self.parts.store.write("device.sync", move |tx| {
            let cloud_pc = find(tx)?;
            tx.health_check_schedule(cloud_pc.id, now)?;
            tx.audit_insert(&audit::asked_for(&asked, now, AuditVerb::SyncDevice, audit::resource(&cloud_pc)))?;
            Ok::<_, E>(())
        });
        written.await?;
        self.work.wake.notify_one();
        Ok(())
    }
}
