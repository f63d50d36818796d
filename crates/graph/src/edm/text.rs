//! What texts stand for. The contract declares ids and names as `Edm.String`, which says nothing
//! about how they compare.

/// What a property or parameter of type `Edm.String` holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// Any text; case makes a difference.
    Plain,
    /// A GUID; case makes no difference.
    Guid,
    /// The user principal name or mail address of a user; case makes no difference.
    UserName,
}

const GUIDS: [&str; 17] = [
    "aadDeviceId",
    "activityId",
    "applicationId",
    "authenticatedAppId",
    "azureADDeviceId",
    "azureActiveDirectoryDeviceId",
    "cloudPcId",
    "correlationId",
    "groupId",
    "managedDeviceId",
    "partnerId",
    "provisioningPolicyId",
    "remoteTenantId",
    "servicePlanId",
    "subscriptionId",
    "targetServicePlanId",
    "userId",
];

const USER_NAMES: [&str; 9] = [
    "assignedToUserPrincipalName",
    "assignedUserPrincipalName",
    "authenticatedUserPrincipalName",
    "emailAddress",
    "enrolledByUserPrincipalName",
    "initiatedByUserPrincipalName",
    "mail",
    "onPremisesUserPrincipalName",
    "userPrincipalName",
];

impl TextKind {
    /// What the properties and parameters of this name hold. `id` is plain: some entities have ids
    /// that are no GUIDs.
    pub fn of(name: &str) -> Self {
        match name {
            _ if GUIDS.contains(&name) => Self::Guid,
            _ if USER_NAMES.contains(&name) => Self::UserName,
            _ => Self::Plain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Edm, Version};

    #[test]
    fn every_name_is_one_of_the_contract_and_a_text_there() {
        let edm = Edm::of(Version::Beta);
        let properties = edm.types.values().flat_map(|declared| &declared.properties);
        let parameters = edm.operations.iter().flat_map(|operation| &operation.parameters);
        let declared: Vec<_> = properties.chain(parameters).collect();
        for name in GUIDS.iter().chain(&USER_NAMES) {
            let mut of_that_name = declared.iter().filter(|property| property.name == *name).peekable();
            assert!(of_that_name.peek().is_some(), "{name}");
            assert!(of_that_name.all(|property| property.type_ref.name == "Edm.String"), "{name}");
        }
    }
}
