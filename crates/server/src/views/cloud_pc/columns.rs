//! The columns that hold the properties of a Cloud PC.

use cloudpc_graph::Version;
use cloudpc_model::{Power, Product, ProvisioningType};
use cloudpc_store::{ListColumn, ListValue, cloud_pc_columns as column};
use serde_json::{Value, json};

use super::{power_state, product_type, provisioning_type, service_plan_type};
use crate::pipeline::list::ListProperty;
use crate::views::catalog::Catalog;

/// Returns how the store holds a property that a filter names; none if it cannot select by it.
pub fn property(path: &str, catalog: &Catalog, version: Version) -> Option<ListProperty> {
    Some(match path {
        "id" => ListProperty::Guid(column::ID),
        "displayName" => ListProperty::Text {
            column: column::DISPLAY_NAME,
            folded: Some(column::DISPLAY_NAME_FOLDED),
            nullable: false,
        },
        "managedDeviceId" => ListProperty::Guid(column::MANAGED_DEVICE_ID),
        "managedDeviceName" => ListProperty::text(column::MANAGED_DEVICE_NAME),
        "aadDeviceId" => ListProperty::Guid(column::AAD_DEVICE_ID),
        "userPrincipalName" => ListProperty::AnyCase { column: column::USER_PRINCIPAL_NAME, nullable: true },
        "imageDisplayName" => ListProperty::Choice {
            column: column::IMAGE_ID,
            shown: catalog.images().map(|image| (text(&image.id.0), json!(image.display_name))).collect(),
            others: Value::Null,
        },
        "provisioningPolicyId" => ListProperty::AnyCase { column: column::PROVISIONING_POLICY_ID, nullable: true },
        "provisioningPolicyName" => {
            ListProperty::Text { column: column::PROVISIONING_POLICY_NAME, folded: None, nullable: true }
        }
        "servicePlanId" => ListProperty::Guid(column::SERVICE_PLAN_ID),
        "servicePlanName" => ListProperty::Choice {
            column: column::SERVICE_PLAN_ID,
            shown: catalog.plans().map(|plan| (ListValue::Guid(plan.id.0), json!(plan.display_name))).collect(),
            others: Value::Null,
        },
        "onPremisesConnectionName" => ListProperty::Choice {
            column: column::ON_PREMISES_CONNECTION_ID,
            shown: catalog.connections().map(|(id, name)| (text(id), json!(name))).collect(),
            others: Value::Null,
        },
        "provisioningType" => {
            use ProvisioningType::{Dedicated, SharedByEntraGroup, SharedByUser};
            choice(column::PROVISIONING_TYPE, &[Dedicated, SharedByUser, SharedByEntraGroup], |provisioning| {
                Some(provisioning_type(provisioning, version == Version::Beta))
            })
        }
        "lastModifiedDateTime" => ListProperty::Time { column: column::MODIFIED_AT, nullable: false },
        "gracePeriodEndDateTime" => ListProperty::Time { column: column::GRACE_ENDS_AT, nullable: true },
        _ if version == Version::Beta => return beta(path),
        _ => return None,
    })
}

fn beta(path: &str) -> Option<ListProperty> {
    Some(match path {
        "status" => ListProperty::text(column::STATUS),
        "servicePlanType" => of_product(service_plan_type),
        "productType" => of_product(product_type),
        "userExperienceType" => ListProperty::text(column::USER_EXPERIENCE_TYPE),
        "deviceRegionName" => ListProperty::text(column::REGION),
        "provisionedDateTime" => ListProperty::Time { column: column::PROVISIONED_AT, nullable: true },
        "osVersion" => ListProperty::text(column::OS_VERSION),
        "userAccountType" => ListProperty::text(column::USER_ACCOUNT_TYPE),
        "powerState" => {
            choice(column::POWER_OBSERVED, &[Power::Running, Power::PoweredOff, Power::Unknown], power_state)
        }
        _ => return None,
    })
}

fn of_product(shown: impl Fn(Product) -> &'static str) -> ListProperty {
    choice(column::PRODUCT, &[Product::Enterprise, Product::Business, Product::Frontline], |product| {
        Some(shown(product))
    })
}

fn choice<T: Copy + Into<&'static str>>(
    column: ListColumn,
    all: &[T],
    shown: impl Fn(T) -> Option<&'static str>,
) -> ListProperty {
    let shown = all.iter().map(|value| (text((*value).into()), json!(shown(*value))));
    ListProperty::Choice { column, shown: shown.collect(), others: Value::Null }
}

fn text(value: &str) -> ListValue {
    ListValue::Text(value.to_owned())
}
