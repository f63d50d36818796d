"""What the walk does not do, and why. `docs/coverage.md` shows it."""

from entity import ENDPOINT

PERSISTENCE = (
    f"{ENDPOINT}/provisioningPolicies/{{cloudPcProvisioningPolicy-id}}/assignments"
    "/{cloudPcProvisioningPolicyAssignment-id}/userSettingsPersistenceDetail"
)
ROLES = "/roleManagement/cloudPC"
INHERITED = (
    f"{ROLES}/roleDefinitions/{{unifiedRoleDefinition-id}}/inheritsPermissionsFrom/{{unifiedRoleDefinition-id1}}"
)
NO_PROFILE = "No profile of a user is stored."
NO_PARENT = "Role definitions inherit from none."

# Operations that cannot succeed here, by method and path, with the status of their answer and the reason.
REFUSED = {
    ("GET", f"{PERSISTENCE}/userProfileSnapshots/{{cloudPcUserProfileSnapshot-id}}"): (404, NO_PROFILE),
    ("GET", INHERITED): (404, NO_PARENT),
    (
        "GET",
        f"{INHERITED}/assignedPrincipals(transitive={{transitive}},directoryScopeType='{{directoryScopeType}}',"
        "directoryScopeId='{directoryScopeId}')",
    ): (404, NO_PARENT),
    (
        "GET",
        f"{ROLES}/resourceNamespaces/{{unifiedRbacResourceNamespace-id}}"
        "/resourceActions/{unifiedRbacResourceAction-id}/authenticationContext",
    ): (404, "No resource action needs an authentication context."),
    (
        "GET",
        f"{ROLES}/roleAssignments/{{unifiedRoleAssignmentMultiple-id}}/directoryScopes/{{directoryObject-id}}",
    ): (404, "Role assignments are for the whole directory."),
}

# Properties that an SDK does not read as they are sent, with the reason.
MISREAD = {
    "relationshipType": "The SDK has other names for the members `and` and `or`, and reads null.",
}

# Properties that are sent only when `$select` names them, as in Graph.
BY_SELECT = {
    "cloudPC": {
        "connectivityResult",
        "disasterRecoveryCapability",
        "frontlineCloudPcAvailability",
        "lastLoginResult",
        "lastLogoffDateTime",
        "lastRemoteActionResult",
        "osVersion",
        "powerState",
        "provisioningConfiguration",
        "userAccountType",
    },
    "cloudPcOnPremisesConnection": {
        "alternateResourceUrl",
        "healthCheckStatusDetail",
        "healthCheckStatusDetails",
        "inUse",
        "subnetPrivateIpDetail",
    },
    "group": {"assignedLicenses"},
}
# Types of which most properties are sent only when `$select` names them.
MOSTLY_BY_SELECT = {"managedDevice", "user"}
# Paths that show the ids of users and groups only: the rest takes permissions of the directory.
IDS_ONLY = f"{ROLES}/roleAssignments/{{unifiedRoleAssignmentMultiple-id}}/principals"
