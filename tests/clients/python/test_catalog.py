"""Service plans, gallery images and the audit log, with both SDKs."""

import importlib

from msgraph_beta.generated.models.cloud_pc_audit_activity_operation_type import CloudPcAuditActivityOperationType

from graph import get

PLAN = "0ff1ce00-0000-4000-8000-0000000000c1"
IMAGE = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"


async def test_service_plans(either):
    builder = either.device_management.virtual_endpoint.service_plans
    assert len((await builder.get()).value) == 5
    plan = await builder.by_cloud_pc_service_plan_id(PLAN).get()
    assert (plan.display_name, plan.v_cpu_count, plan.ram_in_g_b, plan.storage_in_g_b) == (
        "Cloud PC Business 2vCPU/8GB/128GB",
        2,
        8,
        128,
    )
    assert await builder.count.get() == 5


async def test_frontline_plans_count_their_licences(beta):
    builder = beta.device_management.virtual_endpoint.front_line_service_plans
    (plan,) = (await builder.get()).value
    assert (plan.display_name, plan.total_count) == ("Cloud PC Frontline 2vCPU/4GB/64GB", 2)
    same = await builder.by_cloud_pc_front_line_service_plan_id(plan.id).get()
    assert (same.used_count, same.allotment_licenses_count) == (0, 0)
    assert await builder.count.get() == 1


async def test_gallery_images(either):
    builder = either.device_management.virtual_endpoint.gallery_images
    (image,) = (await get(builder, filter=f"id eq '{IMAGE}'")).value
    again = await builder.by_cloud_pc_gallery_image_id(IMAGE).get()
    assert (image.display_name, image.size_in_g_b) == (again.display_name, again.size_in_g_b)
    assert (image.display_name, image.publisher_name) == ("Windows 11 Enterprise 24H2", "microsoftwindowsdesktop")
    assert await builder.count.get() == 2


async def test_an_image_added_by_the_administrator(either):
    models = importlib.import_module(f"{type(either).__module__.split('.')[0]}.generated.models.cloud_pc_gallery_image")
    builder = either.device_management.virtual_endpoint.gallery_images
    wanted = models.CloudPcGalleryImage(
        id="contoso_debian_12", display_name="Debian 12", size_in_g_b=2, os_version_number="10.0.19045"
    )
    added = await builder.post(wanted)
    assert (added.id, added.os_version_number, added.sku_name) == ("contoso_debian_12", "10.0.19045", "12")
    one = builder.by_cloud_pc_gallery_image_id(added.id)
    added.display_name = "Debian 12, bookworm"
    assert (await one.patch(added)).display_name == "Debian 12, bookworm"
    await one.delete()
    assert await builder.count.get() == 2


async def test_audit_events(office, either):
    builder = either.device_management.virtual_endpoint.audit_events
    before = await builder.count.get()
    path = "/beta/deviceManagement/virtualEndpoint/cloudPCs/0ff1ce00-0000-4000-8000-0000000000d1/troubleshoot"
    assert office.call("POST", path).status == 204
    office.rest()
    # Newest first: the moved clock, and the request. A successful action has no further event.
    events = (await get(builder, top=2)).value
    assert [event.activity_type for event in events] == ["AdvanceToIdle Clock", "Troubleshoot CloudPC"]
    event = await builder.by_cloud_pc_audit_event_id(events[1].id).get()
    assert (event.display_name, event.actor.application_id) == ("Troubleshoot CloudPC", office.client_id)
    assert event.resources[0].resource_id == "0ff1ce00-0000-4000-8000-0000000000d1"
    assert await builder.count.get() == before + 2


async def test_an_audit_event_of_beta_is_typed(beta):
    (event,) = (await get(beta.device_management.virtual_endpoint.audit_events, top=1)).value
    assert isinstance(event.activity_operation_type, CloudPcAuditActivityOperationType)
