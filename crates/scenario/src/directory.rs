//! The directory of a scenario: subscriptions, groups with their members, and licences.

use cloudpc_engine::put_subscription;
use cloudpc_model::{Error, GroupId, SkuId, TenantId, Timestamp, UserId};
use cloudpc_store::{Group, LicenseHolder, NoUnitsLeft, Reader, StoreError, Subscription, Tx};
use std::collections::HashMap;

use super::PAGE_ROWS;
use super::cloud_pcs::Lookup;
use super::describe::datetime;
use super::file;
use super::resolve::{check_unique, invalid, timestamp, user_principal_name};

/// The directory of a tenant as domain values.
pub(super) struct ResolvedDirectory {
    subscriptions: Vec<Subscription>,
    groups: Vec<ResolvedGroup>,
    user_licenses: Vec<(UserId, SkuId)>,
}

struct ResolvedGroup {
    group: Group,
    /// Members, oldest first.
    members: Vec<UserId>,
    licenses: Vec<SkuId>,
}

impl ResolvedDirectory {
    /// Returns the group with this name or id.
    ///
    /// # Errors
    /// Invalid: there is none, or several have the name.
    pub(super) fn group(&self, name: &str, place: &str) -> Result<GroupId, Error> {
        let id = name.parse().ok();
        let groups = self.groups.iter().map(|own| &own.group);
        let mut found = groups.filter(|group| group.display_name == name || Some(group.id) == id);
        match (found.next(), found.next()) {
            (Some(group), None) => Ok(group.id),
            (None, _) => {
                Err(invalid(place, format!("its tenant has no group '{name}'; add it under [[tenants.groups]]")))
            }
            (Some(_), Some(_)) => Err(invalid(place, format!("several groups are named '{name}'; use the group's id"))),
        }
    }

    /// Returns the product of the subscription with this name.
    ///
    /// # Errors
    /// Invalid: there is none.
    pub(super) fn sku(&self, name: &str, place: &str) -> Result<SkuId, Error> {
        let found = self.subscriptions.iter().find(|own| own.sku_part_number == name);
        found.map(|own| own.sku_id).ok_or_else(|| no_subscription(name, place))
    }
}

fn no_subscription(name: &str, place: &str) -> Error {
    invalid(place, format!("its tenant has no subscription '{name}'; add it under [[tenants.subscriptions]]"))
}

/// The entries of a tenant that make its directory, with the licences of each user by name.
pub(super) struct DirectoryEntries {
    pub subscriptions: Vec<file::SubscriptionEntry>,
    pub groups: Vec<file::GroupEntry>,
    pub user_licenses: Vec<(String, Vec<String>)>,
}

/// Resolves the directory of a tenant.
///
/// # Errors
/// Invalid, naming the entry and what to do.
pub(super) fn resolve(entries: DirectoryEntries, lookup: &Lookup<'_>) -> Result<ResolvedDirectory, Error> {
    let subscriptions = entries
        .subscriptions
        .into_iter()
        .map(|entry| {
            let place = format!("subscription '{}'", entry.name);
            Ok(Subscription {
                tenant_id: lookup.within.id,
                sku_id: SkuId(entry.id.unwrap_or_else(|| lookup.within.derived("sku", &entry.name))),
                service_plan_id: lookup.service_plan(&entry.service_plan, &place)?.id,
                sku_part_number: entry.name,
                units: entry.units,
            })
        })
        .collect::<Result<Vec<_>, Error>>()?;
    check_unique("subscription", subscriptions.iter().map(|own| (&own.sku_part_number, own.sku_part_number.as_str())))?;
    check_unique("subscription", subscriptions.iter().map(|own| (own.sku_id, own.sku_part_number.as_str())))?;
    let names = Names::of(lookup, &subscriptions);
    let groups = entries.groups.into_iter().map(|entry| names.group(entry)).collect::<Result<Vec<_>, _>>()?;
    check_unique("group", groups.iter().map(|own| (own.group.id, own.group.display_name.as_str())))?;
    let mut user_licenses = Vec::new();
    for (user, licenses) in entries.user_licenses {
        let place = format!("user '{user}'");
        let id = names.user(&user, &place)?;
        for license in &licenses {
            user_licenses.push((id, names.sku(license, &place)?));
        }
    }
    for subscription in &subscriptions {
        let wanted = user_licenses.iter().filter(|(_, sku)| *sku == subscription.sku_id).count();
        let (units, name) = (subscription.units, &subscription.sku_part_number);
        if wanted > units as usize {
            let what = format!("{wanted} users have one of its licences, and it has {units}; add units");
            return Err(invalid(&format!("subscription '{name}'"), what));
        }
    }
    Ok(ResolvedDirectory { subscriptions, groups, user_licenses })
}

/// What entries of a directory refer to by name.
struct Names<'a> {
    lookup: &'a Lookup<'a>,
    users: HashMap<String, UserId>,
    skus: HashMap<&'a str, SkuId>,
}

impl<'a> Names<'a> {
    fn of(lookup: &'a Lookup<'a>, subscriptions: &'a [Subscription]) -> Self {
        let users = lookup.users.iter().map(|user| (user.user_principal_name.to_ascii_lowercase(), user.id));
        let skus = subscriptions.iter().map(|own| (own.sku_part_number.as_str(), own.sku_id));
        Self { lookup, users: users.collect(), skus: skus.collect() }
    }

    fn user(&self, name: &str, place: &str) -> Result<UserId, Error> {
        let full = user_principal_name(name, self.lookup.domain.as_deref(), place)?;
        self.users.get(&full.to_ascii_lowercase()).copied().ok_or_else(|| {
            invalid(place, format!("its tenant has no user '{full}'; add the user under [[tenants.users]]"))
        })
    }

    fn sku(&self, name: &str, place: &str) -> Result<SkuId, Error> {
        self.skus.get(name).copied().ok_or_else(|| no_subscription(name, place))
    }

    fn group(&self, entry: file::GroupEntry) -> Result<ResolvedGroup, Error> {
        let place = format!("group '{}'", entry.name);
        let within = self.lookup.within;
        let created_at = entry.created_at.map(|at| timestamp(at, &place)).transpose()?;
        let members = entry.members.iter().map(|name| self.user(name, &place)).collect::<Result<Vec<_>, _>>()?;
        check_unique(
            &format!("{place}: member"),
            members.iter().zip(&entry.members).map(|(id, name)| (id, name.as_str())),
        )?;
        let nickname = || entry.name.chars().filter(char::is_ascii_alphanumeric).collect::<String>();
        Ok(ResolvedGroup {
            licenses: entry.licenses.iter().map(|name| self.sku(name, &place)).collect::<Result<_, _>>()?,
            members,
            group: Group {
                tenant_id: within.id,
                id: GroupId(entry.id.unwrap_or_else(|| within.derived("group", &entry.name))),
                mail_nickname: entry.mail_nickname.clone().unwrap_or_else(nickname),
                display_name: entry.name,
                description: entry.description,
                mail_enabled: entry.mail_enabled,
                security_enabled: entry.security_enabled,
                created_at: created_at.unwrap_or(self.lookup.now),
            },
        })
    }
}

/// Writes a directory into a store that has the users. Users get their own licences before the
/// members of groups do.
pub(super) fn load(tx: &mut Tx<'_>, directory: &ResolvedDirectory, now: Timestamp) -> Result<(), StoreError> {
    for subscription in &directory.subscriptions {
        put_subscription(tx, subscription, now)?;
        let tenant = subscription.tenant_id;
        let own = directory.user_licenses.iter().filter(|(_, sku)| *sku == subscription.sku_id);
        for (user, sku) in own {
            let assigned = tx.license_assign(tenant, *sku, LicenseHolder::User(*user), now)?;
            assigned.map_err(|NoUnitsLeft| StoreError::Exists("a licence for each unit"))?;
        }
    }
    for ResolvedGroup { group, members, licenses } in &directory.groups {
        tx.group_put(group)?;
        for (age, member) in (0..).zip(members) {
            // The order of the members is the order of their ages.
            tx.group_member_insert(group.tenant_id, group.id, *member, Timestamp(now.0 + age))?;
        }
        for sku in licenses {
            // Members may wait for a unit; an assignment to a group is never refused.
            tx.license_assign(group.tenant_id, *sku, LicenseHolder::Group(group.id), now)?.ok();
        }
    }
    Ok(())
}

/// The subscriptions of a tenant as entries.
pub(super) fn subscriptions(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<file::SubscriptionEntry>, StoreError> {
    let entry = |subscription: Subscription| file::SubscriptionEntry {
        id: Some(subscription.sku_id.0),
        name: subscription.sku_part_number,
        service_plan: subscription.service_plan_id.to_string(),
        units: subscription.units,
    };
    Ok(reader.subscription_list(tenant)?.into_iter().map(entry).collect())
}

/// The names of the licences that are assigned to a user or group itself.
pub(super) fn licenses(
    reader: &Reader<'_>,
    tenant: TenantId,
    holder: LicenseHolder,
) -> Result<Vec<String>, StoreError> {
    let mut names = Vec::new();
    for sku in reader.license_assignments(tenant, holder)? {
        names.extend(reader.subscription(tenant, sku)?.map(|subscription| subscription.sku_part_number));
    }
    Ok(names)
}

/// The groups of a tenant as entries.
pub(super) fn groups(reader: &Reader<'_>, tenant: TenantId) -> Result<Vec<file::GroupEntry>, StoreError> {
    let mut entries = Vec::new();
    let mut after = None;
    loop {
        let page = reader.group_list(tenant, after, PAGE_ROWS)?;
        let Some(last) = page.last() else { return Ok(entries) };
        after = Some(last.id);
        for group in page {
            entries.push(file::GroupEntry {
                id: Some(group.id.0),
                members: members(reader, &group)?,
                licenses: licenses(reader, tenant, LicenseHolder::Group(group.id))?,
                name: group.display_name,
                description: group.description,
                mail_nickname: Some(group.mail_nickname),
                mail_enabled: group.mail_enabled,
                security_enabled: group.security_enabled,
                created_at: Some(datetime(group.created_at)),
            });
        }
    }
}

/// The names of a group's members, oldest first.
fn members(reader: &Reader<'_>, group: &Group) -> Result<Vec<String>, StoreError> {
    let mut members = Vec::new();
    let mut after = None;
    loop {
        let page = reader.group_member_list(group.tenant_id, group.id, after, PAGE_ROWS)?;
        let Some(last) = page.last() else { break };
        after = Some(last.id);
        for user in page {
            let since = reader.group_member_since(group.tenant_id, group.id, user.id)?;
            members.push((since, user.id, user.user_principal_name));
        }
    }
    members.sort_unstable();
    Ok(members.into_iter().map(|(_, _, name)| name).collect())
}
