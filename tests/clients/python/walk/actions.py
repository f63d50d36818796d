"""What the contract does not tell of actions: values of parameters, which of them are needed, and what comes before."""

from collections.abc import Callable
from dataclasses import dataclass, field

from entity import FRONTLINE_PLAN, GROUP, NOTHING
from fleet import ADA, LARGER_PLAN, LICENSE

TARGET = {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": GROUP}
REVIEW = {"inReview": True, "userAccessLevel": "unrestricted"}


@dataclass(frozen=True)
class Action:
    """The facts of an action. A text `{…}` in a value stands for a key of the fleet."""

    # A valid value of every parameter.
    values: dict = field(default_factory=dict)
    # The parameters without which it is refused.
    required: frozenset = frozenset()
    # What a refusal names if a parameter is missing, where it is not the parameter.
    named: dict = field(default_factory=dict)
    # What has to be so before each call: returns keys that replace those of the fleet.
    before: Callable | None = None


def needs(*names, before=None, **values):
    """Returns an action that needs these parameters, or all of them."""
    return Action(values, frozenset(names or values), before=before)


def optional(before=None, **values):
    return Action(values, before=before)


def nothing(before=None):
    return Action(before=before)


def in_grace_period(fleet):
    """Takes the assignment of the Frontline Cloud PC away, after giving it back."""
    fleet.assign_shift()
    fleet.dismiss_shift()
    return fleet.shift


def on_shift(fleet):
    fleet.assign_shift()
    return fleet.shift


def on_fresh_desk(fleet):
    return fleet.fresh_desk()


def with_failed_image(fleet):
    """Makes the upload of another image fail."""
    effect = {"effect": "fail", "code": "sourceImageInvalid", "message": "The disk does not boot."}
    with fleet.service.fault(effect, kind="importImage", step="bootImage"):
        image = fleet.create("/deviceManagement/virtualEndpoint/deviceImages")
    return {"{cloudPcDeviceImage-id}": image}


def with_hybrid_connection(fleet):
    path = "/deviceManagement/virtualEndpoint/onPremisesConnections"
    return {"{cloudPcOnPremisesConnection-id}": fleet.create(path, is_whole=False)}


def not_in_group(fleet):
    """Takes the user out of the group."""
    fleet.service.call("DELETE", f"/beta/groups/{GROUP}/members/{ADA}/$ref")
    return {}


def licensed(of):
    """Gives the parameters of `assignLicense` a subscription to add and one to remove."""

    def before(fleet):
        sku = fleet.first("/beta/subscribedSkus", skuPartNumber=LICENSE)["skuId"]
        change = {"addLicenses": [], "removeLicenses": [sku]}
        fleet.service.call("POST", f"/beta/{of}/assignLicense", change)
        fleet.service.rest()
        return {"{skuId}": sku}

    return before


# By the last two segments of the path.
ACTIONS = {
    "managedDevices/bulkReprovisionCloudPc": needs(managedDeviceIds=["{managedDevice-id}"]),
    "managedDevices/bulkRestoreCloudPc": needs(
        managedDeviceIds=["{managedDevice-id}"], restorePointDateTime="2026-11-30T00:00:00Z", timeRange="before"
    ),
    "managedDevices/bulkSetCloudPcReviewStatus": needs(
        before=on_fresh_desk, managedDeviceIds=["{managedDevice-id}"], reviewStatus=REVIEW
    ),
    "{managedDevice-id}/reprovisionCloudPc": nothing(),
    "{managedDevice-id}/resizeCloudPc": needs(before=on_fresh_desk, targetServicePlanId=LARGER_PLAN),
    "{managedDevice-id}/restoreCloudPc": needs(cloudPcSnapshotId="{cloudPcSnapshot-id}"),
    "{managedDevice-id}/setCloudPcReviewStatus": needs(before=on_fresh_desk, reviewStatus=REVIEW),
    "{managedDevice-id}/setDeviceName": needs(deviceName="CPC-NEW"),
    "{managedDevice-id}/syncDevice": nothing(),
    "{cloudPcBulkAction-id}/retry": optional(cloudPcIds=[NOTHING]),
    "cloudApps/publish": needs(cloudAppIds=["{cloudPcCloudApp-id}"]),
    "cloudApps/reset": needs(cloudAppIds=["{cloudPcCloudApp-id}"]),
    "cloudApps/unpublish": needs(cloudAppIds=["{cloudPcCloudApp-id}"]),
    "cloudPCs/validateBulkResize": needs(cloudPcIds=["{cloudPC-id}"], targetServicePlanId=LARGER_PLAN),
    "{cloudPC-id}/changeUserAccountType": needs(userAccountType="administrator"),
    "{cloudPC-id}/createSnapshot": optional(accessTier=None, storageAccountId=None),
    "{cloudPC-id}/endGracePeriod": nothing(in_grace_period),
    "{cloudPC-id}/powerOff": nothing(),
    "{cloudPC-id}/powerOn": nothing(),
    "{cloudPC-id}/reboot": nothing(),
    "{cloudPC-id}/rename": needs(displayName="renamed"),
    "{cloudPC-id}/reprovision": optional(osVersion="windows11", userAccountType="administrator"),
    "{cloudPC-id}/resize": needs(before=on_fresh_desk, targetServicePlanId=LARGER_PLAN),
    "{cloudPC-id}/restore": needs(cloudPcSnapshotId="{cloudPcSnapshot-id}"),
    "{cloudPC-id}/retryPartnerAgentInstallation": nothing(),
    "{cloudPC-id}/setReviewStatus": needs(before=on_fresh_desk, reviewStatus=REVIEW),
    "{cloudPC-id}/start": nothing(on_shift),
    "{cloudPC-id}/stop": nothing(on_shift),
    "{cloudPC-id}/troubleshoot": nothing(),
    "{cloudPcDeviceImage-id}/retryUpload": nothing(with_failed_image),
    "{cloudPcDeviceImage-id}/reupload": nothing(),
    "{cloudPcExternalPartner-id}/configureAgent": needs(
        agentSetting={
            "agentSha256": "5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713",
            "agentUrl": "https://agents.fabrikam.test/agent.msi",
            "autoDeploymentEnabled": True,
            "installParameters": ["/quiet"],
        }
    ),
    "{cloudPcExternalPartner-id}/deployAgent": needs(cloudPcIds=["{cloudPC-id}"]),
    "{cloudPcOnPremisesConnection-id}/runHealthChecks": nothing(),
    "{cloudPcOnPremisesConnection-id}/updateAdDomainPassword": needs(
        before=with_hybrid_connection, adDomainPassword="another password"
    ),
    "virtualEndpoint/organizationAction": needs(actionType="activate"),
    "provisioningPolicies/applyConfig": needs(
        "cloudPcIds",
        before=on_shift,
        cloudPcIds=["{cloudPC-id}"],
        policySettings="region,singleSignOn",
    ),
    "{cloudPcProvisioningPolicy-id}/apply": optional(
        isForceUserLogoffEnabled=True, policySettings="region", reservePercentage=0
    ),
    "{cloudPcProvisioningPolicy-id}/assign": needs(assignments=[{"target": TARGET | FRONTLINE_PLAN}]),
    "{cloudPcProvisioningPolicy-id}/retry": nothing(),
    "{cloudPcProvisioningPolicy-id}/schedulePolicyApplyTask": Action(
        {"scheduledRule": {"cronScheduleExpression": "0 0 0 20 * *", "reservePercentage": 0, "timezone": "cst"}},
        required=frozenset({"scheduledRule"}),
        # The schedule can also be sent itself.
        named={"scheduledRule": "cronScheduleExpression"},
    ),
    "userSettingsPersistenceDetail/batchCleanupUserSettingsPersistenceProfile": needs(
        "cloudProfileIds", cloudProfileIds=["none"], configurationId="none"
    ),
    "userSettingsPersistenceDetail/bulkCreateUserProfileSnapshot": needs(cloudProfileIds=["none"]),
    "userSettingsPersistenceDetail/bulkExportUserProfileSnapshot": Action(
        {"snapshotIds": ["none"], "storageDetail": {}}, frozenset({"snapshotIds"})
    ),
    "{cloudPcUserProfileSnapshot-id}/restore": needs(targetAssignmentId="none"),
    "snapshots/importSnapshot": needs(
        "sourceFiles",
        assignedUserId=ADA,
        sourceFiles=[{"sourceType": "sasUrl", "fileType": "dataFile", "sasUrl": "https://a.test/b"}],
    ),
    "snapshots/purgeImportedSnapshot": needs(snapshotIds=[]),
    "{cloudPcUserSetting-id}/assign": needs(assignments=[{"target": TARGET}]),
    "{cloudPcMaintenanceWindow-id}/assign": needs(assignments=[{"target": {"groupId": GROUP}}]),
    "{cloudPcSettingProfile-id}/assign": needs(assignments=[{"groupId": GROUP, "assignType": "group"}]),
    "{user-id}/assignLicense": needs(
        before=licensed(f"users/{ADA}"), addLicenses=[{"skuId": "{skuId}", "disabledPlans": []}], removeLicenses=[]
    ),
    "{group-id}/assignLicense": needs(
        before=licensed(f"groups/{GROUP}"), addLicenses=[{"skuId": "{skuId}", "disabledPlans": []}], removeLicenses=[]
    ),
    "members/$ref": needs(before=not_in_group, **{"@odata.id": f"https://graph.test/v1.0/directoryObjects/{ADA}"}),
}


def facts(operation):
    """Returns the facts of an action, and of a report what all reports share."""
    parent, name = operation.path.split("/")[-2:]
    if "top" in operation.parameters:
        return report(operation)
    if name == "retrieveCloudPcPerformanceMetricsReport":
        return optional(
            cloudPcId="{cloudPC-id}",
            endDateTime="2026-11-30T00:00:00Z",
            metricNames=None,
            startDateTime="2026-11-29T00:00:00Z",
            timeRange=None,
        )
    found = ACTIONS.get(f"{parent}/{name}")
    assert found, f"actions.py has no facts of '{parent}/{name}'"
    return found


def report(operation):
    names = {name: None for name, declared in operation.parameters.items() if name in ("reportName", "reportType")}
    common = {"filter": "", "groupBy": [], "orderBy": [], "search": "", "select": [], "skip": 0, "top": 5}
    return Action(names | common)
