"""Frontline Cloud PCs with the beta SDK: started and stopped, with the licences of their plan."""

import pytest
from msgraph_beta.generated.models.frontline_cloud_pc_availability import FrontlineCloudPcAvailability

from graph import get

ENDPOINT = "/beta/deviceManagement/virtualEndpoint"
IMAGE = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"


@pytest.fixture
def shift(office):
    """A frontline policy with an assignment to a group of which Alan is a member."""
    plan = office.call("GET", f"{ENDPOINT}/frontLineServicePlans").json()["value"][0]
    body = {"displayName": "Shift", "mailEnabled": False, "mailNickname": "shift", "securityEnabled": True}
    group = office.call("POST", "/beta/groups", body).json()["id"]
    alan = office.call("GET", "/beta/users/alan@contoso.test").json()["id"]
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{alan}"}
    assert office.call("POST", f"/beta/groups/{group}/members/$ref", reference).status == 204
    body = {
        "displayName": "Shift",
        "imageId": IMAGE,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "automatic"}],
        "provisioningType": "sharedByUser",
    }
    policy = office.call("POST", f"{ENDPOINT}/provisioningPolicies", body).json()["id"]
    target = {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget"}
    assignment = {"target": {**target, "groupId": group, "servicePlanId": plan["id"]}}
    path = f"{ENDPOINT}/provisioningPolicies/{policy}"
    assert office.call("POST", f"{path}/assign", {"assignments": [assignment]}).status == 204
    office.rest()
    yield policy
    assert office.call("POST", f"{path}/assign", {"assignments": []}).status == 204
    office.rest()
    for cloud_pc in office.call("GET", f"{ENDPOINT}/cloudPCs?$filter=provisioningPolicyId%20eq%20'{policy}'").json()[
        "value"
    ]:
        assert office.call("POST", f"{ENDPOINT}/cloudPCs/{cloud_pc['id']}/endGracePeriod").status == 204
    office.rest()
    assert office.call("DELETE", path).status == 204
    assert office.call("DELETE", f"/beta/groups/{group}").status == 204


async def test_start_and_stop(office, beta, shift):
    cloud_pcs = beta.device_management.virtual_endpoint.cloud_p_cs
    (found,) = (await get(cloud_pcs, filter=f"provisioningPolicyId eq '{shift}'")).value
    cloud_pc = cloud_pcs.by_cloud_p_c_id(found.id)

    async def state():
        # The SDK's builder of this function imports a class that its model does not have.
        return office.call("GET", f"{ENDPOINT}/cloudPCs/{found.id}/getFrontlineCloudPcAccessState").json()["value"]

    async def used():
        (plan,) = (await beta.device_management.virtual_endpoint.front_line_service_plans.get()).value
        return plan.used_count

    assert (await state(), await used()) == ("standbyMode", 0)
    await cloud_pc.start.post()
    office.rest()
    assert (await state(), await used()) == ("active", 1)
    detail = await cloud_pc.retrieve_frontline_cloud_pc_detail.get()
    assert detail.frontline_cloud_pc_availability is FrontlineCloudPcAvailability.Available
    await cloud_pc.stop.post()
    office.rest()
    assert (await state(), await used()) == ("standbyMode", 0)


async def test_other_cloud_pcs_have_no_access_state(office, beta):
    cloud_pcs = beta.device_management.virtual_endpoint.cloud_p_cs
    (desk,) = (await get(cloud_pcs, filter="displayName eq 'desk-22'")).value
    assert office.call("GET", f"{ENDPOINT}/cloudPCs/{desk.id}/getFrontlineCloudPcAccessState").status == 400
