//! Small values that belong to the installation, such as signing keys.

use crate::{Reader, StoreError, Tx};

impl Reader<'_> {
    /// A value.
    pub fn setting(&self, _name: &str) -> Result<Option<Vec<u8>>, StoreError> {
        unimplemented!()
    }
}

impl Tx<'_> {
    /// Stores a value.
    pub fn setting_put(&mut self, _name: &str, _value: &[u8]) -> Result<(), StoreError> {
        unimplemented!()
    }

    /// Drops everything that belongs to simulated fleets: all rows but the settings.
    pub fn reset(&mut self) -> Result<(), StoreError> {
        unimplemented!()
    }
}
