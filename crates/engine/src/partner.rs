//! Partners of a tenant, read in full.

use cloudpc_drivers::{FetchPolicy, Fetcher};
use cloudpc_model::{CloudPc, Partner, Product, TenantId};
use cloudpc_store::{Reader, StoreError};
use std::time::Duration;
use url::Url;

/// Partners read per page.
const PARTNERS_PAGE: usize = 100;

/// Returns all partners of a tenant.
pub(crate) fn partners_of(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<Partner>, StoreError> {
    let mut partners: Vec<Partner> = Vec::new();
    loop {
        let page = reader.partner_list(tenant, partners.last().map(|partner| partner.id), PARTNERS_PAGE)?;
        let whole = page.len() == PARTNERS_PAGE;
        partners.extend(page);
        if !whole {
            return Ok(partners);
        }
    }
}

/// Returns the URLs of the partners' agents that their allow-lists permit, with the policy of each.
pub(crate) fn agent_urls(partners: Vec<Partner>, size_bytes_max: u64, time_max: Duration) -> Vec<(Url, FetchPolicy)> {
    let agent_url = |partner: Partner| {
        let url = Url::parse(&partner.agent?.url).ok()?;
        let policy = FetchPolicy { allowed_urls: partner.allowed_urls, size_bytes_max, time_max };
        Fetcher::check(&url, &policy).is_ok().then_some((url, policy))
    };
    partners.into_iter().filter_map(agent_url).collect()
}

/// Returns the partners whose agent is deployed to this Cloud PC after each reprovision.
pub(crate) fn auto_deploy_partners(
    reader: &Reader<'_>,
    cloud_pc: &CloudPc,
    business_only: bool,
) -> Result<Vec<Partner>, StoreError> {
    if business_only && cloud_pc.product != Product::Business {
        return Ok(Vec::new());
    }
    let mut partners = partners_of(reader, cloud_pc.tenant_id)?;
    partners
        .retain(|partner| partner.enable_connection && partner.agent.as_ref().is_some_and(|agent| agent.auto_deploy));
    Ok(partners)
}
