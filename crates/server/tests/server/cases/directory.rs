//! Cases of roles, users, groups and licences, and of the users of an assignment.

use serde_json::json;

use super::{Case, case};

pub fn cases() -> Vec<Case> {
    let user = json!({
        "accountEnabled": true, "displayName": "New", "mailNickname": "new", "userPrincipalName": "new@contoso.test",
        "passwordProfile": {"password": "correct horse"},
    });
    let group = json!({"displayName": "New", "mailEnabled": false, "mailNickname": "new", "securityEnabled": true});
    let licenses = json!({"addLicenses": [{"skuId": "{sku}"}], "removeLicenses": []});
    vec![
        case("virtualEndpoint.getEffectivePermissions", "GET /getEffectivePermissions()"),
        case("virtualEndpoint.retrieveScopedPermissions", "GET /retrieveScopedPermissions()"),
        case("rbacApplicationMultiple.get", "GET ~/roleManagement/cloudPC"),
        case("unifiedRbacResourceNamespace.list", "GET ~/roleManagement/cloudPC/resourceNamespaces"),
        case("unifiedRbacResourceNamespace.count", "GET ~/roleManagement/cloudPC/resourceNamespaces/$count"),
        case("unifiedRbacResourceNamespace.get", "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}"),
        case(
            "unifiedRbacResourceAction.list",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions",
        ),
        case(
            "unifiedRbacResourceAction.count",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/$count",
        ),
        case(
            "unifiedRbacResourceAction.get",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}",
        ),
        case(
            "resourceScope.get",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}/resourceScope",
        ),
        case(
            "authenticationContext.get",
            "GET ~/roleManagement/cloudPC/resourceNamespaces/{resourceNamespace}/resourceActions/{resourceAction}/authenticationContext",
        ),
        case(
            "roleDefinition.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/roleDefinition",
        ),
        case(
            "roleDefinitions.assignedPrincipals",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/assignedPrincipals(transitive=true,directoryScopeType='',directoryScopeId='')",
        ),
        case(
            "inheritsPermissionsFrom.list",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom",
        ),
        case(
            "inheritsPermissionsFrom.count",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom/$count",
        ),
        case(
            "inheritsPermissionsFrom.get",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom/{user}",
        ),
        case(
            "inheritsPermissionsFrom.assignedPrincipals",
            "GET ~/roleManagement/cloudPC/roleDefinitions/{unifiedRoleDefinition}/inheritsPermissionsFrom/{user}/assignedPrincipals(transitive=true,directoryScopeType='',directoryScopeId='')",
        ),
        case("appScope.list", "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/appScopes"),
        case(
            "appScope.count",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/appScopes/$count",
        ),
        case(
            "appScope.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/appScopes/{appScope}",
        ),
        case(
            "directoryScopes.list",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/directoryScopes",
        ),
        case(
            "directoryScopes.count",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/directoryScopes/$count",
        ),
        case(
            "directoryScopes.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/directoryScopes/{user}",
        ),
        case(
            "principals.list",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/principals",
        ),
        case(
            "principals.count",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/principals/$count",
        ),
        case(
            "principals.get",
            "GET ~/roleManagement/cloudPC/roleAssignments/{unifiedRoleAssignmentMultiple}/principals/{assignedPrincipal}",
        ),
        case("users.list", "GET ~/users"),
        case("users.delta", "GET ~/users/delta"),
        case("users.count", "GET ~/users/$count"),
        case("users.get", "GET ~/users/{user}"),
        case("users.create", "POST ~/users").with(user, "accountEnabled", json!("yes")),
        case("users.update", "PATCH ~/users/{user}").with(json!({"displayName": "New"}), "displayName", json!(1)),
        case("users.delete", "DELETE ~/users/{user}"),
        case("users.assignLicense", "POST ~/users/{user}/assignLicense").with(
            licenses.clone(),
            "addLicenses",
            json!([{"skuId": "no-guid"}]),
        ),
        case("licenseDetails.list", "GET ~/users/{user}/licenseDetails"),
        case("memberOf.list", "GET ~/users/{user}/memberOf"),
        case("groups.list", "GET ~/groups"),
        case("groups.count", "GET ~/groups/$count"),
        case("groups.delta", "GET ~/groups/delta"),
        case("groups.get", "GET ~/groups/{group}"),
        case("groups.create", "POST ~/groups").with(group, "securityEnabled", json!("yes")),
        case("groups.update", "PATCH ~/groups/{group}").with(json!({"displayName": "New"}), "displayName", json!([])),
        case("groups.delete", "DELETE ~/groups/{group}"),
        case("groups.assignLicense", "POST ~/groups/{group}/assignLicense").with(
            licenses,
            "removeLicenses",
            json!(["no-guid"]),
        ),
        case("members.list", "GET ~/groups/{group}/members"),
        case("members.count", "GET ~/groups/{group}/members/$count"),
        case("members.create", "POST ~/groups/{group}/members/$ref").with(
            json!({"@odata.id": "https://graph.microsoft.com/v1.0/directoryObjects/{user}"}),
            "@odata.id",
            json!(1),
        ),
        case("members.delete", "DELETE ~/groups/{group}/members/{member}/$ref"),
        case("subscribedSku.list", "GET ~/subscribedSkus"),
        case("subscribedSku.get", "GET ~/subscribedSkus/{subscribedSku}"),
        case("assignedUsers.list", "GET /provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers"),
        case("assignedUsers.count", "GET /provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers/$count"),
        case("assignedUsers.get", "GET /provisioningPolicies/{policy}/assignments/{assignment}/assignedUsers/{member}"),
    ]
    .into_iter()
    .chain(below_assignments())
    .collect()
}

/// Cases of what is below an assignment of a policy.
fn below_assignments() -> Vec<Case> {
    let below = |key: &'static str, method: &str, path: &str| {
        let request = format!("{method} /provisioningPolicies/{{policy}}/assignments/{{assignment}}/{path}");
        case(key, Box::leak(request.into_boxed_str()))
    };
    let persistence = |name: &str, method: &str, path: &str| {
        let key = format!("userSettingsPersistenceDetail.{name}");
        below(Box::leak(key.into_boxed_str()), method, &format!("userSettingsPersistenceDetail{path}"))
    };
    let snapshots = "userSettingsPersistenceDetail/userProfileSnapshots";
    vec![
        below("mailboxSettings.get", "GET", "assignedUsers/{member}/mailboxSettings"),
        below("serviceProvisioningError.list", "GET", "assignedUsers/{member}/serviceProvisioningErrors"),
        below("serviceProvisioningError.count", "GET", "assignedUsers/{member}/serviceProvisioningErrors/$count"),
        persistence("get", "GET", ""),
        persistence(
            "retrieveUserSettingsPersistenceProfiles",
            "GET",
            "/retrieveUserSettingsPersistenceProfiles(configurationId='c')",
        ),
        persistence(
            "retrieveUserSettingsPersistenceProfileUsage",
            "GET",
            "/retrieveUserSettingsPersistenceProfileUsage(configurationId='c')",
        ),
        persistence(
            "batchCleanupUserSettingsPersistenceProfile",
            "POST",
            "/batchCleanupUserSettingsPersistenceProfile",
        )
        .with(json!({"configurationId": "c", "cloudProfileIds": ["p"]}), "cloudProfileIds", json!([])),
        persistence("bulkCreateUserProfileSnapshot", "POST", "/bulkCreateUserProfileSnapshot").with(
            json!({"cloudProfileIds": ["p"]}),
            "cloudProfileIds",
            json!([]),
        ),
        persistence("bulkExportUserProfileSnapshot", "POST", "/bulkExportUserProfileSnapshot").with(
            json!({"snapshotIds": ["s"]}),
            "snapshotIds",
            json!(7),
        ),
        below("cloudPcUserProfileSnapshot.list", "GET", snapshots),
        below("cloudPcUserProfileSnapshot.count", "GET", &format!("{snapshots}/$count")),
        below("cloudPcUserProfileSnapshot.get", "GET", &format!("{snapshots}/none")),
        below("cloudPcUserProfileSnapshot.restore", "POST", &format!("{snapshots}/none/restore")).with(
            json!({"targetAssignmentId": "{assignment}"}),
            "targetAssignmentId",
            json!([]),
        ),
    ]
}
