"""Device images with both SDKs: an upload, one that fails and is retried, a policy that uses the image."""

import uuid

import pytest
from test_documents import endpoint, model, policy

from graph import get

SOURCE = (
    "/subscriptions/0ac520ee-14c0-480f-b6c9-0a90c585ffff/resourceGroups/office"
    "/providers/Microsoft.Compute/images/office"
)


def image(graph, **changed):
    properties = {"display_name": f"Image {uuid.uuid4()}", "version": "0.0.1", "source_image_resource_id": SOURCE}
    return model(graph, "CloudPcDeviceImage")(**(properties | changed))


async def test_an_image_is_uploaded_and_used_by_a_policy(either, office):
    images = endpoint(either).device_images
    before = await images.count.get()
    with office.paused():
        created = await images.post(image(either))
        assert created.status.value == "pending"
        one = images.by_cloud_pc_device_image_id(created.id)
    office.rest()
    ready = await one.get()
    assert (ready.status.value, ready.error_code, ready.os_status.value) == ("ready", None, "supported")
    assert (ready.operating_system, ready.os_build_number) == ("Windows 11 Enterprise", "22631")
    assert await images.count.get() == before + 1
    assert [row.id for row in (await get(images, filter=f"displayName eq '{created.display_name}'")).value] == [
        ready.id
    ]
    renamed = await one.patch(type(created)(display_name=f"{created.display_name} 2"))
    assert renamed.display_name.endswith(" 2")

    policies = endpoint(either).provisioning_policies
    custom = policy(either)
    custom.image_type = model(either, "CloudPcProvisioningPolicyImageType").Custom
    custom.image_id = ready.id
    made = await policies.post(custom)
    with pytest.raises(Exception) as refused:
        await one.delete()
    assert (refused.value.response_status_code, refused.value.error.code) == (409, "resourceInUse")
    await policies.by_cloud_pc_provisioning_policy_id(made.id).delete()
    await one.delete()
    with pytest.raises(Exception) as gone:
        await one.delete()
    assert gone.value.response_status_code == 404


async def test_a_failed_upload_is_retried(beta, office):
    images = endpoint(beta).device_images
    effect = {"effect": "fail", "code": "sourceImageInvalid", "message": "The disk does not boot."}
    with office.fault(effect, kind="importImage", step="bootImage"):
        created = await images.post(image(beta))
        office.rest()
    one = images.by_cloud_pc_device_image_id(created.id)
    failed = await one.get()
    assert (failed.status.value, failed.error_code.value) == ("failed", "sourceImageInvalid")
    await one.retry_upload.post()
    office.rest()
    assert (await one.get()).status.value == "ready"
    await one.reupload.post()
    office.rest()
    assert (await one.get()).status.value == "ready"
    await one.delete()


async def test_sources_are_listed(either):
    sources = (await endpoint(either).device_images.get_source_images.get()).value
    assert [source.display_name for source in sources] == ["windows-11-custom", "windows-11-office"]
