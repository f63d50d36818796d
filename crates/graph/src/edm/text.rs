//! Meaning of strings. The contract declares ids and names as `Edm.String`, which does not say how
//! they compare.

/// Meaning of a property or parameter of type `Edm.String`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TextKind {
    /// Any string; compared case-sensitively.
    Plain,
    /// A GUID; compared case-insensitively.
    Guid,
    /// A user principal name or mail address; compared case-insensitively.
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
    /// Returns the meaning of properties and parameters of this name. `id` is plain: the ids of
    /// some entities are not GUIDs.
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
    fn every_listed_name_is_a_string_or_a_guid_in_the_contract() {
        let edm = Edm::of(Version::Beta);
        let properties = edm.types.values().flat_map(|declared| &declared.properties);
        let parameters = edm.operations.iter().flat_map(|operation| &operation.parameters);
        let declared: Vec<_> = properties.chain(parameters).collect();
        for name in GUIDS.iter().chain(&USER_NAMES) {
            let mut of_that_name = declared.iter().filter(|property| property.name == *name).peekable();
            assert!(of_that_name.peek().is_some(), "{name}");
            let type_fits = |type_name: &str| {
                type_name == "Edm.String" || type_name == "Edm.Guid" && TextKind::of(name) == TextKind::Guid
            };
            assert!(of_that_name.all(|property| type_fits(&property.type_ref.name)), "{name}");
        }
    }
}
