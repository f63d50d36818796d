"""Reads of Cloud PCs and managed devices, with both SDKs."""

import datetime

import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.validate_bulk_resize.validate_bulk_resize_post_request_body import (  # noqa: E501
    ValidateBulkResizePostRequestBody,
)
from msgraph_beta.generated.models.cloud_pc_connectivity_event_result import CloudPcConnectivityEventResult
from msgraph_beta.generated.models.cloud_pc_provisioning_type import CloudPcProvisioningType
from msgraph_beta.generated.models.cloud_pc_service_plan_type import CloudPcServicePlanType
from msgraph_beta.generated.models.cloud_pc_status import CloudPcStatus
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError as BetaError
from msgraph_core import PageIterator

from graph import eventually, get

DESKS = [f"desk-{number:02}" for number in range(1, 41)]
GPU = "0ff1ce00-0000-4000-8000-0000000000d1"
GPU_DEVICE = "0ff1ce00-0000-4000-8000-0000000000e1"


def cloud_pcs(graph):
    return graph.device_management.virtual_endpoint.cloud_p_cs


async def test_the_list_is_whole(either):
    found = (await cloud_pcs(either).get()).value
    assert len(found) == 41
    assert set(DESKS[8:]) < {cloud_pc.display_name for cloud_pc in found}


async def test_a_cloud_pc_of_beta_is_typed(beta):
    found = await cloud_pcs(beta).by_cloud_p_c_id(GPU).get()
    assert (found.id, found.display_name) == (GPU, "drawing-board")
    assert found.managed_device_id == GPU_DEVICE
    assert found.user_principal_name == "ada@contoso.test"
    assert found.service_plan_name == "Cloud PC GPU Max 16vCPU/110GB/1024GB"
    assert found.service_plan_type is CloudPcServicePlanType.Enterprise
    assert found.provisioning_type is CloudPcProvisioningType.Dedicated
    assert found.status is CloudPcStatus.Provisioned
    assert found.image_display_name == "Windows 11 Enterprise 24H2"
    assert found.last_modified_date_time.tzinfo == datetime.UTC
    assert found.additional_data == {"@odata.context": found.additional_data["@odata.context"]}


async def test_a_cloud_pc_of_v1_is_typed_and_has_nothing_of_beta(v1):
    found = await cloud_pcs(v1).by_cloud_p_c_id(GPU).get()
    assert (found.id, found.display_name, found.managed_device_id) == (GPU, "drawing-board", GPU_DEVICE)
    assert found.provisioning_type == "dedicated"
    # The v1.0 model has no status, so a status in the response would appear here.
    assert list(found.additional_data) == ["@odata.context"]


async def test_options(either):
    builder = cloud_pcs(either)
    page = await get(builder, filter="startswith(displayName,'desk-1')", select=["id", "displayName"], count=True)
    assert sorted(cloud_pc.display_name for cloud_pc in page.value) == DESKS[9:19]
    assert page.odata_count == 10
    assert {cloud_pc.user_principal_name for cloud_pc in page.value} == {None}


async def test_pages_hold_each_cloud_pc_once(either):
    names = []
    first = await get(cloud_pcs(either), top=7, filter="startswith(displayName,'desk')", orderby=["displayName desc"])
    assert len(first.value) == 7
    await PageIterator(first, either.request_adapter).iterate(
        lambda cloud_pc: names.append(cloud_pc.display_name) or True
    )
    assert len(names) == 40
    assert names == sorted(names, reverse=True)


async def test_count(either):
    assert await cloud_pcs(either).count.get() == 41
    assert await get(cloud_pcs(either).count, filter="userPrincipalName eq 'alan@contoso.test'") == 20


async def test_count_by_status(beta):
    summary = (await cloud_pcs(beta).retrieve_cloud_pc_count_by_status.get()).value
    assert [(row.status, row.count) for row in summary] == [(CloudPcStatus.Provisioned, 41)]


async def test_managed_devices(either):
    builder = either.device_management.managed_devices
    page = await get(builder, top=5, count=True)
    assert (len(page.value), page.odata_count) == (5, 41)
    device = await builder.by_managed_device_id(GPU_DEVICE).get()
    assert (device.id, device.manufacturer) == (GPU_DEVICE, "Microsoft Corporation")
    assert device.model.startswith("Cloud PC")
    assert device.total_storage_space_in_bytes == 1024 << 30


async def test_managed_devices_are_counted(either):
    assert await either.device_management.managed_devices.count.get() == 41


@pytest.mark.parametrize(
    ("sdk", "function"),
    [
        ("beta", "retrieve_cloud_pc_launch_detail"),
        ("beta", "get_cloud_pc_launch_info"),
        ("v1", "retrieve_cloud_pc_launch_detail"),
    ],
)
async def test_where_a_cloud_pc_can_be_opened(request, office, sdk, function):
    builder = getattr(cloud_pcs(request.getfixturevalue(sdk)).by_cloud_p_c_id(GPU), function)
    first, second = await builder.get(), await builder.get()
    assert (first.cloud_pc_id, first.windows365_switch_compatible) == (GPU, False)
    assert first.cloud_pc_launch_url.startswith(f"{office.https}/")
    # Each URL is single-use.
    assert first.cloud_pc_launch_url != second.cloud_pc_launch_url


async def test_what_was_found_on_a_machine(beta, office):
    (found,) = (await get(cloud_pcs(beta), filter="displayName eq 'desk-34'")).value
    history = cloud_pcs(beta).by_cloud_p_c_id(found.id).get_cloud_pc_connectivity_history
    assert (await history.get()).value == []
    reply = office.call("POST", "/_cloudpc/incidents", {"cloudPcId": found.id, "incident": "crash"})
    assert reply.status == 204, reply

    async def results():
        return [event.event_result for event in (await history.get()).value]

    await eventually(results, [CloudPcConnectivityEventResult.Failure])
    office.advance("1m")
    await eventually(results, [CloudPcConnectivityEventResult.Success, CloudPcConnectivityEventResult.Failure])
    office.rest()


async def test_an_unknown_cloud_pc_is_an_error_that_programs_can_read(beta):
    with pytest.raises(BetaError) as caught:
        await cloud_pcs(beta).by_cloud_p_c_id("00000000-0000-4000-8000-000000000000").get()
    problem = caught.value
    assert problem.response_status_code == 404
    assert problem.error.code == "ResourceNotFound"
    assert "00000000-0000-4000-8000-000000000000" in problem.error.message
    assert problem.error.inner_error.request_id
    assert isinstance(problem.error.inner_error.date, datetime.datetime)


async def test_a_bulk_resize_is_validated_before_it_is_requested(beta):
    builder = beta.device_management.virtual_endpoint.cloud_p_cs
    cloud_pcs = (await builder.get()).value
    plans = (await beta.device_management.virtual_endpoint.service_plans.get()).value
    body = ValidateBulkResizePostRequestBody(
        cloud_pc_ids=[cloud_pcs[0].id, "00000000-0000-4000-8000-000000000000"],
        target_service_plan_id=cloud_pcs[0].service_plan_id,
    )
    assert cloud_pcs[0].service_plan_id in [str(plan.id) for plan in plans]
    results = (await builder.validate_bulk_resize.post(body)).value
    codes = {result.cloud_pc_id: result.validation_result.value for result in results}
    assert codes["00000000-0000-4000-8000-000000000000"] == "cloudPcNotFound"
    assert codes[cloud_pcs[0].id] in ("targetLicenseHasAssigned", "operationNotSupported", "operationConflict")
