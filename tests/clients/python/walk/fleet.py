"""A fleet that has a row in every list, so that every operation has something to answer."""

from entities import ENTITIES
from entity import ENDPOINT, GROUP, WINDOWS_11
from people import device_code_token, public_client
from tool import Tool

from test_webhooks import Receiver

ADA = "0ff1ce00-0000-4000-8000-0000000000a1"
ALAN = "0ff1ce00-0000-4000-8000-0000000000a2"
# A partner with an agent.
PARTNER = "0ff1ce00-0000-4000-8000-00000000fab1"
# A size that desks can be given.
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
        self.keys |= {"{user-id}": ADA, "{group-id}": GROUP, "{subscribedSku-id}": sku["id"]}

    def _create_entities(self):
        for path in ENTITIES:
            tool = Tool(self.service, "beta", path, self.person)
            entity = tool.entity
            everything = entity.required | entity.changed | entity.kept | entity.immutable
            self.keys[place(path)] = tool.create(everything)["id"]
            if tool.parent:
                self.keys[place(path[: path.index("/{")])] = tool.collection.rsplit("/", 2)[1]
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
        """Adds a Frontline Cloud PC."""
        plan = self.first(f"{BETA}/frontLineServicePlans")["id"]
        body = {"displayName": "Shift", "mailEnabled": False, "mailNickname": "shift", "securityEnabled": True}
        group = self.post("/beta/groups", body)["id"]
        self.post(f"/beta/groups/{group}/members/$ref", {"@odata.id": f"https://graph.test/v1.0/users/{ADA}"})
        body = {
            "displayName": "Shift",
            "imageId": WINDOWS_11,
            "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
            "provisioningType": "sharedByUser",
        }
        policy = self.post(f"{BETA}/provisioningPolicies", body)["id"]
        target = {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget"}
        assignment = {"target": target | {"groupId": group, "servicePlanId": plan}}
        self.post(f"{BETA}/provisioningPolicies/{policy}/assign", {"assignments": [assignment]})
        self.service.rest()
        self.shift = self.first(f"{BETA}/cloudPCs", provisioningPolicyId=policy)["id"]
        self.keys["{cloudPcFrontLineServicePlan-id}"] = plan

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
            "cloudPcIds": [desk["id"]],
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
    return f"{{{renamed.get(path, ENTITIES[path].type)}-id}}"
