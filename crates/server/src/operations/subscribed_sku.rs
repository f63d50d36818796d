//! Operations on subscriptions: what licences a tenant has, and how many are in use.

pub(super) mod get;
pub(super) mod list;

use cloudpc_store::{Reader, StoreError, Subscription};

use crate::pipeline::Call;

/// A subscription with the number of its units that users have.
#[derive(Clone)]
struct Shown {
    subscription: Subscription,
    consumed: u64,
}

/// All subscriptions of the tenant; there are few.
fn read(call: &Call, reader: &Reader<'_>) -> Result<Vec<Shown>, StoreError> {
    let shown = |subscription: Subscription| {
        let consumed = reader.subscription_consumed_units(subscription.tenant_id, subscription.sku_id)?;
        Ok(Shown { subscription, consumed })
    };
    reader.subscription_list(call.tenant())?.into_iter().map(shown).collect()
}
