//! Users, groups, and licences.

mod columns;

use cloudpc_model::SkuId;
use cloudpc_store::{Group, Subscription, User, UserLicense};
use serde::Serialize as DeriveSerialize;
use serde::ser::{Serialize, SerializeMap, Serializer};

use super::{Shown, Time};
use crate::pipeline::list::PropertySet;

pub use columns::{basic_user_property, group_property, user_property};

/// `user`. Without `$select`, Graph sends a few properties only.
#[derive(Clone, Copy)]
pub struct UserView<'a> {
    /// The user.
    pub user: &'a User,
    /// Their licences.
    pub licenses: &'a [UserLicense],
    /// Which properties are shown.
    pub set: PropertySet,
    /// Whether only names and addresses are shown.
    pub basic: bool,
    /// Whether its type is sent, for lists that can have other objects in Graph.
    pub typed: bool,
}

impl Serialize for UserView<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        const NONE: Option<&str> = None;
        let Self { user, licenses, set, basic, typed } = self;
        let profile = &user.profile;
        let mut map = serializer.serialize_map(None)?;
        if *typed {
            map.serialize_entry("@odata.type", "#microsoft.graph.user")?;
        }
        map.serialize_entry("id", &Shown(user.id))?;
        map.serialize_entry("displayName", &user.display_name)?;
        map.serialize_entry("givenName", &profile.given_name)?;
        map.serialize_entry("mail", &profile.mail)?;
        map.serialize_entry("surname", &profile.surname)?;
        map.serialize_entry("userPrincipalName", &user.user_principal_name)?;
        if *set != PropertySet::Default {
            // Graph's model says that these are never null.
            map.serialize_entry("birthday", "0001-01-01T00:00:00Z")?;
            map.serialize_entry("hireDate", "0001-01-01T00:00:00Z")?;
            map.serialize_entry("deviceEnrollmentLimit", &5)?;
        }
        if *basic {
            return map.end();
        }
        map.serialize_entry("jobTitle", &profile.job_title)?;
        map.serialize_entry("businessPhones", &[(); 0])?;
        for absent in ["mobilePhone", "officeLocation", "preferredLanguage"] {
            map.serialize_entry(absent, &NONE)?;
        }
        if *set != PropertySet::Default {
            map.serialize_entry("accountEnabled", &user.enabled)?;
            map.serialize_entry("assignedLicenses", &assigned(licenses.iter().map(|license| license.sku_id)))?;
            map.serialize_entry("createdDateTime", &user.created_at.map(Time))?;
            map.serialize_entry("department", &profile.department)?;
            map.serialize_entry("mailNickname", &profile.mail_nickname)?;
            map.serialize_entry("usageLocation", &profile.usage_location)?;
            map.serialize_entry("userType", "Member")?;
        }
        map.end()
    }
}

/// `assignedLicense`
#[derive(DeriveSerialize)]
#[serde(rename_all = "camelCase")]
struct AssignedLicense {
    disabled_plans: [(); 0],
    sku_id: Shown<SkuId>,
}

fn assigned(skus: impl Iterator<Item = SkuId>) -> Vec<AssignedLicense> {
    skus.map(|sku| AssignedLicense { disabled_plans: [], sku_id: Shown(sku) }).collect()
}

/// `group`
#[derive(DeriveSerialize)]
#[serde(rename_all = "camelCase")]
pub struct GroupView {
    #[serde(rename = "@odata.type", skip_serializing_if = "Option::is_none")]
    odata_type: Option<&'static str>,
    id: String,
    deleted_date_time: Option<()>,
    #[serde(skip_serializing_if = "Option::is_none")]
    assigned_licenses: Option<Vec<AssignedLicense>>,
    created_date_time: Time,
    description: Option<String>,
    display_name: String,
    group_types: [(); 0],
    is_assignable_to_role: Option<bool>,
    mail: Option<()>,
    mail_enabled: bool,
    mail_nickname: String,
    membership_rule: Option<()>,
    security_enabled: bool,
    visibility: Option<()>,
}

impl GroupView {
    /// The view of a group. `typed` tells its type, for lists that can have other objects in Graph.
    pub fn new(group: &Group, licenses: &[SkuId], set: PropertySet, typed: bool) -> Self {
        Self {
            odata_type: typed.then_some("#microsoft.graph.group"),
            id: group.id.to_string(),
            deleted_date_time: None,
            assigned_licenses: (set != PropertySet::Default).then(|| assigned(licenses.iter().copied())),
            created_date_time: Time(group.created_at),
            description: group.description.clone(),
            display_name: group.display_name.clone(),
            group_types: [],
            is_assignable_to_role: None,
            mail: None,
            mail_enabled: group.mail_enabled,
            mail_nickname: group.mail_nickname.clone(),
            membership_rule: None,
            security_enabled: group.security_enabled,
            visibility: None,
        }
    }
}

/// `servicePlanInfo`
#[derive(DeriveSerialize)]
#[serde(rename_all = "camelCase")]
struct ServicePlanInfo {
    applies_to: &'static str,
    provisioning_status: &'static str,
    service_plan_id: String,
    service_plan_name: String,
}

impl ServicePlanInfo {
    fn new(id: impl ToString, name: &str) -> Self {
        Self {
            applies_to: "User",
            provisioning_status: "Success",
            service_plan_id: id.to_string(),
            service_plan_name: name.to_owned(),
        }
    }
}

/// `licenseDetails`
#[derive(DeriveSerialize)]
#[serde(rename_all = "camelCase")]
pub struct LicenseDetail {
    id: String,
    service_plans: [ServicePlanInfo; 1],
    sku_id: String,
    sku_part_number: String,
}

/// The view of a licence that a user has.
pub fn license_detail(license: &UserLicense) -> LicenseDetail {
    LicenseDetail {
        id: license.sku_id.to_string(),
        service_plans: [ServicePlanInfo::new(license.service_plan_id, &license.sku_part_number)],
        sku_id: license.sku_id.to_string(),
        sku_part_number: license.sku_part_number.clone(),
    }
}

/// `licenseUnitsDetail`
#[derive(DeriveSerialize)]
#[serde(rename_all = "camelCase")]
struct LicenseUnits {
    enabled: u32,
    locked_out: u32,
    suspended: u32,
    warning: u32,
}

/// `subscribedSku`
#[derive(DeriveSerialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscribedSku {
    id: String,
    account_id: String,
    account_name: Option<()>,
    applies_to: &'static str,
    capability_status: &'static str,
    consumed_units: u64,
    prepaid_units: LicenseUnits,
    service_plans: [ServicePlanInfo; 1],
    sku_id: String,
    sku_part_number: String,
    subscription_ids: [String; 1],
}

/// The view of a subscription of which users have `consumed` units.
pub fn subscribed_sku(subscription: &Subscription, consumed: u64) -> SubscribedSku {
    SubscribedSku {
        id: sku_key(subscription),
        account_id: subscription.tenant_id.to_string(),
        account_name: None,
        applies_to: "User",
        capability_status: "Enabled",
        consumed_units: consumed,
        prepaid_units: LicenseUnits { enabled: subscription.units, locked_out: 0, suspended: 0, warning: 0 },
        service_plans: [ServicePlanInfo::new(subscription.service_plan_id, &subscription.sku_part_number)],
        sku_id: subscription.sku_id.to_string(),
        sku_part_number: subscription.sku_part_number.clone(),
        subscription_ids: [subscription.sku_id.to_string()],
    }
}

/// The key of a subscription: the tenant's id and the SKU's.
pub fn sku_key(subscription: &Subscription) -> String {
    format!("{}_{}", subscription.tenant_id, subscription.sku_id)
}
