"""A fleet that has a row in every list, so that every operation has something to answer."""

from entities import ENTITIES
from entity import ENDPOINT, FRONTLINE_PLAN, GROUP, NOTHING, WINDOWS_11, target
from facts import WRITTEN
from test_webhooks import Receiver
from tool import Tool

from people import device_code_token, public_client

ADA = "0ff1ce00-0000-4000-8000-0000000000a1"
ALAN = "0ff1ce00-0000-4000-8000-0000000000a2"
# A partner with an agent.
PARTNER = "0ff1ce00-0000-4000-8000-00000000fab1"
# The size of desks, and one that they can be given.
SMALLER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c1"
LARGER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c2"
LICENSE = "CPC_B_2C_8RAM_128GB"
BETA = f"/beta{ENDPOINT}"


class Fleet:
    """The fleet of a service, with the keys of one row of every list."""

    def __init__(self, service, monkeypatch):
        self.service = service
        self.person = device_code_token(
            service, public_client(service, monkeypatch), "ada@contoso.test", "tests-only-ada"
        )
        self.person = self.person["access_token"]
        self.receiver = Receiver()
        self.keys = {}
        self._create_entities()
        self._fill_directory()
        self._use_cloud_pcs()
        self._add_constants()

    def post(self, path, body=None, token=None):
        reply = self.service.call("POST", path, body, token)
        assert reply.status in (200, 201, 204), (path, reply)
        return reply.json() if reply.text else None

    def first(self, path, **wanted):
        """Returns the first row of a list that has these values."""
        rows = self.service.call("GET", path).json()["value"]
        return next(row for row in rows if wanted.items() <= row.items())

    def _fill_directory(self):
        self.post(f"/beta/groups/{GROUP}/members/$ref", {"@odata.id": f"https://graph.test/v1.0/users/{ADA}"})
        sku = self.first("/beta/subscribedSkus", skuPartNumber=LICENSE)
        self.post(f"/beta/users/{ADA}/assignLicense", {"addLicenses": [{"skuId": sku["skuId"]}], "removeLicenses": []})
        self.sku = sku["skuId"]
        self.keys |= {"{user-id}": ADA, "{group-id}": GROUP, "{subscribedSku-id}": sku["id"]}

    def _create_entities(self):
        for path in ENTITIES:
            self.keys[place(path)] = self.create(path)
        self._raise_an_alert()
        self._hire_a_shift()
        body = {"notificationUrl": self.receiver.url, "scenario": "When a Cloud PC changes"}
        self.keys["{webhook-id}"] = self.post(f"{BETA}/webhooks", body)["id"]
        self.service.rest()

    def _raise_an_alert(self):
        condition = {
            "aggregation": "affectedCloudPcCount",
            "conditionCategory": "provisionFailures",
            "operator": "greaterOrEqual",
            "relationshipType": "or",
            "thresholdValue": "0",
        }
        rule = {"displayName": "Always", "alertRuleTemplate": "cloudPcProvisionScenario", "conditions": [condition]}
        self.post("/beta/deviceManagement/monitoring/alertRules", rule)

    def _hire_a_shift(self):
        """Adds a policy of Frontline Cloud PCs and a Cloud PC of it."""
        body = {"displayName": "Shift", "mailEnabled": False, "mailNickname": "shift", "securityEnabled": True}
        group = self.post("/beta/groups", body)["id"]
        self.post(f"/beta/groups/{group}/members/$ref", {"@odata.id": f"https://graph.test/v1.0/users/{ALAN}"})
        body = {
            "displayName": "Shift",
            "imageId": WINDOWS_11,
            "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
            "provisioningType": "sharedByUser",
        }
        self._shift_policy = self.post(f"{BETA}/provisioningPolicies", body)["id"]
        self._shift_target = target(group, **FRONTLINE_PLAN)
        self.keys["{cloudPcFrontLineServicePlan-id}"] = self.first(f"{BETA}/frontLineServicePlans")["id"]
        self.assign_shift()

    def assign_shift(self):
        """Gives the shift its Cloud PC; `shift` has its keys."""
        self._assign_shift({"target": self._shift_target})
        cloud_pc = self.first(f"{BETA}/cloudPCs", provisioningPolicyId=self._shift_policy)["id"]
        self.shift = {"{cloudPC-id}": cloud_pc, "{user-id}": ALAN}

    def dismiss_shift(self):
        """Begins the grace period of the shift's Cloud PC."""
        self._assign_shift()

    def _assign_shift(self, *assignments):
        self.post(f"{BETA}/provisioningPolicies/{self._shift_policy}/assign", {"assignments": list(assignments)})
        self.service.rest()

    def fresh_desk(self):
        """Returns the keys of a Cloud PC that has its first size."""
        desk = self.first(f"{BETA}/cloudPCs", userPrincipalName="ada@contoso.test", servicePlanId=SMALLER_PLAN)
        return {"{cloudPC-id}": desk["id"], "{managedDevice-id}": desk["managedDeviceId"]}

    def create(self, path, is_whole=True):
        """Creates another entity, with everything that can be written or what is required, and returns its id."""
        tool = Tool(self.service, "beta", path, self.person)
        entity = tool.entity
        more = entity.changed | entity.kept | entity.immutable if is_whole else {}
        made = tool.create(entity.required | more)["id"]
        if tool.parent:
            self.keys[place(path[: path.index("/{")])] = tool.collection.rsplit("/", 2)[1]
        return made

    def _use_cloud_pcs(self):
        desk = self.first(f"{BETA}/cloudPCs", displayName="desk-01", userPrincipalName="ada@contoso.test")
        one = f"{BETA}/cloudPCs/{desk['id']}"
        self.post(f"{one}/createSnapshot", {})
        self.service.rest()
        self.post(f"{one}/reprovision", {})
        self.service.rest()
        self.post(f"{one}/setReviewStatus", {"reviewStatus": {"inReview": True, "userAccessLevel": "unrestricted"}})
        deployment = self.post(f"{BETA}/externalPartners/{PARTNER}/deployAgent", {"cloudPcIds": [desk["id"]]})
        self.service.rest()
        bulk = {
            "displayName": "Restart",
            "cloudPcIds": [desk["id"], NOTHING],
            "@odata.type": "#microsoft.graph.cloudPcBulkRestart",
        }
        self.keys |= {
            "{cloudPC-id}": desk["id"],
            "{managedDevice-id}": desk["managedDeviceId"],
            "{activityId}": deployment["value"],
            "{cloudPcBulkAction-id}": self.post(f"{BETA}/bulkActions", bulk)["id"],
            "{cloudPcExternalPartner-id}": PARTNER,
            "{cloudPcExternalPartnerSetting-id}": PARTNER,
            "{cloudPcExportJob-id}": self.post(
                f"{BETA}/reports/exportJobs",
                {"reportName": "actionStatusReport", "select": ["CloudPcId", "Action"], "format": "csv"},
            )["id"],
        }
        self.service.rest()

    def _add_constants(self):
        for place, path in {
            "{alertRecord-id}": "/deviceManagement/monitoring/alertRecords",
            "{cloudPcAuditEvent-id}": f"{ENDPOINT}/auditEvents",
            "{cloudPcManagedLicense-id}": f"{ENDPOINT}/managedLicenses",
            "{cloudPcServicePlan-id}": f"{ENDPOINT}/servicePlans",
            "{cloudPcSnapshot-id}": f"{ENDPOINT}/snapshots",
            "{cloudPcSupportedRegion-id}": f"{ENDPOINT}/supportedRegions",
            "{unifiedRbacResourceNamespace-id}": "/roleManagement/cloudPC/resourceNamespaces",
        }.items():
            self.keys[place] = self.first(f"/beta{path}")["id"]
        self.keys |= {
            "{unifiedRbacResourceAction-id}": "Microsoft.CloudPC-CloudPCs-Read",
            "{appScope-id}": "0",
            "{directoryObject-id}": GROUP,
            "{actionType}": "activate",
            "{cloudPcId}": self.keys["{cloudPC-id}"],
            "{configurationId}": "none",
            "{directoryScopeId}": "",
            "{directoryScopeType}": "",
            "{transitive}": "true",
            "{groupId}": GROUP,
            "{servicePlanId}": self.keys["{cloudPcServicePlan-id}"],
            "{provisioningPolicyId}": self.keys["{cloudPcProvisioningPolicy-id}"],
            "{snapshotId}": self.keys["{cloudPcSnapshot-id}"],
            "{sourceId}": WINDOWS_11,
            "{subscriptionId}": "0ac520ee-14c0-480f-b6c9-0a90c585ffff",
            "{userPrincipalName}": "ada@contoso.test",
            # No role inherits from another one, and nobody has profiles.
            "{unifiedRoleDefinition-id1}": "none",
            "{cloudPcUserProfileSnapshot-id}": "none",
        }


def place(path):
    """Returns the place of a key in the paths below a collection of entities."""
    renamed = {
        f"{ENDPOINT}/cloudPcPools": "cloudPcPool",
        f"{ENDPOINT}/cloudPcPools/{{cloudPcPool-id}}/assignments": "cloudPcPoolAssignment",
    }
    return f"{{{renamed.get(path, WRITTEN[path].type)}-id}}"
