"""Bulk actions with the beta SDK: one request for many Cloud PCs, what failed, and how it is mended."""

import uuid

import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.bulk_actions.item.retry.retry_post_request_body import (
    RetryPostRequestBody,
)
from msgraph_beta.generated.models.cloud_pc_bulk_action_status import CloudPcBulkActionStatus
from msgraph_beta.generated.models.cloud_pc_bulk_reprovision import CloudPcBulkReprovision
from msgraph_beta.generated.models.cloud_pc_bulk_resize import CloudPcBulkResize
from msgraph_beta.generated.models.cloud_pc_bulk_restart import CloudPcBulkRestart
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from test_documents import endpoint, model
from test_reports import BETA, read

from graph import eventually, get

PLAN = "0ff1ce00-0000-4000-8000-0000000000c1"
BIGGER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c2"
DESKS = ["desk-17", "desk-18", "desk-19", "desk-40"]


async def desk_ids(beta, names):
    found = (await endpoint(beta).cloud_p_cs.get()).value
    ids = {cloud_pc.display_name: cloud_pc.id for cloud_pc in found}
    return [ids[name] for name in names]


def counts(bulk):
    summary = bulk.action_summary
    return [
        summary.successful_count,
        summary.failed_count,
        summary.not_supported_count,
        summary.in_progress_count,
        summary.pending_count,
    ]


async def test_failed_cloud_pcs_are_found_and_retried(office, beta):
    ids = await desk_ids(beta, DESKS)
    bulk_actions = endpoint(beta).bulk_actions
    before = await bulk_actions.count.get()
    name = f"Reprovision {uuid.uuid4().hex[:8]}"
    with office.fault({"effect": "fail", "code": "diskFull", "message": "The disk is full."}, cloudPcs=ids[1:2]):
        made = await bulk_actions.post(CloudPcBulkReprovision(display_name=name, cloud_pc_ids=[*ids, "nowhere"]))
        assert isinstance(made, CloudPcBulkReprovision)
        assert (made.status, made.cloud_pc_ids) == (CloudPcBulkActionStatus.Pending, [*ids, "nowhere"])
        office.rest()
    one = bulk_actions.by_cloud_pc_bulk_action_id(made.id)
    ended = await one.get()
    assert (ended.status, counts(ended)) == (CloudPcBulkActionStatus.Failed, [3, 2, 0, 0, 0])
    items = office.call("GET", f"/beta/deviceManagement/virtualEndpoint/bulkActions/{made.id}/cloudpc.items")
    codes = {item["cloudPcId"]: item["errorCode"] for item in items.json()["value"]}
    assert codes == {ids[0]: None, ids[1]: "diskFull", ids[2]: None, ids[3]: None, "nowhere": "cloudPcNotFound"}

    await one.retry.post(RetryPostRequestBody(cloud_pc_ids=[ids[1]]))
    office.rest()
    assert counts(await one.get()) == [4, 1, 0, 0, 0]
    with pytest.raises(ODataError) as refused:
        await one.retry.post(RetryPostRequestBody(cloud_pc_ids=[ids[0]]))
    assert refused.value.response_status_code == 400

    listed = (await get(bulk_actions, filter=f"displayName eq '{name}'")).value
    assert [bulk.id for bulk in listed] == [made.id]
    assert await bulk_actions.count.get() == before + 1
    answer, rows = await read(
        beta, BETA, "reports.retrieve_bulk_action_status_report", filter=f"BulkActionId eq '{made.id}'"
    )
    assert answer["TotalRowCount"] == 1
    assert (rows[0]["SucceedCount"], rows[0]["FailedCount"], rows[0]["Completion"]) == (4, 1, 100.0)


async def test_types_have_their_own_properties(office, beta):
    (desk,) = await desk_ids(beta, ["desk-35"])
    bulk_actions = endpoint(beta).bulk_actions
    resize = CloudPcBulkResize(display_name="Grow", cloud_pc_ids=[desk], target_service_plan_id=BIGGER_PLAN)
    made = await bulk_actions.post(resize)
    assert (type(made), made.target_service_plan_id) == (CloudPcBulkResize, BIGGER_PLAN)
    office.rest()
    found = await endpoint(beta).cloud_p_cs.by_cloud_p_c_id(desk).get()
    assert found.service_plan_id == BIGGER_PLAN
    with pytest.raises(ODataError) as refused:
        await bulk_actions.post(model(beta, "CloudPcBulkAction")(display_name="Which?", cloud_pc_ids=[desk]))
    assert "@odata.type" in refused.value.error.message


async def test_bulk_action_is_followed_while_it_runs(office, beta):
    ids = await desk_ids(beta, DESKS[:2])
    with office.paused():
        made = await endpoint(beta).bulk_actions.post(CloudPcBulkRestart(display_name="Restart", cloud_pc_ids=ids))

        async def running():
            found = await endpoint(beta).bulk_actions.by_cloud_pc_bulk_action_id(made.id).get()
            return counts(found)

        await eventually(running, [0, 0, 0, 2, 0])
    assert await running() == [2, 0, 0, 0, 0]


async def test_cloud_pcs_of_a_group_are_found_by_plan(office, beta):
    group = await beta.groups.post(
        model(beta, "Group")(
            display_name="Provisioned",
            mail_enabled=False,
            mail_nickname=uuid.uuid4().hex[:8],
            security_enabled=True,
        )
    )
    users = (await beta.users.get()).value
    (ada,) = [user for user in users if user.user_principal_name.startswith("ada@")]
    reference = model(beta, "ReferenceCreate")(odata_id=f"https://graph.microsoft.com/v1.0/users/{ada.id}")
    await beta.groups.by_group_id(group.id).members.ref.post(reference)
    cloud_pcs = endpoint(beta).cloud_p_cs
    builder = cloud_pcs.get_provisioned_cloud_p_cs_with_group_id_with_service_plan_id
    found = (await builder(group.id, PLAN).get()).value
    of_ada = [desk for desk in (await cloud_pcs.get()).value if desk.user_principal_name == ada.user_principal_name]
    assert {desk.id for desk in found} == {desk.id for desk in of_ada if desk.service_plan_id == PLAN}
    assert found
    with pytest.raises(ODataError) as missing:
        await builder(str(uuid.uuid4()), PLAN).get()
    assert missing.value.response_status_code == 404
