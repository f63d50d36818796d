//! Assignments of policies whose shared Cloud PCs may no longer be as many as they ask for.
//!
//! Every transaction that changes such an assignment puts it into the queue. One that waits for a
//! licence stays there until a licence of the tenant may have become free.

use cloudpc_model::{DocumentType, TenantId};

use crate::connection::{Row, params};
use crate::rows::{Columns, guid_after};
use crate::{Reader, StoreError, Tx};

/// An assignment in the queue. It may have been deleted, and its policy may be of any type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QueuedAssignment {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Provisioning policy.
    pub policy_id: String,
    /// Assignment of the policy.
    pub assignment_id: String,
}

impl Reader<'_> {
    /// The first queued assignment of the first tenant after `after` that has any.
    pub fn shared_assignment_next(&self, after: Option<TenantId>) -> Result<Option<QueuedAssignment>, StoreError> {
        self.row(
            "SELECT tenant_id, policy_id, assignment_id FROM shared_assignment_queue
             WHERE waits = 0 AND tenant_id > ?1 ORDER BY tenant_id, policy_id, assignment_id LIMIT 1",
            params![guid_after(after.map(|tenant| tenant.0))],
            queued,
        )
    }
}

impl Tx<'_> {
    /// Queues an assignment, even if it waits for a licence.
    pub fn shared_assignment_put(
        &mut self,
        tenant: TenantId,
        policy: &str,
        assignment: &str,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO shared_assignment_queue (tenant_id, policy_id, assignment_id, waits) VALUES (?1, ?2, ?3, 0)
             ON CONFLICT (tenant_id, policy_id, assignment_id) DO UPDATE SET waits = 0",
            params![tenant.0, policy, assignment],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Queues every assignment of a provisioning policy of the tenant.
    pub fn shared_assignment_put_all(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO shared_assignment_queue (tenant_id, policy_id, assignment_id, waits)
             SELECT tenant_id, parent_id, id, 0 FROM documents WHERE tenant_id = ?1 AND type = ?2
             ON CONFLICT (tenant_id, policy_id, assignment_id) DO UPDATE SET waits = 0",
            params![tenant.0, DocumentType::CloudPcProvisioningPolicyAssignment.name()],
        )?;
        self.signal_provisioning();
        Ok(())
    }

    /// Queues the assignments of the tenant that wait for a licence.
    pub fn shared_assignment_put_waiting(&mut self, tenant: TenantId) -> Result<(), StoreError> {
        let queued = self.execute(
            "UPDATE shared_assignment_queue SET waits = 0 WHERE waits = 1 AND tenant_id = ?1",
            params![tenant.0],
        )?;
        if queued > 0 {
            self.signal_provisioning();
        }
        Ok(())
    }

    /// Has an assignment wait until a licence of the tenant may have become free.
    pub fn shared_assignment_wait(&mut self, queued: &QueuedAssignment) -> Result<(), StoreError> {
        self.execute(
            "UPDATE shared_assignment_queue SET waits = 1 WHERE tenant_id = ?1 AND policy_id = ?2 AND assignment_id = ?3",
            params![queued.tenant_id.0, queued.policy_id, queued.assignment_id],
        )?;
        Ok(())
    }

    /// Takes an assignment out of the queue.
    pub fn shared_assignment_remove(&mut self, queued: &QueuedAssignment) -> Result<(), StoreError> {
        self.execute(
            "DELETE FROM shared_assignment_queue WHERE tenant_id = ?1 AND policy_id = ?2 AND assignment_id = ?3",
            params![queued.tenant_id.0, queued.policy_id, queued.assignment_id],
        )?;
        Ok(())
    }

    /// Empties the queue.
    pub fn shared_assignment_clear(&mut self) -> Result<(), StoreError> {
        self.execute("DELETE FROM shared_assignment_queue", params![])?;
        Ok(())
    }
}

fn queued(row: Row<'_>) -> Result<QueuedAssignment, StoreError> {
    let mut columns = Columns::new(row, "shared_assignment_queue");
    Ok(QueuedAssignment {
        tenant_id: TenantId(columns.get()?),
        policy_id: columns.get()?,
        assignment_id: columns.get()?,
    })
}
