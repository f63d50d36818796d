"""Remote actions on managed devices: the older names of remote actions on Cloud PCs. Each test has its own machine."""

import datetime

import pytest
from msgraph_beta.generated.device_management.managed_devices.bulk_reprovision_cloud_pc.bulk_reprovision_cloud_pc_post_request_body import (
    BulkReprovisionCloudPcPostRequestBody,
)
from msgraph_beta.generated.device_management.managed_devices.bulk_restore_cloud_pc.bulk_restore_cloud_pc_post_request_body import (
    BulkRestoreCloudPcPostRequestBody,
)
from msgraph_beta.generated.device_management.managed_devices.bulk_set_cloud_pc_review_status.bulk_set_cloud_pc_review_status_post_request_body import (
    BulkSetCloudPcReviewStatusPostRequestBody,
)
from msgraph_beta.generated.device_management.managed_devices.item.resize_cloud_pc.resize_cloud_pc_post_request_body import (
    ResizeCloudPcPostRequestBody,
)
from msgraph_beta.generated.device_management.managed_devices.item.restore_cloud_pc.restore_cloud_pc_post_request_body import (
    RestoreCloudPcPostRequestBody,
)
from msgraph_beta.generated.device_management.managed_devices.item.set_cloud_pc_review_status.set_cloud_pc_review_status_post_request_body import (
    SetCloudPcReviewStatusPostRequestBody,
)
from msgraph_beta.generated.models.action_state import ActionState
from msgraph_beta.generated.models.cloud_p_c import CloudPC
from msgraph_beta.generated.models.cloud_pc_review_status import CloudPcReviewStatus
from msgraph_beta.generated.models.cloud_pc_user_access_level import CloudPcUserAccessLevel
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_beta.generated.models.restore_time_range import RestoreTimeRange
from msgraph_core import PageIterator

from graph import eventually, get

BIGGER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c2"


async def cloud_pc(graph, name) -> CloudPC:
    cloud_pcs = graph.device_management.virtual_endpoint.cloud_p_cs
    return (await get(cloud_pcs, filter=f"displayName eq '{name}'")).value[0]


def device(graph, cloud_pc):
    return graph.device_management.managed_devices.by_managed_device_id(cloud_pc.managed_device_id)


async def results(device):
    found = (await device.get_cloud_pc_remote_action_results.get()).value
    return [(result.action_name, result.action_state) for result in found]


async def test_reprovision_from_the_request_to_done(office, beta):
    desk = await cloud_pc(beta, "desk-11")
    builder = device(beta, desk)
    assert await results(builder) == []
    with office.paused():
        assert await builder.reprovision_cloud_pc.post() is None
        assert (await results(builder))[0][0] == "Reprovision"
        await eventually(lambda: results(builder), [("Reprovision", ActionState.Active)])
    (result,) = (await builder.get_cloud_pc_remote_action_results.get()).value
    assert result.action_state is ActionState.Done
    assert (result.cloud_pc_id, result.managed_device_id) == (desk.id, desk.managed_device_id)
    assert result.start_date_time.tzinfo == datetime.UTC
    assert result.start_date_time < result.last_updated_date_time
    assert result.status_details is None


async def test_resize(office, beta):
    desk = await cloud_pc(beta, "desk-12")
    await device(beta, desk).resize_cloud_pc.post(ResizeCloudPcPostRequestBody(target_service_plan_id=BIGGER_PLAN))
    office.rest()
    assert (await cloud_pc(beta, "desk-12")).service_plan_id == BIGGER_PLAN
    assert await results(device(beta, desk)) == [("Resize", ActionState.Done)]


async def test_restore(office, beta):
    desk = await cloud_pc(beta, "desk-13")
    path = f"/beta/deviceManagement/virtualEndpoint/cloudPCs/{desk.id}"
    assert office.call("POST", f"{path}/createSnapshot").status == 204
    office.rest()
    (snapshot,) = office.call("GET", f"{path}/retrieveSnapshots").json()["value"]
    body = RestoreCloudPcPostRequestBody(cloud_pc_snapshot_id=snapshot["id"])
    await device(beta, desk).restore_cloud_pc.post(body)
    office.rest()
    expected = [("Restore", ActionState.Done), ("CreateSnapshot", ActionState.Done)]
    assert await results(device(beta, desk)) == expected


async def test_review(office, beta):
    desk = await cloud_pc(beta, "desk-14")
    builder = device(beta, desk)
    status = CloudPcReviewStatus(in_review=True, user_access_level=CloudPcUserAccessLevel.Restricted)
    await builder.set_cloud_pc_review_status.post(SetCloudPcReviewStatusPostRequestBody(review_status=status))
    office.rest()
    assert (await builder.get_cloud_pc_review_status.get()).in_review is True
    ended = CloudPcReviewStatus(in_review=False)
    await builder.set_cloud_pc_review_status.post(SetCloudPcReviewStatusPostRequestBody(review_status=ended))
    assert (await builder.get_cloud_pc_review_status.get()).in_review is False


async def test_a_second_action_is_refused_by_either_name(office, beta):
    desk = await cloud_pc(beta, "desk-14")
    with office.paused():
        await device(beta, desk).reprovision_cloud_pc.post()
        with pytest.raises(ODataError) as caught:
            await device(beta, desk).resize_cloud_pc.post(
                ResizeCloudPcPostRequestBody(target_service_plan_id=BIGGER_PLAN)
            )
        problem = caught.value
        assert (problem.response_status_code, problem.error.code) == (409, "remoteActionInProgress")
        assert "reprovision" in problem.error.message
        path = f"/beta/deviceManagement/virtualEndpoint/cloudPCs/{desk.id}/reboot"
        assert office.call("POST", path).status == 409
    assert (await results(device(beta, desk)))[0] == ("Reprovision", ActionState.Done)


async def test_a_failed_action_says_why(office, beta):
    desk = await cloud_pc(beta, "desk-15")
    trouble = {"effect": "fail", "code": "diskFailed", "message": "The shelf is empty."}
    with office.fault(trouble, cloudPcs=[desk.id], kind="reprovision", step="makeDisk"):
        await device(beta, desk).reprovision_cloud_pc.post()
        office.rest()
    (result,) = (await device(beta, desk).get_cloud_pc_remote_action_results.get()).value
    assert result.action_state is ActionState.Failed
    assert result.status_details.code == "diskFailed"
    assert "The shelf is empty." in result.status_details.message


async def test_the_history_is_whole_newest_first_and_paged(office, beta):
    desk = await cloud_pc(beta, "desk-16")
    path = f"/beta/deviceManagement/virtualEndpoint/cloudPCs/{desk.id}"
    for number in range(5):
        assert office.call("POST", f"{path}/rename", {"displayName": f"desk-16-{number}"}).status == 204
        office.rest()
    await device(beta, desk).reprovision_cloud_pc.post()
    office.rest()
    first = await get(device(beta, desk).get_cloud_pc_remote_action_results, top=2)
    assert len(first.value) == 2
    names = []
    await PageIterator(first, beta.request_adapter).iterate(lambda row: names.append(row.action_name) or True)
    assert names == ["Reprovision"] + ["Rename"] * 5


async def test_an_unknown_device(beta):
    with pytest.raises(ODataError) as caught:
        unknown = beta.device_management.managed_devices.by_managed_device_id("00000000-0000-4000-8000-000000000000")
        await unknown.reprovision_cloud_pc.post()
    assert (caught.value.response_status_code, caught.value.error.code) == (404, "ResourceNotFound")


async def test_bulk_requests_tell_the_devices_apart(office, beta):
    desks = [await cloud_pc(beta, name) for name in ("desk-17", "desk-18")]
    ids = [desk.managed_device_id for desk in desks]
    devices = beta.device_management.managed_devices
    with office.paused():
        reprovision = BulkReprovisionCloudPcPostRequestBody(managed_device_ids=[*ids, "nowhere"])
        answer = await devices.bulk_reprovision_cloud_pc.post(reprovision)
        assert (answer.successful_device_ids, answer.not_found_device_ids) == (ids, ["nowhere"])
        again = await devices.bulk_reprovision_cloud_pc.post(reprovision)
        assert (again.successful_device_ids, again.failed_device_ids) == ([], ids)
    path = f"/beta/deviceManagement/virtualEndpoint/cloudPCs/{desks[0].id}"
    assert office.call("POST", f"{path}/createSnapshot").status == 204
    office.rest()
    restore = BulkRestoreCloudPcPostRequestBody(
        managed_device_ids=ids,
        restore_point_date_time=datetime.datetime(2020, 1, 1, tzinfo=datetime.UTC),
        time_range=RestoreTimeRange.After,
    )
    answer = await devices.bulk_restore_cloud_pc.post(restore)
    assert (answer.successful_device_ids, answer.failed_device_ids) == ([ids[0]], [ids[1]])
    office.rest()
    assert await results(devices.by_managed_device_id(ids[0])) == [
        ("Restore", ActionState.Done),
        ("CreateSnapshot", ActionState.Done),
        ("Reprovision", ActionState.Done),
    ]


async def test_bulk_reviews_begin_and_end(office, beta):
    desk = await cloud_pc(beta, "desk-19")
    devices = beta.device_management.managed_devices
    review = CloudPcReviewStatus(in_review=True, user_access_level=CloudPcUserAccessLevel.Restricted)
    begin = BulkSetCloudPcReviewStatusPostRequestBody(managed_device_ids=[desk.managed_device_id], review_status=review)
    answer = await devices.bulk_set_cloud_pc_review_status.post(begin)
    assert answer.successful_device_ids == [desk.managed_device_id]
    office.rest()
    one = device(beta, desk)
    assert (await one.get_cloud_pc_review_status.get()).user_access_level is CloudPcUserAccessLevel.Restricted
    begin.review_status = CloudPcReviewStatus(in_review=False)
    await devices.bulk_set_cloud_pc_review_status.post(begin)
    assert (await one.get_cloud_pc_review_status.get()).in_review is False
