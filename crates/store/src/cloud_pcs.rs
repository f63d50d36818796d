//! Cloud PCs.

use cloudpc_model::{CloudPc, CloudPcId, ManagedDeviceId, TenantId, UserId};

use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One Cloud PC.
    pub fn cloud_pc(&self, _tenant: TenantId, _id: CloudPcId) -> Result<Option<CloudPc>, StoreError> {
        unimplemented!()
    }

    /// The Cloud PC that is this managed device.
    pub fn cloud_pc_by_managed_device(
        &self,
        _tenant: TenantId,
        _id: ManagedDeviceId,
    ) -> Result<Option<CloudPc>, StoreError> {
        unimplemented!()
    }

    /// Cloud PCs by id, those above `after`; of one user if `user` is given.
    pub fn cloud_pc_list(
        &self,
        _tenant: TenantId,
        _user: Option<UserId>,
        _after: Option<CloudPcId>,
        _limit: usize,
    ) -> Result<Vec<CloudPc>, StoreError> {
        unimplemented!()
    }

    /// The same by managed device id.
    pub fn cloud_pc_list_by_managed_device(
        &self,
        _tenant: TenantId,
        _after: Option<ManagedDeviceId>,
        _limit: usize,
    ) -> Result<Vec<CloudPc>, StoreError> {
        unimplemented!()
    }

    /// How many there are; of one user if `user` is given.
    pub fn cloud_pc_count(&self, _tenant: TenantId, _user: Option<UserId>) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds a Cloud PC.
    pub fn cloud_pc_insert(&mut self, _cloud_pc: &CloudPc) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Stores every changeable column of a Cloud PC that was read in this transaction.
    pub fn cloud_pc_update(&mut self, _cloud_pc: &CloudPc) -> Result<(), StoreError> {
        unimplemented!()
    }
}
