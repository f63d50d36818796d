//! Opening the database, the reader threads and the writer.

use std::path::Path;

use crate::StoreError;

/// How writes are carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WriteMode {
    /// By one writer thread, grouped: the way a server runs.
    Grouped,
    /// By the calling task, one transaction each, reads too: the way a simulation on a virtual clock runs, so that a seed replays exactly.
    Inline,
}

/// The store. Cheap to clone.
#[derive(Clone)]
pub struct Store {}

/// A view of the database for reading.
pub struct Reader<'a> {
    pub(crate) connection: &'a rusqlite::Connection,
}

/// A write transaction. It can do whatever a [`Reader`] can.
pub struct Tx<'a> {
    pub(crate) reader: Reader<'a>,
}

impl<'a> std::ops::Deref for Tx<'a> {
    type Target = Reader<'a>;
    fn deref(&self) -> &Reader<'a> {
        &self.reader
    }
}

impl Store {
    /// Opens or makes the database `cloudpc.db` in `directory`, migrates it, and takes the directory's lock.
    pub fn open(_directory: &Path, _mode: WriteMode) -> Result<Self, StoreError> {
        unimplemented!()
    }

    /// Runs `work` against a consistent view.
    pub async fn read<T, E, F>(&self, _work: F) -> Result<T, E>
    where
        F: FnOnce(&Reader<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        unimplemented!()
    }

    /// Runs `work` in a transaction and returns after its commit is on disk. If `work` fails, nothing it wrote remains.
    pub async fn write<T, E, F>(&self, _work: F) -> Result<T, E>
    where
        F: FnOnce(&mut Tx<'_>) -> Result<T, E> + Send + 'static,
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
    {
        unimplemented!()
    }
}
