"""The cycle of a declarative tool for every entity that can be created: create, read back, update, delete."""

import json
import re
import uuid
from dataclasses import dataclass, field

import pytest

from service import REPOSITORY

ENDPOINT = "/deviceManagement/virtualEndpoint"
GROUP = "0ff1ce00-0000-4000-8000-0000000000f1"
WINDOWS_11 = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"
WINDOWS_10 = "microsoftwindowsdesktop_windows-ent-cpc_win10-22h2-ent-cpc"
AZURE = "/subscriptions/0ac520ee-14c0-480f-b6c9-0a90c585ffff/resourceGroups/office"
NETWORK = f"{AZURE}/providers/Microsoft.Network/virtualNetworks/office"
# No resource has this id.
NOTHING = "00000000-0000-4000-8000-000000000000"
# What the service writes: different in each run, and ignored in bodies.
COMPUTED = {"@odata.context", "@odata.type", "id", "addedDateTime", "createdDateTime", "lastModifiedDateTime"}
# What can be created and not deleted: it is deleted by the path of its newer form.
KEPT = {f"{ENDPOINT}/externalPartnerSettings"}


@dataclass(frozen=True)
class Entity:
    """What a tool writes, and what it reads back. `<number>` in a text is replaced by a number of the test, and
    `<policy>` by the id of a policy whose users get single applications."""

    type: str
    # The properties without which there is no entity.
    required: dict
    # What an entity has of which only these were written.
    defaults: dict
    # Values other than the defaults, of every property that can be written later.
    changed: dict
    # Values other than the defaults, of properties that are written at creation only.
    immutable: dict = field(default_factory=dict)
    # What cannot be taken back by writing null.
    kept: dict = field(default_factory=dict)
    # What follows from `kept`.
    derived: dict = field(default_factory=dict)
    # What is written and never read.
    secret: dict = field(default_factory=dict)
    # What the engine writes later, by an action that begins with each write.
    engine: frozenset = frozenset()
    # Whether only people write it, and applications do not.
    by_people: bool = False

    def needs_policy(self):
        return "<policy>" in self.required.values()


def join(region_name, region_group=None):
    return {
        "domainJoinType": "azureADJoin",
        "geographicLocationType": None,
        "onPremisesConnectionId": None,
        "regionGroup": region_group,
        "regionName": region_name,
        "type": "azureADJoin",
    }


def target(group=GROUP):
    return {
        "@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget",
        "allotmentDisplayName": None,
        "allotmentLicensesCount": None,
        "groupId": group,
        "servicePlanId": None,
    }


POLICY = Entity(
    type="cloudPcProvisioningPolicy",
    required={
        "displayName": "Policy <number>",
        "imageId": WINDOWS_11,
        "domainJoinConfigurations": [join("automatic", "usWest")],
    },
    defaults={
        "alternateResourceUrl": None,
        "autopatch": None,
        "autopilotConfiguration": None,
        "cloudPcGroupDisplayName": None,
        "cloudPcNamingTemplate": None,
        "createdBy": "Administrator",
        "description": None,
        "enableSingleSignOn": False,
        "gracePeriodInHours": 168,
        "imageDisplayName": "Windows 11 Enterprise 24H2",
        "imageType": "gallery",
        "lastModifiedBy": "Administrator",
        "localAdminEnabled": False,
        "managedBy": "windows365",
        "microsoftManagedDesktop": {"managedType": "notManaged", "profile": None, "type": "notManaged"},
        "provisioningType": "dedicated",
        "scopeIds": ["0"],
        "snapshotResetMode": "notApplicable",
        "userExperienceType": "cloudPc",
        "userSettingsPersistenceConfiguration": None,
        "windowsSetting": {"locale": "en-US"},
        "windowsSettings": {"language": "en-US"},
    },
    changed={
        "autopilotConfiguration": {
            "applicationTimeoutInMinutes": 30,
            "devicePreparationProfileId": "0ff1ce00-0000-4000-8000-0000000000aa",
            "onFailureDeviceAccessDenied": True,
        },
        "cloudPcNamingTemplate": "CPC-%USERNAME:4%-%RAND:5%",
        "description": "Everything that a policy has",
        "enableSingleSignOn": True,
        "localAdminEnabled": True,
        "managedBy": "windows365,devBox",
        "microsoftManagedDesktop": {"managedType": "starterManaged", "profile": "Pilot", "type": "starterManaged"},
        "scopeIds": ["0", "7"],
        "snapshotResetMode": "enabled",
        "windowsSetting": {"locale": "de-DE"},
        "windowsSettings": {"language": "de-DE"},
    },
    kept={
        "displayName": "Renamed <number>",
        "imageId": WINDOWS_10,
        "imageDisplayName": "Ten",
        "domainJoinConfigurations": [join("westeurope"), join("automatic", "usEast")],
    },
    immutable={
        "provisioningType": "sharedByEntraGroup",
        "userExperienceType": "cloudApp",
        "userSettingsPersistenceConfiguration": {
            "userSettingsPersistenceEnabled": True,
            "userSettingsPersistenceStorageSizeCategory": "eightGB",
        },
    },
)

SETTING = Entity(
    type="cloudPcUserSetting",
    required={"displayName": "Setting <number>"},
    defaults={
        "crossRegionDisasterRecoverySetting": None,
        "localAdminEnabled": False,
        "notificationSetting": None,
        "provisioningSourceType": "image",
        "resetEnabled": False,
        "restorePointSetting": {"frequencyInHours": 12, "frequencyType": "default", "userRestoreEnabled": False},
        "selfServiceEnabled": None,
    },
    changed={
        "crossRegionDisasterRecoverySetting": {
            "crossRegionDisasterRecoveryEnabled": True,
            "disasterRecoveryNetworkSetting": {
                "@odata.type": "#microsoft.graph.cloudPcDisasterRecoveryMicrosoftHostedNetworkSetting",
                "regionGroup": "usEast",
                "regionName": "automatic",
            },
            "disasterRecoveryType": "crossRegion",
            "maintainCrossRegionRestorePointEnabled": True,
            "userInitiatedDisasterRecoveryAllowed": True,
        },
        "localAdminEnabled": True,
        "notificationSetting": {"restartPromptsDisabled": True},
        "provisioningSourceType": "snapshot",
        "resetEnabled": True,
        "restorePointSetting": {"frequencyInHours": 4, "frequencyType": "fourHours", "userRestoreEnabled": True},
        "selfServiceEnabled": True,
    },
    kept={"displayName": "Renamed <number>"},
)


APP = Entity(
    type="cloudPcCloudApp",
    required={
        "displayName": "App <number:.20>",
        "provisioningPolicyId": "<policy>",
        "appDetail": {
            "@odata.type": "#microsoft.graph.cloudPcFilePathAppDetail",
            "commandLineArguments": None,
            "filePath": "C:/app.exe",
            "iconIndex": None,
            "iconPath": None,
        },
    },
    defaults={
        "actionFailedErrorCode": None,
        "actionFailedErrorMessage": None,
        "appStatus": "ready",
        "availableToUser": False,
        "description": None,
        "discoveredAppName": None,
        "lastPublishedDateTime": None,
        "scopeIds": ["0"],
    },
    changed={"description": "Writes", "scopeIds": ["0", "7"]},
    kept={
        "displayName": "Renamed <number:.20>",
        "appDetail": {
            "@odata.type": "#microsoft.graph.cloudPcFilePathAppDetail",
            "commandLineArguments": "/quiet",
            "filePath": "C:/other.exe",
            "iconIndex": 3,
            "iconPath": "C:/other.ico",
        },
    },
)

POOL = Entity(
    type="cloudPcAgentPool",
    required={
        "displayName": "Pool <number>",
        "cloudPcConfiguration": {
            "imageDisplayName": "Windows 11 Enterprise 24H2",
            "imageId": WINDOWS_11,
            "imageType": "gallery",
            "osLocale": None,
        },
    },
    defaults={
        "billingConfiguration": None,
        "capabilities": None,
        "description": None,
        "networkConfiguration": None,
        "poolUrl": None,
        "scalingPolicy": None,
        "sessionUsage": None,
    },
    changed={
        "billingConfiguration": {"billingPlanId": "plan", "billingType": "payAsYouGo"},
        "capabilities": {"enableSingleSignOn": True},
        "description": "For agents",
        "networkConfiguration": {
            "@odata.type": "#microsoft.graph.cloudPcMicrosoftHostedNetworkConfiguration",
            "geographicLocationType": "usWest",
            "regionGroups": [{"regionGroup": "usWest", "regions": ["automatic"]}],
        },
        "scalingPolicy": {"maximumCount": 900, "minimumCount": 0},
    },
    kept={
        "displayName": "Renamed <number>",
        "cloudPcConfiguration": {
            "imageDisplayName": "Ten",
            "imageId": WINDOWS_10,
            "imageType": "gallery",
            "osLocale": "de-DE",
        },
    },
)

WINDOW = Entity(
    type="cloudPcMaintenanceWindow",
    required={
        "displayName": "Window",
        "schedules": [{"scheduleType": "weekday", "startTime": "22:00:00.000", "endTime": "02:00:00.0000000"}],
    },
    defaults={"description": None, "notificationLeadTimeInMinutes": 60},
    changed={"description": "At night", "notificationLeadTimeInMinutes": 0},
    kept={
        "displayName": "Renamed",
        "schedules": [{"scheduleType": "weekend", "startTime": "00:00:00", "endTime": "00:00:00"}],
    },
)

BOOLEAN = {
    "@odata.type": "#microsoft.graph.cloudPcBooleanSetting",
    "dataType": "boolean",
    "isEnabled": True,
    "platform": "all",
    "settingDefinitionId": "W365.CloudPCConfiguration.AI.IsEnabled",
}

PROFILE = Entity(
    type="cloudPcSettingProfile",
    required={"displayName": "Profile"},
    defaults={
        "description": None,
        "isAssigned": False,
        "priorityMetaData": None,
        "profileType": "template",
        "roleScopeTagIds": ["0"],
        "settings": [],
        "templateId": None,
    },
    changed={
        "description": "Settings",
        "priorityMetaData": {"priority": 2},
        "profileType": "custom",
        "roleScopeTagIds": ["0", "7"],
        "templateId": "W365.WindowsApp",
    },
    kept={
        "displayName": "Renamed",
        "settings": [
            BOOLEAN,
            {
                "@odata.type": "#microsoft.graph.cloudPcListSetting",
                "children": [BOOLEAN | {"isEnabled": False}],
                "dataType": "list",
                "platform": "all",
                "settingDefinitionId": "W365.List",
            },
        ],
    },
)

RULE = Entity(
    type="alertRule",
    required={
        "displayName": "Rule",
        "alertRuleTemplate": "cloudPcProvisionScenario",
        "threshold": {"aggregation": "count", "operator": "greaterOrEqual", "target": 900},
    },
    defaults={
        "conditions": [],
        "description": None,
        "enabled": True,
        "isSystemRule": False,
        "notificationChannels": [],
        "severity": "unknown",
    },
    changed={"description": "Many fail", "enabled": False, "severity": "critical"},
    kept={
        "displayName": "Renamed",
        "conditions": [
            {
                "aggregation": "affectedCloudPcPercentage",
                "conditionCategory": "cloudPcInGracePeriod",
                "operator": "less",
                "relationshipType": "and",
                "thresholdValue": "50",
            }
        ],
        "notificationChannels": [
            {
                "notificationChannelType": "email",
                "notificationReceivers": [{"contactInformation": "admin@contoso.test", "locale": "en-US"}],
            }
        ],
        "threshold": {"aggregation": "percentage", "operator": "notEqual", "target": 7},
    },
)


def assignment(type):
    return Entity(type=type, required={"target": target()}, defaults={}, changed={}, kept={"target": target()})


def permission(action):
    """Returns a permission of a role definition."""
    return {"allowedResourceActions": [action], "condition": None, "excludedResourceActions": []}


# Each entity that can be created, by the path of its collection.
ENTITIES = {
    f"{ENDPOINT}/provisioningPolicies": POLICY,
    f"{ENDPOINT}/provisioningPolicies/{{cloudPcProvisioningPolicy-id}}/assignments": assignment(
        "cloudPcProvisioningPolicyAssignment"
    ),
    f"{ENDPOINT}/cloudApps": APP,
    f"{ENDPOINT}/cloudPcPools": POOL,
    f"{ENDPOINT}/cloudPcPools/{{cloudPcPool-id}}/assignments": Entity(
        type="cloudPcAgentPoolUserAssignment",
        required={"userPrincipalId": GROUP},
        defaults={},
        changed={},
        kept={"userPrincipalId": GROUP},
    ),
    f"{ENDPOINT}/maintenanceWindows": WINDOW,
    f"{ENDPOINT}/maintenanceWindows/{{cloudPcMaintenanceWindow-id}}/assignments": Entity(
        type="cloudPcMaintenanceWindowAssignment",
        required={"target": {"displayName": None, "groupId": GROUP}},
        defaults={},
        changed={},
        kept={"target": {"displayName": "Everyone", "groupId": GROUP}},
    ),
    f"{ENDPOINT}/settingProfiles": PROFILE,
    f"{ENDPOINT}/settingProfiles/{{cloudPcSettingProfile-id}}/assignments": Entity(
        type="cloudPcSettingProfileAssignment",
        required={"groupId": GROUP},
        defaults={"assignType": "group"},
        changed={},
        kept={"groupId": GROUP},
        engine=frozenset({"profileId"}),
    ),
    "/deviceManagement/monitoring/alertRules": RULE,
    "/roleManagement/cloudPC/roleDefinitions": Entity(
        type="unifiedRoleDefinition",
        required={
            "displayName": "Role <number>",
            "rolePermissions": [permission("Microsoft.CloudPC/CloudPCs/Read")],
        },
        defaults={
            "allowedPrincipalTypes": None,
            "description": None,
            "isBuiltIn": False,
            "isEnabled": True,
            "isPrivileged": False,
            "resourceScopes": ["/"],
            "version": None,
        },
        engine=frozenset({"templateId"}),
        changed={"description": "Looks after the desks"},
        kept={
            "displayName": "Renamed <number>",
            "rolePermissions": [permission("Microsoft.CloudPC/CloudPCs/Reboot")],
        },
    ),
    "/roleManagement/cloudPC/roleAssignments": Entity(
        type="unifiedRoleAssignmentMultiple",
        required={
            "displayName": "Assignment <number>",
            "principalIds": [GROUP],
            "roleDefinitionId": "ea8e2fb8-e909-44e6-bae7-56757cf6f347",
        },
        defaults={"appScopeIds": [], "condition": None, "description": None, "directoryScopeIds": ["/"]},
        changed={"description": "The office reads"},
        kept={"displayName": "Renamed <number>", "appScopeIds": ["0", "7"]},
    ),
    f"{ENDPOINT}/userSettings": SETTING,
    f"{ENDPOINT}/userSettings/{{cloudPcUserSetting-id}}/assignments": assignment("cloudPcUserSettingAssignment"),
    f"{ENDPOINT}/galleryImages": Entity(
        type="cloudPcGalleryImage",
        required={
            "id": "contoso_debian_<number>",
            "displayName": "Debian",
            "sizeInGB": 2,
            "osVersionNumber": "10.0.19045",
        },
        defaults={
            "endDate": None,
            "expirationDate": None,
            "offer": "debian",
            "offerDisplayName": "debian",
            "offerName": "debian",
            "publisher": "contoso",
            "publisherName": "contoso",
            "recommendedSku": None,
            "sku": "<number>",
            "skuDisplayName": "<number>",
            "skuName": "<number>",
            "startDate": None,
            "status": "supported",
        },
        changed={"startDate": "2026-01-31", "endDate": "9998-01-31", "expirationDate": "9999-01-31"},
        kept={"displayName": "Debian 12", "sizeInGB": 4, "osVersionNumber": "10.0.22631"},
    ),
    f"{ENDPOINT}/deviceImages": Entity(
        type="cloudPcDeviceImage",
        required={
            "displayName": "Image <number>",
            "version": "0.0.1",
            "sourceImageResourceId": f"{AZURE}/providers/Microsoft.Compute/images/office",
        },
        defaults={"scopeIds": ["0"]},
        changed={"scopeIds": ["0", "7"]},
        kept={"displayName": "Renamed <number>", "version": "0.0.2"},
        engine=frozenset(
            {
                "errorCode",
                "expirationDate",
                "operatingSystem",
                "osBuildNumber",
                "osStatus",
                "osVersionNumber",
                "sizeInGB",
                "status",
                "statusDetails",
            }
        ),
    ),
    f"{ENDPOINT}/onPremisesConnections": Entity(
        type="cloudPcOnPremisesConnection",
        required={
            "displayName": "Connection <number>",
            "subscriptionId": AZURE.split("/")[2],
            "resourceGroupId": AZURE,
            "virtualNetworkId": NETWORK,
            "subnetId": f"{NETWORK}/subnets/default",
            "adDomainName": "corp.contoso.test",
            "adDomainUsername": "join@corp.contoso.test",
        },
        defaults={
            "alternateResourceUrl": None,
            "connectionType": "hybridAzureADJoin",
            "inUse": False,
            "inUseByCloudPc": False,
            "managedBy": "windows365",
            "organizationalUnit": None,
            "scopeIds": ["0"],
            "type": "hybridAzureADJoin",
        },
        changed={"managedBy": "windows365,devBox", "organizationalUnit": "OU=Office", "scopeIds": ["0", "7"]},
        kept={"displayName": "Renamed <number>", "subnetId": f"{NETWORK}/subnets/other"},
        secret={"adDomainPassword": "a password of tests only"},
        engine=frozenset(
            {
                "adDomainPassword",
                "healthCheckPaused",
                "healthCheckStatus",
                "healthCheckStatusDetail",
                "healthCheckStatusDetails",
                "subnetPrivateIpDetail",
                "subscriptionName",
                "virtualNetworkLocation",
            }
        ),
        by_people=True,
    ),
    f"{ENDPOINT}/externalPartners": Entity(
        type="cloudPcExternalPartner",
        required={"partnerId": "<number>", "enableConnection": False},
        defaults={
            "agentSetting": None,
            "connectionStatus": "notAvailable",
            "lastSyncDateTime": None,
            "statusDetails": "The connection to the external partner is disabled",
        },
        changed={},
        kept={"enableConnection": True},
        derived={"connectionStatus": "available", "statusDetails": "The external partner is available"},
    ),
    "/groups": Entity(
        type="group",
        required={
            "displayName": "Group",
            "mailEnabled": False,
            "mailNickname": "group-<number>",
            "securityEnabled": True,
        },
        defaults={
            "assignedLicenses": [],
            "description": None,
            "deletedDateTime": None,
            "groupTypes": [],
            "isAssignableToRole": None,
            "mail": None,
            "membershipRule": None,
            "visibility": None,
        },
        changed={"description": "Everyone in the office"},
        kept={
            "displayName": "Renamed",
            "mailEnabled": True,
            "mailNickname": "renamed-<number>",
            "securityEnabled": False,
        },
    ),
    "/users": Entity(
        type="user",
        required={
            "accountEnabled": True,
            "displayName": "New hire",
            "mailNickname": "hire-<number>",
            "userPrincipalName": "hire-<number>@contoso.test",
        },
        defaults={
            "assignedLicenses": [],
            "businessPhones": [],
            "department": None,
            "givenName": None,
            "jobTitle": None,
            "mail": None,
            "mobilePhone": None,
            "officeLocation": None,
            "preferredLanguage": None,
            "surname": None,
            "usageLocation": None,
        },
        changed={
            "department": "Computing",
            "givenName": "Grace",
            "jobTitle": "Rear admiral",
            "mail": "grace@contoso.test",
            "surname": "Hopper",
            "usageLocation": "US",
        },
        kept={
            "accountEnabled": False,
            "displayName": "Grace Hopper",
            "mailNickname": "grace-<number>",
            "userPrincipalName": "grace-<number>@contoso.test",
        },
        secret={"passwordProfile": {"password": "correct horse battery"}},
    ),
}


def contract(name):
    return json.loads((REPOSITORY / "contract" / name).read_text())


CONTRACTS = {"beta": contract("types.beta.json"), "v1.0": contract("types.v1.json")}


def creations(root):
    """Returns the paths of all operations of a root that create an entity that can be updated too. Webhooks cannot:
    their address has to be confirmed."""
    own = contract({"beta": "operations.beta.json", "v1.0": "operations.v1.json"}[root])["operations"]
    more = contract("observed.json")["operations"] + contract("monitoring.json")["operations"]
    observed = [operation for operation in more if root in operation["api"]]
    updated = {operation["path"].rpartition("/")[0] for operation in own + observed if operation["kind"] == "update"}
    return (updated - KEPT) & {
        operation["path"]
        for operation in own + observed
        if operation["kind"] == "create" and operation["response"]["kind"] == "entity"
    }


def known(root, type, value):
    """Returns the part of a value that a root has names for."""
    if isinstance(value, list):
        return [known(root, type, element) for element in value]
    types, enums = CONTRACTS[root]["types"], CONTRACTS[root]["enums"]
    if not isinstance(value, dict) or type not in types:
        return value
    properties = {"id": {"type": "Edm.String"}, "@odata.type": {"type": "Edm.String"}}
    actual = value.get("@odata.type", type).removeprefix("#microsoft.graph.")
    while actual in types:
        properties |= types[actual].get("properties", {})
        actual = types[actual].get("base")
    part = {}
    for name, inner in value.items():
        of = properties.get(name, {}).get("type")
        if of and (of not in enums or inner is None or enums[of].get("flags") or inner in enums[of]["members"]):
            part[name] = known(root, of, inner)
    return part


class Tool:
    """Writes and reads one kind of entity below one root."""

    def __init__(self, service, root, path, person):
        self.service, self.root, self.entity = service, root, ENTITIES[path]
        self.token = person if self.entity.by_people else None
        self.number = str(uuid.uuid4())
        self.parent = self.policy = None
        if self.entity.needs_policy():
            self.policy = Tool(service, root, f"{ENDPOINT}/provisioningPolicies", person)
            self.policy_id = self.policy.create(POLICY.required | POLICY.immutable)["id"]
        if "{" in path:
            above, place = path[: path.index("{")].rstrip("/"), path[path.index("}") + 1 :]
            self.parent = Tool(service, root, above, person)
            path = f"{above}/{self.parent.create(self.parent.entity.required)['id']}{place}"
        self.collection = f"/{root}{path}"

    def text(self, values):
        """Returns values as this root knows them, with the number of this tool in them."""
        text = json.dumps(values).replace("<number>", self.number).replace("<number:.20>", self.number[:20])
        values = json.loads(text.replace("<policy>", self.policy_id) if self.policy else text)
        return known(self.root, self.entity.type, values)

    def call(self, method, identity=None, query="", body=None):
        path = f"{self.collection}/{identity}" if identity else self.collection
        return self.service.call(method, path + query, body, self.token)

    def create(self, values):
        reply = self.call("POST", body=self.text(values) | self.entity.secret)
        assert reply.status == 201, reply
        self.rest()
        return reply.json()

    def update(self, identity, values):
        reply = self.call("PATCH", identity, body=self.text(values))
        assert reply.status in (200, 204), reply
        self.rest()

    def rest(self):
        """Waits until the engine has written its part."""
        if self.entity.engine:
            self.service.rest()

    def read(self, identity, names):
        """Reads these properties of an entity."""
        reply = self.call("GET", identity, f"?$select={','.join(names)}")
        assert reply.status == 200, reply
        return {name: value for name, value in reply.json().items() if name in names}

    def delete(self, identity):
        return self.call("DELETE", identity)

    def clean_up(self):
        if self.policy is not None:
            assert self.policy.delete(self.policy_id).status == 204
        if self.parent is not None:
            parent = self.collection.removesuffix("/assignments").rsplit("/", 1)[1]
            assert self.parent.delete(parent).status == 204


# What is requested once and never changed: no tool declares it.
REQUESTS = {f"{ENDPOINT}/bulkActions", f"{ENDPOINT}/reports/exportJobs"}


@pytest.mark.parametrize("root", ["beta", "v1.0"])
def test_the_table_has_every_entity_that_can_be_created(office, root):
    offered = set()
    for path in creations(root):
        reply = office.call("POST", f"/{root}{re.sub(r'{[^}]*}', NOTHING, path)}", "{}")
        assert reply.status in (400, 403, 404, 405, 501), (path, reply)
        if reply.status not in (405, 501):
            offered.add(path)
    assert offered - REQUESTS == set(ENTITIES) & creations(root)
    assert set(ENTITIES) <= creations("beta")


@pytest.mark.parametrize(
    ("root", "path"), [(root, path) for root in ("beta", "v1.0") for path in sorted(set(ENTITIES) & creations(root))]
)
def test_what_a_tool_writes_is_what_it_reads(office, ada, root, path):
    tool = Tool(office, root, path, ada.get_token().token)
    entity = tool.entity

    def expect(identity, values):
        expected = tool.text(values)
        assert tool.read(identity, list(expected)) == expected

    plain = entity.defaults | entity.required
    created = tool.create(entity.required)
    identity = created["id"]
    assert set(created) - COMPUTED - entity.engine <= set(plain), "a property that the table does not have"
    expect(identity, plain)

    update = entity.changed | entity.kept
    for _ in range(2):
        tool.update(identity, update)
        expect(identity, plain | update | entity.derived)
    if entity.changed:
        tool.update(identity, dict.fromkeys(entity.changed))
    expect(identity, plain | entity.kept | entity.derived)

    assert tool.delete(identity).status == 204
    gone = tool.call("GET", identity)
    again = tool.delete(identity)
    assert [(reply.status, reply.json()["error"]["code"]) for reply in (gone, again)] == [(404, "ResourceNotFound")] * 2

    everything = entity.required | update | entity.immutable
    identity = tool.create(everything)["id"]
    expect(identity, entity.defaults | everything | entity.derived)
    assert tool.delete(identity).status == 204
    tool.clean_up()
