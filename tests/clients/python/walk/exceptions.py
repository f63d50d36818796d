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

# Operations that cannot succeed here, by method and path, with the status of their answer and the
# reason.
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
    ("POST", f"{PERSISTENCE}/userProfileSnapshots/{{cloudPcUserProfileSnapshot-id}}/restore"): (404, NO_PROFILE),
    ("POST", f"{PERSISTENCE}/batchCleanupUserSettingsPersistenceProfile"): (404, NO_PROFILE),
    ("POST", f"{ENDPOINT}/snapshots/importSnapshot"): (409, "This installation has no connection to Azure."),
    (
        "GET",
        f"{ROLES}/roleAssignments/{{unifiedRoleAssignmentMultiple-id}}/directoryScopes/{{directoryObject-id}}",
    ): (404, "Role assignments are for the whole directory."),
}

# Properties that an SDK does not read as they are sent, with the reason.
MISREAD = {
    "relationshipType": "The SDK has other names for the members `and` and `or`, and reads null.",
}
# Properties that an SDK does not send although its client sets them, with the reason.
FLAGS = "The SDK reads an enum of flags as a list, and does not send it."
NOT_SENT = MISREAD | {"managedBy": FLAGS, "policySettings": FLAGS}

NO_PLAN = "A user setting takes no service plan."
# Properties within an entity that the walk writes no value of, with the reason.
UNSET = {
    "cloudPcProvisioningPolicy": {
        (
            "cloudPcDomainJoinConfiguration",
            "onPremisesConnectionId",
        ): "It excludes a region; `test_connections.py` sets it.",
    },
    "cloudPcUserSettingAssignment": {
        ("cloudPcManagementGroupAssignmentTarget", "allotmentDisplayName"): NO_PLAN,
        ("cloudPcManagementGroupAssignmentTarget", "allotmentLicensesCount"): NO_PLAN,
        ("cloudPcManagementGroupAssignmentTarget", "servicePlanId"): NO_PLAN,
    },
    "unifiedRoleDefinition": {
        ("unifiedRolePermission", "condition"): "No condition of a role is evaluated, so each is refused.",
    },
}

# Members that an entity takes with more than the walk gives it, by type, property and member, with
# the reason.
HYBRID = "A hybrid join needs a connection; `test_connections.py` writes it."
CUSTOM = "A custom image has to be uploaded first; `test_device_images.py` uses one."
NEEDS_MORE = {
    ("cloudPcProvisioningPolicy", "domainJoinType", "hybridAzureADJoin"): HYBRID,
    ("cloudPcProvisioningPolicy", "type", "hybridAzureADJoin"): HYBRID,
    ("cloudPcProvisioningPolicy", "imageType", "custom"): CUSTOM,
    ("cloudPcAgentPool", "imageType", "custom"): CUSTOM,
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

# The members that an action takes of an enum that it shares, by action and parameter. Others are
# refused.
TAKEN_MEMBERS = {
    ("createSnapshot", "accessTier"): set(),
    ("getCloudPcRecommendationReports", "reportName"): {"cloudPcUsageCategoryReport", "cloudPcUsageCategoryReports"},
    ("getFrontlineReport", "reportName"): {
        "noLicenseAvailableConnectivityFailureReport",
        "frontlineLicenseUsageReport",
        "frontlineLicenseUsageRealTimeReport",
        "frontlineLicenseHourlyUsageReport",
        "frontlineRealtimeUserConnectionsReport",
    },
}


def listed():
    """Returns every exception as Markdown: what it is about, and the reason."""
    rows = [(f"{method} `{path}`: {status}", why) for (method, path), (status, why) in REFUSED.items()]
    rows += [(f"`{name}` through the SDK", why) for name, why in NOT_SENT.items()]
    rows += [
        (f"`{type}/{name}` of a `{entity}`", why)
        for entity, properties in UNSET.items()
        for (type, name), why in properties.items()
    ]
    rows += [(f"`{name}` `{member}` of a `{entity}`", why) for (entity, name, member), why in NEEDS_MORE.items()]
    rows += [
        (
            f"other members of `{name}` of `{action}`",
            "It takes " + (", ".join(f"`{own}`" for own in sorted(members)) or "none") + ".",
        )
        for (action, name), members in TAKEN_MEMBERS.items()
    ]
    rows += [
        (", ".join(f"`{name}`" for name in sorted(names)) + f" of a `{type}`", "Sent only with `$select`, as in Graph.")
        for type, names in BY_SELECT.items()
    ]
    rows += [
        (f"most properties of a `{type}`", "Sent only with `$select`, as in Graph.")
        for type in sorted(MOSTLY_BY_SELECT)
    ]
    return rows
