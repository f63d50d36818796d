"""What the API reports about a machine is true in the guest."""

from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.create_snapshot.create_snapshot_post_request_body import (
    CreateSnapshotPostRequestBody,
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

from conftest import ENDPOINT

BIGGER_PLAN = "0ff1ce00-0000-4000-8000-0000000000c2"


async def test_what_a_reprovision_wipes_an_undo_brings_back(desk):
    await desk.run("echo mine > /opt/mark")
    await desk.cloud_pc.reprovision.post(ReprovisionPostRequestBody())
    await desk.done("Reprovision")
    assert "No such file" in await desk.said("cat /opt/mark")
    ours = f"{ENDPOINT}/cloudPCs/{desk.identity}/cloudpc.undo"
    assert desk.service.call("POST", ours).status == 204
    await desk.done("Undo")
    assert await desk.said("cat /opt/mark") == "mine"


async def test_a_restore_goes_back_to_its_point(desk):
    await desk.run("echo before > /opt/state")
    await desk.cloud_pc.create_snapshot.post(CreateSnapshotPostRequestBody())
    await desk.done()
    await desk.run("echo after > /opt/state")
    (snapshot,) = (await desk.cloud_pc.retrieve_snapshots.get()).value
    await desk.cloud_pc.restore.post(RestorePostRequestBody(cloud_pc_snapshot_id=snapshot.id))
    await desk.done()
    assert await desk.said("cat /opt/state") == "before"


async def test_a_reboot_is_one(desk):
    before = await desk.said("cat /proc/sys/kernel/random/boot_id")
    await desk.cloud_pc.reboot.post()
    await desk.done()
    assert await desk.said("cat /proc/sys/kernel/random/boot_id") != before


async def test_a_resize_is_seen_inside(desk):
    look = "nproc; awk '/MemTotal/ { print int($2 / 1024 / 1024 + 0.5) }' /proc/meminfo; cat /sys/block/vda/size"
    assert (await desk.said(look)).split() == ["1", "1", str(3 << 21)]
    await desk.cloud_pc.resize.post(ResizePostRequestBody(target_service_plan_id=BIGGER_PLAN))
    await desk.done()
    assert (await desk.said(look)).split() == ["2", "2", str(5 << 21)]
