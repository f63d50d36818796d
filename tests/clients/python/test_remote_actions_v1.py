"""Remote actions with the v1.0 SDK, which can request some of them; their results are read with beta."""

import pytest
from msgraph.generated.device_management.virtual_endpoint.cloud_p_cs.item.rename.rename_post_request_body import (
    RenamePostRequestBody,
)
from msgraph.generated.device_management.virtual_endpoint.cloud_p_cs.item.reprovision.reprovision_post_request_body import (
    ReprovisionPostRequestBody,
)
from msgraph.generated.device_management.virtual_endpoint.cloud_p_cs.item.resize.resize_post_request_body import (
    ResizePostRequestBody,
)
from msgraph.generated.device_management.virtual_endpoint.cloud_p_cs.item.restore.restore_post_request_body import (
    RestorePostRequestBody,
)
from msgraph.generated.models.cloud_pc_operating_system import CloudPcOperatingSystem
from msgraph.generated.models.o_data_errors.o_data_error import ODataError

from graph import get

BIGGER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c2"


async def test_each_action(office, v1, beta):
    cloud_pcs = v1.device_management.virtual_endpoint.cloud_p_cs
    (found,) = (await get(cloud_pcs, filter="displayName eq 'desk-36'")).value
    cloud_pc = cloud_pcs.by_cloud_p_c_id(found.id)
    in_beta = beta.device_management.virtual_endpoint.cloud_p_cs.by_cloud_p_c_id(found.id)
    assert (
        office.call("POST", f"/beta/deviceManagement/virtualEndpoint/cloudPCs/{found.id}/createSnapshot").status == 204
    )
    office.rest()
    (snapshot,) = (await in_beta.retrieve_snapshots.get()).value

    requests = [
        ("Reboot", cloud_pc.reboot, []),
        ("Troubleshoot", cloud_pc.troubleshoot, []),
        ("Restore", cloud_pc.restore, [RestorePostRequestBody(cloud_pc_snapshot_id=snapshot.id)]),
        ("Resize", cloud_pc.resize, [ResizePostRequestBody(target_service_plan_id=BIGGER_PLAN)]),
        ("Rename", cloud_pc.rename, [RenamePostRequestBody(display_name="the corner office")]),
        (
            "Reprovision",
            cloud_pc.reprovision,
            [ReprovisionPostRequestBody(os_version=CloudPcOperatingSystem.Windows10)],
        ),
    ]
    for name, action, body in requests:
        assert await action.post(*body) is None
        office.rest()
        latest = (await in_beta.retrieve_cloud_p_c_remote_action_results.get()).value[0]
        assert (latest.action_name, latest.action_state) == (name, "done")
    after = await cloud_pc.get()
    assert (after.display_name, after.service_plan_id) == ("the corner office", BIGGER_PLAN)
    assert after.image_display_name == "Windows 10 Enterprise 22H2"
    assert after.aad_device_id != found.aad_device_id


async def test_a_second_action_is_refused(office, v1):
    cloud_pcs = v1.device_management.virtual_endpoint.cloud_p_cs
    (found,) = (await get(cloud_pcs, filter="displayName eq 'desk-37'")).value
    with office.paused():
        await cloud_pcs.by_cloud_p_c_id(found.id).reboot.post()
        with pytest.raises(ODataError) as caught:
            await cloud_pcs.by_cloud_p_c_id(found.id).reboot.post()
    assert (caught.value.response_status_code, caught.value.error.code) == (409, "remoteActionInProgress")
    assert "reboot" in caught.value.error.message


async def test_below_a_user(office, v1):
    of_alan = v1.users.by_user_id("alan@contoso.test").cloud_p_cs
    (found,) = (await get(v1.device_management.virtual_endpoint.cloud_p_cs, filter="displayName eq 'desk-38'")).value
    assert (await of_alan.by_cloud_p_c_id(found.id).get()).display_name == "desk-38"
    assert await of_alan.by_cloud_p_c_id(found.id).reboot.post() is None
    office.rest()
