//! Finished pages of deployment results: written once every deployment on them has ended, and then
//! read as one value.
//!
//! A page holds [`PAGE_DEPLOYMENTS`] results, counted from a partner's first. Nothing is ever
//! inserted between them, so the bounds of a page are known when its last result is requested. The
//! caller renders a page; the store keeps the bytes and the caller's format number, so that a later
//! version does not read what an earlier one wrote.

use cloudpc_model::{ActionId, PartnerId, State, TenantId};

use crate::connection::params;
use crate::deployments::{columns, deployment};
use crate::rows::{self, Columns};
use crate::{Deployment, Reader, Store, StoreError, Tx};

/// Results on a finished page.
pub const PAGE_DEPLOYMENTS: usize = 100;
/// Pages read at a time, and written in one transaction: each takes a few milliseconds.
const PAGES_AT_ONCE: usize = 16;

/// The text of a page, as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FinishedPage {
    /// Text of the page.
    pub body: Vec<u8>,
    /// Last result on the page.
    pub last: ActionId,
}

/// Bounds of a page whose text is not written yet.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    id: i64,
    tenant: TenantId,
    partner: PartnerId,
    after: ActionId,
    last: ActionId,
}

/// A page and its text, to be stored.
pub(crate) struct NewPage {
    page: Bounds,
    body: Vec<u8>,
}

impl Store {
    /// Writes the text of every page whose deployments have all ended, rendered by `write`; returns
    /// their number. `format` is above zero and rises whenever `write` changes: pages of lower
    /// formats are rendered again.
    ///
    /// # Errors
    /// The store fails; pages written until then remain.
    pub async fn deployment_pages_finish(
        &self,
        format: u32,
        write: fn(&[Deployment]) -> Vec<u8>,
    ) -> Result<usize, StoreError> {
        self.write("deploymentPages.forget", move |tx| tx.deployment_pages_forget(format)).await?;
        let (mut finished, mut seen) = (0, 0);
        loop {
            let (pages, next) = self.read(move |reader| reader.deployment_pages_ended(seen, write)).await?;
            finished += pages.len();
            if !pages.is_empty() {
                let put =
                    move |tx: &mut Tx<'_>| pages.iter().try_for_each(|written| tx.deployment_page_put(written, format));
                self.write("deploymentPages.put", put).await?;
            }
            match next {
                Some(next) => seen = next,
                None => return Ok(finished),
            }
        }
    }
}

impl Reader<'_> {
    /// The page of a partner's results after `after`, if its text is stored in this format and it
    /// ends by `until`.
    pub fn deployment_page(
        &self,
        tenant: TenantId,
        partner: PartnerId,
        after: ActionId,
        until: ActionId,
        format: u32,
    ) -> Result<Option<FinishedPage>, StoreError> {
        self.row(
            "SELECT last_action_id, body FROM deployment_pages WHERE tenant_id = ?1 AND partner_id = ?2 AND after_action_id = ?3
             AND last_action_id <= ?4 AND format = ?5",
            params![tenant.0, partner.0, after.0, until.0, format],
            |row| Ok(FinishedPage { last: ActionId(row.get(0)?), body: row.get(1)? }),
        )
    }

    /// Of the next unwritten pages numbered above `seen`, returns those that can be written, with
    /// their text; and the number to go on from, unless there are no more.
    pub(crate) fn deployment_pages_ended(
        &self,
        seen: i64,
        write: fn(&[Deployment]) -> Vec<u8>,
    ) -> Result<(Vec<NewPage>, Option<i64>), StoreError> {
        let pages = self.rows(
            "SELECT id, tenant_id, partner_id, after_action_id, last_action_id FROM deployment_pages
             WHERE format = 0 AND id > ?1 ORDER BY id LIMIT ?2",
            params![seen, rows::limit(PAGES_AT_ONCE)],
            |row| {
                let mut columns = Columns::new(row, "deployment_pages");
                Ok(Bounds {
                    id: columns.get()?,
                    tenant: TenantId(columns.get()?),
                    partner: PartnerId(columns.get()?),
                    after: ActionId(columns.get()?),
                    last: ActionId(columns.get()?),
                })
            },
        )?;
        let next = pages.last().filter(|_| pages.len() == PAGES_AT_ONCE).map(|page| page.id);
        let mut ended = Vec::new();
        for page in pages {
            let deployments = self.rows(
                concat!(
                    "SELECT ",
                    columns!(),
                    " FROM deployments AS d WHERE tenant_id = ?1 AND partner_id = ?2 AND action_id > ?3 AND action_id <= ?4
                     ORDER BY action_id"
                ),
                params![page.tenant.0, page.partner.0, page.after.0, page.last.0],
                deployment,
            )?;
            if deployments.iter().map(|deployment| deployment.state).all(State::is_final) {
                ended.push(NewPage { page, body: write(&deployments) });
            }
        }
        Ok((ended, next))
    }
}

impl Tx<'_> {
    /// Records the bounds of the page that ends with a partner's latest deployment.
    pub(crate) fn deployment_page_insert(
        &mut self,
        tenant: TenantId,
        partner: PartnerId,
        last: ActionId,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO deployment_pages (tenant_id, partner_id, after_action_id, last_action_id, format)
             VALUES (?1, ?2, coalesce((SELECT last_action_id FROM deployment_pages WHERE tenant_id = ?1 AND partner_id = ?2
             ORDER BY after_action_id DESC LIMIT 1), 0), ?3, 0)",
            params![tenant.0, partner.0, last.0],
        )?;
        Ok(())
    }

    /// The bounds identify the page: action numbers are never reused, page numbers are after a
    /// reset.
    pub(crate) fn deployment_page_put(&mut self, written: &NewPage, format: u32) -> Result<(), StoreError> {
        let NewPage { page, body } = written;
        self.execute(
            "UPDATE deployment_pages SET format = ?5, body = ?6
             WHERE tenant_id = ?1 AND partner_id = ?2 AND after_action_id = ?3 AND last_action_id = ?4",
            params![page.tenant.0, page.partner.0, page.after.0, page.last.0, format, body],
        )?;
        Ok(())
    }

    pub(crate) fn deployment_pages_forget(&mut self, below_format: u32) -> Result<(), StoreError> {
        self.execute(
            "UPDATE deployment_pages SET format = 0, body = NULL WHERE format > 0 AND format < ?1",
            params![below_format],
        )?;
        Ok(())
    }
}
