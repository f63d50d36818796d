"""Remote actions on Cloud PCs with the beta SDK: requests, progress and every final state.

The machines are `desk-21` and later ones of the fleet; each test has its own.
"""

import datetime

import pytest
from msgraph_beta.generated.device_management.managed_devices.item.set_device_name.set_device_name_post_request_body import (
    SetDeviceNamePostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.change_user_account_type.change_user_account_type_post_request_body import (
    ChangeUserAccountTypePostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.create_snapshot.create_snapshot_post_request_body import (
    CreateSnapshotPostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.rename.rename_post_request_body import (
    RenamePostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.reprovision.reprovision_post_request_body import (
    ReprovisionPostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.resize.resize_post_request_body import (
    ResizePostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.restore.restore_post_request_body import (
    RestorePostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.set_review_status.set_review_status_post_request_body import (
    SetReviewStatusPostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.snapshots.purge_imported_snapshot.purge_imported_snapshot_post_request_body import (
    PurgeImportedSnapshotPostRequestBody,
)
from msgraph_beta.generated.models.action_capability import ActionCapability
from msgraph_beta.generated.models.action_state import ActionState
from msgraph_beta.generated.models.cloud_pc_operating_system import CloudPcOperatingSystem
from msgraph_beta.generated.models.cloud_pc_power_state import CloudPcPowerState
from msgraph_beta.generated.models.cloud_pc_remote_action_name import CloudPcRemoteActionName
from msgraph_beta.generated.models.cloud_pc_review_status import CloudPcReviewStatus
from msgraph_beta.generated.models.cloud_pc_snapshot_status import CloudPcSnapshotStatus
from msgraph_beta.generated.models.cloud_pc_snapshot_type import CloudPcSnapshotType
from msgraph_beta.generated.models.cloud_pc_status import CloudPcStatus
from msgraph_beta.generated.models.cloud_pc_user_access_level import CloudPcUserAccessLevel
from msgraph_beta.generated.models.cloud_pc_user_account_type import CloudPcUserAccountType
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError

from graph import eventually, get

BIGGER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c2"
ENTERPRISE_PLAN = "0ff1ce00-0000-4000-8000-0000000000c4"
GPU = "0ff1ce00-0000-4000-8000-0000000000d1"


async def desk(graph, name):
    """Returns the request builder of a Cloud PC."""
    cloud_pcs = graph.device_management.virtual_endpoint.cloud_p_cs
    found = (await get(cloud_pcs, filter=f"displayName eq '{name}'")).value
    return cloud_pcs.by_cloud_p_c_id(found[0].id)


async def results(cloud_pc):
    found = (await cloud_pc.retrieve_cloud_p_c_remote_action_results.get()).value
    return [(result.action_name, result.action_state) for result in found]


async def look(cloud_pc, *names):
    return await get(cloud_pc, select=["id", *names])


async def test_reprovision_from_the_request_to_done(office, beta):
    cloud_pc = await desk(beta, "desk-21")
    assert await results(cloud_pc) == []
    before = await look(cloud_pc, "aadDeviceId", "provisionedDateTime")
    with office.paused():
        assert await cloud_pc.reprovision.post(ReprovisionPostRequestBody()) is None
        await eventually(lambda: results(cloud_pc), [("Reprovision", ActionState.Active)])
        assert (await cloud_pc.get()).status is CloudPcStatus.Provisioning
        office.rest()
        assert await results(cloud_pc) == [("Reprovision", ActionState.Done)]
    (result,) = (await cloud_pc.retrieve_cloud_p_c_remote_action_results.get()).value
    names = ["aadDeviceId", "managedDeviceId", "provisionedDateTime", "status", "lastRemoteActionResult"]
    after = await look(cloud_pc, *names)
    assert (result.cloud_pc_id, result.managed_device_id) == (after.id, after.managed_device_id)
    assert (
        datetime.timedelta(0) < result.last_updated_date_time - result.start_date_time < datetime.timedelta(minutes=1)
    )
    assert (result.status_detail, result.status_details) == (None, None)
    assert after.status is CloudPcStatus.Provisioned
    assert after.aad_device_id != before.aad_device_id
    assert after.provisioned_date_time > before.provisioned_date_time
    latest = after.last_remote_action_result
    assert (latest.action_name, latest.last_updated_date_time) == ("Reprovision", result.last_updated_date_time)


async def test_reprovision_with_another_system_and_account_type(office, beta):
    cloud_pc = await desk(beta, "desk-22")
    body = ReprovisionPostRequestBody(
        os_version=CloudPcOperatingSystem.Windows10, user_account_type=CloudPcUserAccountType.Administrator
    )
    await cloud_pc.reprovision.post(body)
    office.rest()
    after = await look(cloud_pc, "osVersion", "userAccountType", "imageDisplayName")
    assert after.os_version is CloudPcOperatingSystem.Windows10
    assert after.user_account_type is CloudPcUserAccountType.Administrator
    assert after.image_display_name == "Windows 10 Enterprise 22H2"


async def test_resize(office, beta):
    cloud_pc = await desk(beta, "desk-23")
    await cloud_pc.resize.post(ResizePostRequestBody(target_service_plan_id=BIGGER_PLAN))
    office.rest()
    assert (await cloud_pc.get()).service_plan_name == "Cloud PC Business 4vCPU/16GB/256GB"
    assert await results(cloud_pc) == [("Resize", ActionState.Done)]


async def test_rename(office, beta):
    cloud_pc = await desk(beta, "desk-24")
    await cloud_pc.rename.post(RenamePostRequestBody(display_name="Ada's own: 100 % & naïve"))
    office.rest()
    assert (await cloud_pc.get()).display_name == "Ada's own: 100 % & naïve"
    found = await get(
        beta.device_management.virtual_endpoint.cloud_p_cs, filter="displayName eq 'Ada''s own: 100 % & naïve'"
    )
    assert len(found.value) == 1
    await cloud_pc.rename.post(RenamePostRequestBody(display_name="desk-24"))
    office.rest()
    assert await results(cloud_pc) == [("Rename", ActionState.Done)] * 2


async def test_power_and_reboot(office, beta):
    cloud_pc = await desk(beta, "desk-25")
    await cloud_pc.power_off.post()
    office.rest()
    assert (await look(cloud_pc, "powerState")).power_state is CloudPcPowerState.PoweredOff
    await cloud_pc.power_on.post()
    office.rest()
    assert (await look(cloud_pc, "powerState")).power_state is CloudPcPowerState.Running
    await cloud_pc.reboot.post()
    office.rest()
    # Newest first.
    assert await results(cloud_pc) == [
        ("Reboot", ActionState.Done),
        ("CloudPcPowerOn", ActionState.Done),
        ("CloudPcPowerOff", ActionState.Done),
    ]


async def test_change_user_account_type(office, beta):
    cloud_pc = await desk(beta, "desk-26")
    administrator = CloudPcUserAccountType.Administrator
    assert (await look(cloud_pc, "userAccountType")).user_account_type is CloudPcUserAccountType.StandardUser
    body = ChangeUserAccountTypePostRequestBody(user_account_type=administrator)
    await cloud_pc.change_user_account_type.post(body)
    office.rest()
    assert (await results(cloud_pc))[0] == ("ChangeUserAccountType", ActionState.Done)
    assert (await look(cloud_pc, "userAccountType")).user_account_type is administrator


async def test_device_name_and_synchronization(office, beta):
    cloud_pc = await desk(beta, "desk-26")
    identity = (await cloud_pc.get()).managed_device_id
    device = beta.device_management.managed_devices.by_managed_device_id(identity)
    await device.set_device_name.post(SetDeviceNamePostRequestBody(device_name="CPC-RENAMED"))
    office.rest()
    assert (await device.get()).device_name == "CPC-RENAMED"
    await device.sync_device.post()


async def test_retry_of_agents_without_a_failed_one(beta):
    await (await desk(beta, "desk-26")).retry_partner_agent_installation.post()


async def test_deleting_a_snapshot(office, beta):
    cloud_pc = await desk(beta, "desk-26")
    await cloud_pc.create_snapshot.post(CreateSnapshotPostRequestBody())
    office.rest()
    before = (await cloud_pc.retrieve_snapshots.get()).value
    snapshots = beta.device_management.virtual_endpoint.snapshots
    await snapshots.by_cloud_pc_snapshot_id(before[0].id).delete()
    assert len((await cloud_pc.retrieve_snapshots.get()).value) == len(before) - 1
    assert (await snapshots.get_subscriptions.get()).value == []
    nobody = "00000000-0000-4000-8000-000000000000"
    assert (await snapshots.get_storage_accounts_with_subscription_id(nobody).get()).value == []
    assert (await snapshots.retrieve_snapshot_import_results_with_snapshot_id(nobody).get()).value == []
    await snapshots.purge_imported_snapshot.post(PurgeImportedSnapshotPostRequestBody(snapshot_ids=[]))


async def test_review(office, beta):
    cloud_pc = await desk(beta, "desk-26")
    assert (await cloud_pc.retrieve_review_status.get()).in_review is False
    status = CloudPcReviewStatus(in_review=True, user_access_level=CloudPcUserAccessLevel.Restricted)
    await cloud_pc.set_review_status.post(SetReviewStatusPostRequestBody(review_status=status))
    office.rest()
    status = await cloud_pc.retrieve_review_status.get()
    assert (status.in_review, status.user_access_level) == (True, CloudPcUserAccessLevel.Restricted)
    assert status.review_start_date_time <= status.restore_point_date_time
    ended = SetReviewStatusPostRequestBody(review_status=CloudPcReviewStatus(in_review=False))
    await cloud_pc.set_review_status.post(ended)
    assert (await cloud_pc.retrieve_review_status.get()).in_review is False


async def test_troubleshoot(office, beta):
    cloud_pc = await desk(beta, "desk-26")
    await cloud_pc.troubleshoot.post()
    office.rest()
    assert (await results(cloud_pc))[0] == ("Troubleshoot", ActionState.Done)


async def test_snapshot_and_restore(office, beta):
    cloud_pc = await desk(beta, "desk-27")
    await cloud_pc.create_snapshot.post(CreateSnapshotPostRequestBody())
    office.rest()
    (snapshot,) = (await cloud_pc.retrieve_snapshots.get()).value
    identity = (await cloud_pc.get()).id
    assert snapshot.id.startswith(f"CPC_{identity}_")
    assert (snapshot.cloud_pc_id, snapshot.status) == (identity, CloudPcSnapshotStatus.Ready)
    assert (snapshot.snapshot_type, snapshot.last_restored_date_time) == (CloudPcSnapshotType.Manual, None)
    await cloud_pc.restore.post(RestorePostRequestBody(cloud_pc_snapshot_id=snapshot.id))
    office.rest()
    assert await results(cloud_pc) == [("Restore", ActionState.Done), ("CreateSnapshot", ActionState.Done)]
    snapshots = beta.device_management.virtual_endpoint.snapshots
    restored = await snapshots.by_cloud_pc_snapshot_id(snapshot.id).get()
    assert restored.last_restored_date_time > snapshot.created_date_time
    assert [found.id for found in (await get(snapshots, filter=f"cloudPcId eq '{identity}'")).value] == [snapshot.id]
    assert await snapshots.count.get() == len((await snapshots.get()).value)


async def test_a_second_remote_action_is_refused_and_the_first_goes_on(office, beta):
    cloud_pc = await desk(beta, "desk-28")
    with office.paused():
        await cloud_pc.reprovision.post(ReprovisionPostRequestBody())
        with pytest.raises(ODataError) as caught:
            await cloud_pc.reboot.post()
        assert caught.value.response_status_code == 409
        assert caught.value.error.code == "remoteActionInProgress"
        assert "reprovision" in caught.value.error.message
    assert await results(cloud_pc) == [("Reprovision", ActionState.Done)]


async def test_a_remote_action_waits_for_a_deployment(office, beta):
    cloud_pc = await desk(beta, "desk-29")
    identity = (await cloud_pc.get()).id
    partner = "/beta/deviceManagement/virtualEndpoint/externalPartners/0ff1ce00-0000-4000-8000-00000000fab1"

    async def first_state():
        rows = office.call("GET", f"{partner}/retrieveDeployAgentActionResults(cloudPcId='{identity}')").json()
        return rows["value"][0]["state"]

    with office.paused():
        assert office.call("POST", f"{partner}/deployAgent", {"cloudPcIds": [identity]}).status == 200
        await eventually(first_state, "running")
        await cloud_pc.reboot.post()
        assert await results(cloud_pc) == [("Reboot", ActionState.Pending)]
    assert await results(cloud_pc) == [("Reboot", ActionState.Done)]


async def test_a_failed_action_says_why_and_leaves_the_machine_as_it_was(office, beta):
    cloud_pc = await desk(beta, "desk-30")
    identity = (await cloud_pc.get()).id
    trouble = {"effect": "fail", "code": "diskFailed", "message": "The shelf is empty."}
    with office.fault(trouble, cloudPcs=[identity], kind="reprovision", step="makeDisk"):
        await cloud_pc.reprovision.post(ReprovisionPostRequestBody())
        office.rest()
    (result,) = (await cloud_pc.retrieve_cloud_p_c_remote_action_results.get()).value
    assert result.action_state is ActionState.Failed
    assert result.status_detail.code == "diskFailed"
    assert "The shelf is empty." in result.status_detail.message
    assert result.status_details.code == "diskFailed"
    after = await look(cloud_pc, "status", "powerState")
    assert (after.status, after.power_state) == (CloudPcStatus.Provisioned, CloudPcPowerState.Running)


async def test_a_canceled_action(office, beta):
    cloud_pc = await desk(beta, "desk-31")
    identity = (await cloud_pc.get()).id
    ours = f"/beta/deviceManagement/virtualEndpoint/cloudPCs/{identity}/cloudpc.actions"
    with office.paused():
        await cloud_pc.reprovision.post(ReprovisionPostRequestBody())
        (action,) = office.call("GET", ours).json()["value"]
        assert office.call("POST", f"{ours}/{action['id']}/cloudpc.cancel").status == 204
    assert await results(cloud_pc) == [("Reprovision", ActionState.Canceled)]


async def test_an_action_that_the_machine_does_not_support(office, beta):
    cloud_pc = beta.device_management.virtual_endpoint.cloud_p_cs.by_cloud_p_c_id(GPU)
    await cloud_pc.resize.post(ResizePostRequestBody(target_service_plan_id=ENTERPRISE_PLAN))
    office.rest()
    assert (await results(cloud_pc))[0] == ("Resize", ActionState.NotSupported)


async def test_supported_actions(beta):
    cloud_pc = beta.device_management.virtual_endpoint.cloud_p_cs.by_cloud_p_c_id(GPU)
    supported = (await cloud_pc.get_supported_cloud_pc_remote_actions.get()).value
    capabilities = {row.action_name: row.action_capability for row in supported}
    assert capabilities[CloudPcRemoteActionName.Resize] is ActionCapability.Disabled
    assert capabilities[CloudPcRemoteActionName.Reprovision] is ActionCapability.Enabled
    # Under open fidelity, members that were added later are sent to every client.
    assert CloudPcRemoteActionName.PowerOn in capabilities


async def test_below_a_user(office, beta):
    cloud_pc = await desk(beta, "desk-32")
    identity = (await cloud_pc.get()).id
    of_alan = beta.users.by_user_id("alan@contoso.test").cloud_p_cs.by_cloud_p_c_id(identity)
    assert (await of_alan.get()).display_name == "desk-32"
    await of_alan.reboot.post()
    office.rest()
    assert await results(of_alan) == [("Reboot", ActionState.Done)]
    with pytest.raises(ODataError) as caught:
        await beta.users.by_user_id("ada@contoso.test").cloud_p_cs.by_cloud_p_c_id(identity).get()
    assert caught.value.response_status_code == 404


@pytest.mark.parametrize(
    ("method", "body", "target"),
    [
        ("resize", ResizePostRequestBody(target_service_plan_id="0ff1ce00-0000-4000-8000-0000000000c1"), None),
        ("resize", ResizePostRequestBody(), "targetServicePlanId"),
        ("restore", RestorePostRequestBody(cloud_pc_snapshot_id="CPC_of_somebody_else"), None),
        ("rename", RenamePostRequestBody(display_name="x" * 65), "displayName"),
        ("create_snapshot", CreateSnapshotPostRequestBody(storage_account_id="/somewhere/else"), "storageAccountId"),
    ],
)
async def test_what_could_never_work_is_refused(beta, method, body, target):
    cloud_pc = await desk(beta, "desk-33")
    with pytest.raises(ODataError) as caught:
        await getattr(cloud_pc, method).post(body)
    assert (caught.value.response_status_code, caught.value.error.code) == (400, "BadRequest")
    assert caught.value.error.target == target
    assert await results(cloud_pc) == []
