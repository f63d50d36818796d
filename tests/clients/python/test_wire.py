"""What the protocol offers beside the operations: metadata levels, preferences, `$expand`, throttling and repeats."""

import time
import uuid

import msgraph_beta
import pytest
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError

from graph import administrator, ask, client, get
from service import SCENARIOS, Service

FULL = {"Accept": "application/json;odata.metadata=full"}
NONE = {"Accept": "application/json;odata.metadata=none"}
# Length of the window of `throttled`, seconds.
WINDOW = 5
# Requests that an application may make in it.
REQUESTS_MAX = 6


@pytest.fixture(scope="module")
def throttled(tmp_path_factory):
    """A service under strict fidelity, with low limits over a short window."""
    config = tmp_path_factory.mktemp("throttled") / "config.toml"
    limits = f"window_s = {WINDOW}\napp_requests = {REQUESTS_MAX}\napp_writes = 2\n"
    config.write_text(f'[identity]\nfidelity = "strict"\n\n[throttling]\n{limits}')
    with Service(SCENARIOS / "office.toml", config=config) as service:
        yield service


async def test_full_metadata_is_read_as_additional_data(either):
    cloud_pcs = either.device_management.virtual_endpoint.cloud_p_cs
    for headers, has_address in [(FULL, True), (NONE, False), ({}, False)]:
        found = (await get(cloud_pcs, headers=headers, top=3)).value
        assert len(found) == 3
        assert [("@odata.id" in one.additional_data) for one in found] == [has_address] * 3
        assert all(one.id and one.display_name for one in found)


async def test_pages_are_as_large_as_preferred(beta):
    page = await get(beta.device_management.virtual_endpoint.cloud_p_cs, headers={"Prefer": "odata.maxpagesize=2"})
    assert len(page.value) == 2
    assert page.odata_next_link


async def test_members_and_assigned_users_are_expanded(beta, office):
    ada = (await get(beta.users, filter="userPrincipalName eq 'ada@contoso.test'")).value[0]
    group = {
        "displayName": "Expanded",
        "mailEnabled": False,
        "mailNickname": "expanded",
        "securityEnabled": True,
        "members@odata.bind": [f"{office.https}/beta/users/{ada.id}"],
    }
    made = office.call("POST", "/beta/groups", group).json()
    builder = beta.groups.by_group_id(made["id"])
    read = await get(builder, expand=["members($select=id,displayName)"])
    assert [(member.id, member.display_name) for member in read.members] == [(ada.id, ada.display_name)]
    await builder.delete()
    policies = beta.device_management.virtual_endpoint.provisioning_policies
    expand = ["assignments($expand=assignedUsers($select=displayName;$top=5))"]
    for policy in (await get(policies, expand=expand)).value:
        for assignment in policy.assignments or []:
            assert len(assignment.assigned_users) <= 5


async def test_the_sdk_waits_as_long_as_it_is_told(throttled):
    async with administrator(throttled) as credential, client(msgraph_beta, "beta", throttled, credential) as graph:
        cloud_pcs = graph.device_management.virtual_endpoint.cloud_p_cs
        started = time.monotonic()
        for _ in range(REQUESTS_MAX + 1):
            await get(cloud_pcs, top=1)
        waited = time.monotonic() - started
    assert waited >= WINDOW - 1, "the last request had to wait for the window"
    # A request that is refused before its path is read has no route.
    listed = [
        request for request in throttled.requests() if request["route"] == "cloudPC.list" or request["status"] == 429
    ]
    statuses = [request["status"] for request in listed]
    assert statuses == [200] * REQUESTS_MAX + [429, 200]


async def test_a_repeated_request_starts_one_action(beta, office):
    cloud_pc = (await get(beta.device_management.virtual_endpoint.cloud_p_cs, filter="displayName eq 'desk-21'")).value[
        0
    ]
    builder = beta.device_management.virtual_endpoint.cloud_p_cs.by_cloud_p_c_id(cloud_pc.id).reboot
    with office.paused():
        headers = {"client-request-id": str(uuid.uuid4())}
        await builder.post(ask(builder, headers=headers))
        await builder.post(ask(builder, headers=headers))
        with pytest.raises(ODataError) as refused:
            await builder.post(ask(builder, headers={"client-request-id": str(uuid.uuid4())}))
    assert refused.value.error.code == "remoteActionInProgress"
