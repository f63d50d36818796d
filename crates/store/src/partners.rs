//! External partners.

use cloudpc_model::{Partner, PartnerId, TenantId};

use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// One partner.
    pub fn partner(&self, _tenant: TenantId, _id: PartnerId) -> Result<Option<Partner>, StoreError> {
        unimplemented!()
    }

    /// Partners by id, those above `after`.
    pub fn partner_list(
        &self,
        _tenant: TenantId,
        _after: Option<PartnerId>,
        _limit: usize,
    ) -> Result<Vec<Partner>, StoreError> {
        unimplemented!()
    }

    /// How many there are.
    pub fn partner_count(&self, _tenant: TenantId) -> Result<u64, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Adds a partner.
    ///
    /// # Errors
    /// [`StoreError::Exists`] if the tenant has one with this `partner_id`.
    pub fn partner_insert(&mut self, _partner: &Partner) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Stores every changeable column of a partner that was read in this transaction.
    pub fn partner_update(&mut self, _partner: &Partner) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Drops a partner; its results and reports stay in the store.
    pub fn partner_delete(&mut self, _tenant: TenantId, _id: PartnerId) -> Result<(), StoreError> {
        unimplemented!()
    }
}
