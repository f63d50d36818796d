//! Subscriptions, and who has their licences.
//!
//! An assignment entitles a user, or each member of a group. A user who is entitled to a licence in
//! several ways needs one unit of the subscription. Units go to the oldest entitlements first: a
//! direct one is as old as its assignment, one through a group as old as the membership, and users
//! of equal age are in the order of their ids. A user keeps their unit until the last of their
//! entitlements ends; then it goes to the user who has been entitled longest without one.

use cloudpc_model::{Change, ChangeKind, EntityType, GroupId, ServicePlanId, SkuId, TenantId, Timestamp, UserId};
use uuid::Uuid;

use crate::connection::{Row, params};
use crate::rows::Columns;
use crate::{Reader, StoreError, Tx};

/// Whether no assignment entitles the user of a row of `licenses` to it.
macro_rules! not_entitled {
    () => {
        "NOT EXISTS (
           SELECT 1 FROM license_assignments AS own WHERE own.tenant_id = licenses.tenant_id
           AND own.holder_kind = 'user' AND own.holder_id = licenses.user_id AND own.sku_id = licenses.sku_id
         ) AND NOT EXISTS (
           SELECT 1 FROM group_members AS member JOIN license_assignments AS shared
           ON shared.tenant_id = member.tenant_id AND shared.holder_kind = 'group'
           AND shared.holder_id = member.group_id AND shared.sku_id = licenses.sku_id
           WHERE member.tenant_id = licenses.tenant_id AND member.user_id = licenses.user_id
         )"
    };
}

/// From the rows of the users who get the next `?3` units.
macro_rules! next_in_line {
    () => {
        "FROM licenses WHERE tenant_id = ?1 AND sku_id = ?2 AND granted = 0
         ORDER BY since, user_id LIMIT ?3"
    };
}

/// A number of licences of one service plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    /// Tenant.
    pub tenant_id: TenantId,
    /// Id of the product, by which licences are assigned.
    pub sku_id: SkuId,
    /// Service plan of its licences.
    pub service_plan_id: ServicePlanId,
    /// Name of the product, e.g. `CPC_E_2C_8GB_128GB`.
    pub sku_part_number: String,
    /// Number of licences.
    pub units: u32,
}

/// A licence that a user has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserLicense {
    /// Id of the product.
    pub sku_id: SkuId,
    /// Name of the product.
    pub sku_part_number: String,
    /// Service plan that the licence gives.
    pub service_plan_id: ServicePlanId,
    /// Age of the entitlement.
    pub since: Timestamp,
}

/// To whom licences are assigned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LicenseHolder {
    /// A user.
    User(UserId),
    /// The members of a group.
    Group(GroupId),
}

/// All units of the subscription are in use.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoUnitsLeft;

impl LicenseHolder {
    fn key(self) -> (&'static str, Uuid) {
        match self {
            Self::User(id) => ("user", id.0),
            Self::Group(id) => ("group", id.0),
        }
    }

    fn entity_type(self) -> EntityType {
        match self {
            Self::User(_) => EntityType::User,
            Self::Group(_) => EntityType::Group,
        }
    }
}

impl Reader<'_> {
    /// One subscription.
    pub fn subscription(&self, tenant: TenantId, sku: SkuId) -> Result<Option<Subscription>, StoreError> {
        self.row(
            "SELECT tenant_id, sku_id, service_plan_id, sku_part_number, units FROM subscriptions
             WHERE tenant_id = ?1 AND sku_id = ?2",
            params![tenant.0, sku.0],
            subscription,
        )
    }

    /// All subscriptions of a tenant, by SKU id; there are few.
    pub fn subscription_list(&self, tenant: TenantId) -> Result<Vec<Subscription>, StoreError> {
        self.rows(
            "SELECT tenant_id, sku_id, service_plan_id, sku_part_number, units FROM subscriptions
             WHERE tenant_id = ?1 ORDER BY sku_id",
            params![tenant.0],
            subscription,
        )
    }

    /// Number of units of a subscription that users have.
    pub fn subscription_consumed_units(&self, tenant: TenantId, sku: SkuId) -> Result<u64, StoreError> {
        self.count(
            "SELECT count(*) FROM licenses WHERE tenant_id = ?1 AND sku_id = ?2 AND granted = 1",
            params![tenant.0, sku.0],
        )
    }

    /// The licences that a user has, own ones and those through groups, by SKU id.
    pub fn user_licenses(&self, tenant: TenantId, user: UserId) -> Result<Vec<UserLicense>, StoreError> {
        self.rows(
            "SELECT licenses.sku_id, sku_part_number, service_plan_id, since FROM licenses
             JOIN subscriptions ON subscriptions.tenant_id = licenses.tenant_id AND subscriptions.sku_id = licenses.sku_id
             WHERE licenses.tenant_id = ?1 AND user_id = ?2 AND granted = 1 ORDER BY licenses.sku_id",
            params![tenant.0, user.0],
            |row| {
                let mut columns = Columns::new(row, "licenses");
                Ok(UserLicense {
                    sku_id: SkuId(columns.get()?),
                    sku_part_number: columns.get()?,
                    service_plan_id: ServicePlanId(columns.get()?),
                    since: columns.time()?,
                })
            },
        )
    }

    /// What is assigned to a user or group itself, by SKU id.
    pub fn license_assignments(&self, tenant: TenantId, holder: LicenseHolder) -> Result<Vec<SkuId>, StoreError> {
        let (kind, id) = holder.key();
        self.rows(
            "SELECT sku_id FROM license_assignments WHERE tenant_id = ?1 AND holder_kind = ?2 AND holder_id = ?3
             ORDER BY sku_id",
            params![tenant.0, kind, id],
            |row| Ok(SkuId(row.get(0)?)),
        )
    }
}

impl Tx<'_> {
    /// Adds or replaces a subscription, and gives new units to those who wait for one.
    ///
    /// With fewer units than users have, users keep theirs, as in Graph: `consumedUnits` exceeds
    /// the enabled units, and nobody gets a unit until enough have been given back. Seats of
    /// frontline assignments are the caller's business.
    pub fn subscription_put(&mut self, subscription: &Subscription, now: Timestamp) -> Result<(), StoreError> {
        let kind = match self.subscription(subscription.tenant_id, subscription.sku_id)? {
            Some(_) => ChangeKind::Updated,
            None => ChangeKind::Created,
        };
        let change =
            Change::new(kind, EntityType::SubscribedSku, subscription.sku_id).named(&subscription.sku_part_number);
        self.execute(
            "INSERT INTO subscriptions (tenant_id, sku_id, service_plan_id, sku_part_number, units)
             VALUES (?1, ?2, ?3, ?4, ?5)
             ON CONFLICT (tenant_id, sku_id) DO UPDATE SET service_plan_id = excluded.service_plan_id,
             sku_part_number = excluded.sku_part_number, units = excluded.units",
            params![
                subscription.tenant_id.0,
                subscription.sku_id.0,
                subscription.service_plan_id.0,
                subscription.sku_part_number,
                subscription.units,
            ],
        )?;
        self.changed(subscription.tenant_id, change);
        self.license_grant(subscription.tenant_id, subscription.sku_id, now)
    }

    /// Assigns licences of a subscription to a user or group that exists, and queues the users whom
    /// that touches. Members of a group may have to wait for a unit. Assigning again changes
    /// nothing.
    pub fn license_assign(
        &mut self,
        tenant: TenantId,
        sku: SkuId,
        holder: LicenseHolder,
        now: Timestamp,
    ) -> Result<Result<(), NoUnitsLeft>, StoreError> {
        if let LicenseHolder::User(user) = holder
            && !self.has_license(tenant, sku, user)?
            && self.free_units(tenant, sku)? == 0
        {
            return Ok(Err(NoUnitsLeft));
        }
        let (kind, id) = holder.key();
        let added = self.execute(
            "INSERT INTO license_assignments (tenant_id, holder_kind, holder_id, sku_id, assigned_at)
             VALUES (?1, ?2, ?3, ?4, ?5) ON CONFLICT DO NOTHING",
            params![tenant.0, kind, id, sku.0, now.0],
        )?;
        if added == 0 {
            return Ok(Ok(()));
        }
        self.updated(tenant, holder.entity_type(), id);
        match holder {
            LicenseHolder::User(user) => {
                self.license_entitle(tenant, sku, user, now)?;
                self.provisioning_queue_put(tenant, &[user], now)?;
            }
            LicenseHolder::Group(group) => {
                self.execute(
                    "INSERT INTO licenses (tenant_id, user_id, sku_id, since, granted)
                     SELECT tenant_id, user_id, ?3, added_at, 0 FROM group_members
                     WHERE tenant_id = ?1 AND group_id = ?2 ON CONFLICT DO NOTHING",
                    params![tenant.0, group.0, sku.0],
                )?;
                self.provisioning_queue_put_members(tenant, group, now)?;
            }
        }
        self.license_grant(tenant, sku, now)?;
        Ok(Ok(()))
    }

    /// Takes an assignment away, gives the units that this frees to those who wait for one, and
    /// queues the users whom that touches. Returns whether it was there.
    pub fn license_unassign(
        &mut self,
        tenant: TenantId,
        sku: SkuId,
        holder: LicenseHolder,
        now: Timestamp,
    ) -> Result<bool, StoreError> {
        let (kind, id) = holder.key();
        let removed = self.execute(
            "DELETE FROM license_assignments
             WHERE tenant_id = ?1 AND holder_kind = ?2 AND holder_id = ?3 AND sku_id = ?4",
            params![tenant.0, kind, id, sku.0],
        )?;
        if removed == 0 {
            return Ok(false);
        }
        self.updated(tenant, holder.entity_type(), id);
        self.updated(tenant, EntityType::SubscribedSku, sku);
        match holder {
            LicenseHolder::User(user) => {
                self.license_release(tenant, sku, user)?;
                self.provisioning_queue_put(tenant, &[user], now)?;
            }
            LicenseHolder::Group(group) => {
                let users: Vec<UserId> = self.rows(
                    concat!(
                        "DELETE FROM licenses WHERE tenant_id = ?1 AND sku_id = ?2 AND user_id IN
                         (SELECT user_id FROM group_members WHERE tenant_id = ?1 AND group_id = ?3) AND ",
                        not_entitled!(),
                        " RETURNING user_id"
                    ),
                    params![tenant.0, sku.0, group.0],
                    |row| Ok(UserId(row.get(0)?)),
                )?;
                users.into_iter().for_each(|user| self.updated(tenant, EntityType::User, user));
                self.provisioning_queue_put_members(tenant, group, now)?;
            }
        }
        self.license_grant(tenant, sku, now)?;
        Ok(true)
    }

    /// Notes that a user is entitled to a licence, if they were not before.
    pub(crate) fn license_entitle(
        &mut self,
        tenant: TenantId,
        sku: SkuId,
        user: UserId,
        since: Timestamp,
    ) -> Result<(), StoreError> {
        self.execute(
            "INSERT INTO licenses (tenant_id, user_id, sku_id, since, granted) VALUES (?1, ?2, ?3, ?4, 0)
             ON CONFLICT DO NOTHING",
            params![tenant.0, user.0, sku.0, since.0],
        )?;
        Ok(())
    }

    /// Takes a user's licence away unless another assignment entitles them to it.
    pub(crate) fn license_release(&mut self, tenant: TenantId, sku: SkuId, user: UserId) -> Result<(), StoreError> {
        let removed = self.execute(
            concat!("DELETE FROM licenses WHERE tenant_id = ?1 AND sku_id = ?2 AND user_id = ?3 AND ", not_entitled!()),
            params![tenant.0, sku.0, user.0],
        )?;
        if removed == 1 {
            self.updated(tenant, EntityType::User, user);
            self.updated(tenant, EntityType::SubscribedSku, sku);
        }
        Ok(())
    }

    /// Gives the free units of a subscription to those who wait for one, and queues them.
    pub(crate) fn license_grant(&mut self, tenant: TenantId, sku: SkuId, now: Timestamp) -> Result<(), StoreError> {
        let free = self.free_units(tenant, sku)?;
        if free == 0 {
            return Ok(());
        }
        self.execute(
            concat!(
                "INSERT INTO provisioning_queue (tenant_id, user_id, queued_at)
                 SELECT tenant_id, user_id, ?4 ",
                next_in_line!(),
                " ON CONFLICT DO NOTHING"
            ),
            params![tenant.0, sku.0, free, now.0],
        )?;
        self.signal_provisioning();
        let granted: Vec<UserId> = self.rows(
            concat!(
                "UPDATE licenses SET granted = 1 WHERE tenant_id = ?1 AND sku_id = ?2 AND user_id IN (SELECT user_id ",
                next_in_line!(),
                ") RETURNING user_id"
            ),
            params![tenant.0, sku.0, free],
            |row| Ok(UserId(row.get(0)?)),
        )?;
        if !granted.is_empty() {
            self.updated(tenant, EntityType::SubscribedSku, sku);
        }
        granted.into_iter().for_each(|user| self.updated(tenant, EntityType::User, user));
        Ok(())
    }

    fn free_units(&self, tenant: TenantId, sku: SkuId) -> Result<i64, StoreError> {
        let units = self.subscription(tenant, sku)?.map_or(0, |subscription| i64::from(subscription.units));
        let consumed = i64::try_from(self.subscription_consumed_units(tenant, sku)?).unwrap_or(i64::MAX);
        Ok((units - consumed).max(0))
    }

    fn has_license(&self, tenant: TenantId, sku: SkuId, user: UserId) -> Result<bool, StoreError> {
        let granted = self.row(
            "SELECT granted FROM licenses WHERE tenant_id = ?1 AND user_id = ?2 AND sku_id = ?3",
            params![tenant.0, user.0, sku.0],
            |row| row.get(0),
        )?;
        Ok(granted.unwrap_or_default())
    }
}

fn subscription(row: Row<'_>) -> Result<Subscription, StoreError> {
    let mut columns = Columns::new(row, "subscriptions");
    Ok(Subscription {
        tenant_id: TenantId(columns.get()?),
        sku_id: SkuId(columns.get()?),
        service_plan_id: ServicePlanId(columns.get()?),
        sku_part_number: columns.get()?,
        units: columns.get()?,
    })
}
