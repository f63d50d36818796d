"""On-premises connections with both SDKs, for a signed-in administrator: applications cannot write them."""

import importlib
import uuid

import pytest
from test_documents import endpoint, model, policy, sdk

from graph import get

SUBSCRIPTION = "0ac520ee-14c0-480f-b6c9-0a90c585ffff"
GROUP = f"/subscriptions/{SUBSCRIPTION}/resourceGroups/office"
NETWORK = f"{GROUP}/providers/Microsoft.Network/virtualNetworks/office"
PASSWORD = "a password of tests only"
DETAIL = ["healthCheckStatus", "healthCheckStatusDetail", "inUse"]


def connection(graph, **changed):
    properties = {
        "display_name": f"Connection {uuid.uuid4()}",
        "subscription_id": SUBSCRIPTION,
        "resource_group_id": GROUP,
        "virtual_network_id": NETWORK,
        "subnet_id": f"{NETWORK}/subnets/default",
        "ad_domain_name": "corp.contoso.test",
        "ad_domain_username": "join@corp.contoso.test",
        "ad_domain_password": PASSWORD,
    }
    return model(graph, "CloudPcOnPremisesConnection")(**(properties | changed))


def password_body(graph, password):
    within = "generated.device_management.virtual_endpoint.on_premises_connections.item.update_ad_domain_password"
    module = importlib.import_module(f"{sdk(graph)}.{within}.update_ad_domain_password_post_request_body")
    return module.UpdateAdDomainPasswordPostRequestBody(ad_domain_password=password)


async def refused(call):
    """Returns status and code of a refused call."""
    with pytest.raises(Exception) as caught:
        await call
    return caught.value.response_status_code, caught.value.error.code


async def test_a_connection_from_its_creation_to_its_end(office, person_and_application):
    graph, application = person_and_application
    connections = endpoint(graph).on_premises_connections
    before = await connections.count.get()
    with office.paused():
        created = await connections.post(connection(graph))
        assert created.health_check_status.value == "pending"
        assert created.ad_domain_password is None, "the password is never sent"
        one = connections.by_cloud_pc_on_premises_connection_id(created.id)
        assert (await get(one, select=DETAIL)).health_check_status.value in ("pending", "running")
    checked = await get(one, select=DETAIL)
    assert checked.health_check_status.value == "passed"
    assert {check.status.value for check in checked.health_check_status_detail.health_checks} == {"passed"}
    assert len(checked.health_check_status_detail.health_checks) == 5
    listed = await get(connections, filter=f"displayName eq '{created.display_name}'")
    assert [row.id for row in listed.value] == [created.id]
    assert await connections.count.get() == before + 1
    assert (await one.get()).virtual_network_id == NETWORK

    with office.fault(
        {"effect": "fail", "code": "adJoinCheckAccessDenied", "message": "The domain refused."},
        kind="checkConnection",
        step="checkDomainJoin",
    ):
        await one.run_health_checks.post()
        office.rest()
    failed = await get(one, select=DETAIL)
    assert failed.health_check_status.value == "failed"
    last = failed.health_check_status_detail.health_checks[-1]
    assert (last.error_type.value, last.additional_detail) == ("adJoinCheckAccessDenied", "The domain refused.")

    await one.update_ad_domain_password.post(password_body(graph, f"{PASSWORD} 2"))
    updated = await one.patch(type(created)(organizational_unit="OU=Office"))
    assert (updated.organizational_unit, updated.health_check_status.value) == ("OU=Office", "pending")
    office.rest()
    assert (await one.get()).health_check_status.value == "passed"

    same = endpoint(application).on_premises_connections.by_cloud_pc_on_premises_connection_id(created.id)
    assert (await same.get()).display_name == created.display_name
    assert await refused(same.delete()) == (403, "Forbidden")
    await same.update_ad_domain_password.post(password_body(application, f"{PASSWORD} 3"))

    join = model(graph, "CloudPcDomainJoinConfiguration")(
        domain_join_type=model(graph, "CloudPcDomainJoinType").HybridAzureADJoin, on_premises_connection_id=created.id
    )
    policies = endpoint(graph).provisioning_policies
    user = await policies.post(policy(graph, domain_join_configurations=[join]))
    assert (await get(one, select=DETAIL)).in_use is True
    assert await refused(one.delete()) == (409, "resourceInUse")
    await policies.by_cloud_pc_provisioning_policy_id(user.id).delete()
    await one.delete()
    assert await refused(one.delete()) == (404, "ResourceNotFound")
    assert await connections.count.get() == before
    assert PASSWORD not in office.log.read_text()
