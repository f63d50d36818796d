//! The target of an action: the Cloud PC or document that it works on, as stored.
//!
//! This module refuses to know what an action does to its target.

use cloudpc_model::{Action, CloudPc, Document, Timestamp};
use cloudpc_store::{Reader, StoreError, Tx};

/// The target of an action.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Target {
    /// A Cloud PC.
    CloudPc(Box<CloudPc>),
    /// A document.
    Document(Box<Document>),
    /// The target never existed, or was deleted.
    Missing,
}

impl Target {
    /// Reads the target of an action.
    pub fn of(reader: &Reader<'_>, action: &Action) -> Result<Self, StoreError> {
        let tenant = action.tenant_id;
        Ok(match (action.document_key(), action.cloud_pc_id()) {
            (Some(key), _) => reader.document(tenant, &key)?.map(Box::new).map_or(Self::Missing, Self::Document),
            (None, Some(id)) => reader.cloud_pc(tenant, id)?.map(Box::new).map_or(Self::Missing, Self::CloudPc),
            (None, None) => Self::Missing,
        })
    }

    pub fn cloud_pc(&self) -> Option<&CloudPc> {
        match self {
            Self::CloudPc(cloud_pc) => Some(cloud_pc),
            Self::Document(_) | Self::Missing => None,
        }
    }

    pub fn document(&self) -> Option<&Document> {
        match self {
            Self::Document(document) => Some(document),
            Self::CloudPc(_) | Self::Missing => None,
        }
    }

    pub fn document_mut(&mut self) -> Option<&mut Document> {
        match self {
            Self::Document(document) => Some(document),
            Self::CloudPc(_) | Self::Missing => None,
        }
    }

    /// Stores the target if it differs from `before`: a whole Cloud PC, but only the `status` of a
    /// document.
    pub fn store(&mut self, tx: &mut Tx<'_>, before: &Self, now: Timestamp) -> Result<(), StoreError> {
        if self == before {
            return Ok(());
        }
        match (self, before) {
            (Self::CloudPc(cloud_pc), Self::CloudPc(before)) => {
                cloud_pc.modified_at = now;
                tx.cloud_pc_update_from(before, cloud_pc)
            }
            (Self::Document(document), _) => {
                tx.document_status_put(document.tenant_id, &document.key, &document.status)?;
                document.revision += 1;
                Ok(())
            }
            (Self::CloudPc(_) | Self::Missing, _) => Ok(()),
        }
    }
}
