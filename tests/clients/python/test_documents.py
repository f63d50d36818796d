"""Configuration entities with both SDKs: policies, user settings, organization settings, regions."""

import importlib
import re
import uuid

import pytest

from graph import get

GROUP = "0ff1ce00-0000-4000-8000-0000000000f1"
IMAGE = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"


def endpoint(graph):
    return graph.device_management.virtual_endpoint


def sdk(graph):
    """Returns the name of the package that a client comes from."""
    return type(graph).__module__.split(".")[0]


def model(graph, name):
    """Returns a model class of the client's SDK, e.g. `CloudPcProvisioningPolicy`."""
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return getattr(importlib.import_module(f"{sdk(graph)}.generated.models.{module}"), name)


def assign_body(graph, collection, assignments):
    within = f"generated.device_management.virtual_endpoint.{collection}.item"
    module = f"{sdk(graph)}.{within}.assign.assign_post_request_body"
    return importlib.import_module(module).AssignPostRequestBody(assignments=assignments)


def policy(graph, **changed):
    join = model(graph, "CloudPcDomainJoinConfiguration")(
        domain_join_type=model(graph, "CloudPcDomainJoinType").AzureADJoin,
        region_name="automatic",
        region_group=model(graph, "CloudPcRegionGroup").UsWest,
    )
    properties = {"display_name": f"Policy {uuid.uuid4()}", "image_id": IMAGE, "domain_join_configurations": [join]}
    return model(graph, "CloudPcProvisioningPolicy")(**(properties | changed))


def setting(graph, **changed):
    return model(graph, "CloudPcUserSetting")(**({"display_name": f"Setting {uuid.uuid4()}"} | changed))


def target(graph, group=GROUP):
    return model(graph, "CloudPcManagementGroupAssignmentTarget")(group_id=group)


# The collection, its key method, a new entity, the class of its assignments, what to change.
KINDS = {
    "provisioning_policies": (
        "by_cloud_pc_provisioning_policy_id",
        policy,
        "CloudPcProvisioningPolicyAssignment",
        {"description": "changed", "local_admin_enabled": True},
    ),
    "user_settings": (
        "by_cloud_pc_user_setting_id",
        setting,
        "CloudPcUserSettingAssignment",
        {"local_admin_enabled": True, "reset_enabled": True},
    ),
}


@pytest.mark.parametrize("collection", KINDS)
async def test_an_entity_from_its_creation_to_its_end(either, collection):
    key, new, assignment, changes = KINDS[collection]
    entities = getattr(endpoint(either), collection)
    before = await entities.count.get()
    created = await entities.post(new(either))
    one = getattr(entities, key)(created.id)
    read = await one.get()
    assert (read.id, read.display_name) == (created.id, created.display_name)
    assert await entities.count.get() == before + 1
    named = await get(entities, filter=f"displayName eq '{created.display_name}'")
    assert [entity.id for entity in named.value] == [created.id]

    updated = await one.patch(type(created)(**changes))
    assert {name: getattr(updated, name) for name in changes} == changes
    again = await one.get()
    assert {name: getattr(again, name) for name in changes} == changes
    assert again.display_name == created.display_name, "what an update does not name stays"

    row = model(either, assignment)(target=target(either))
    await one.assign.post(assign_body(either, collection, [row]))
    expanded = await get(one, expand=["assignments"])
    assert [row.target.group_id for row in expanded.assignments] == [GROUP]
    listed = (await one.assignments.get()).value
    assert [row.id for row in listed] == [expanded.assignments[0].id]
    assert await one.assignments.count.get() == 1
    by_key = getattr(one.assignments, f"by_{re.sub(r'(?<!^)(?=[A-Z])', '_', assignment).lower()}_id")
    assigned = by_key(listed[0].id)
    assert (await assigned.get()).target.group_id == GROUP
    assert (await assigned.patch(model(either, assignment)(target=target(either)))).id == listed[0].id
    await assigned.delete()
    assert await one.assignments.count.get() == 0
    posted = await one.assignments.post(model(either, assignment)(target=target(either)))
    assert posted.target.group_id == GROUP

    await one.assign.post(assign_body(either, collection, []))
    await one.delete()
    with pytest.raises(Exception) as caught:
        await one.delete()
    assert (caught.value.response_status_code, caught.value.error.code) == (404, "ResourceNotFound")
    assert await entities.count.get() == before


async def test_what_a_declarative_tool_writes_reads_back_as_written(beta):
    types = {
        name: model(beta, name)
        for name in (
            "CloudPcProvisioningType",
            "CloudPcManagementService",
            "CloudPcWindowsSetting",
            "CloudPcAutopilotConfiguration",
            "CloudPcUserSettingsPersistenceConfiguration",
            "CloudPcUserSettingsPersistenceStorageSizeCategory",
        )
    }
    autopilot = types["CloudPcAutopilotConfiguration"](
        device_preparation_profile_id=str(uuid.uuid4()),
        application_timeout_in_minutes=30,
        on_failure_device_access_denied=True,
    )
    persistence = types["CloudPcUserSettingsPersistenceConfiguration"](
        user_settings_persistence_enabled=True,
        user_settings_persistence_storage_size_category=types[
            "CloudPcUserSettingsPersistenceStorageSizeCategory"
        ].EightGB,
    )
    written = {
        "description": "All of it",
        "provisioning_type": types["CloudPcProvisioningType"].SharedByEntraGroup,
        "enable_single_sign_on": True,
        "cloud_pc_naming_template": "CPC-%USERNAME:4%-%RAND:5%",
        "windows_setting": types["CloudPcWindowsSetting"](locale="de-DE"),
        "autopilot_configuration": autopilot,
        "user_settings_persistence_configuration": persistence,
        "scope_ids": ["0", "7"],
    }
    policies = endpoint(beta).provisioning_policies
    created = await policies.post(policy(beta, **written))
    read = await policies.by_cloud_pc_provisioning_policy_id(created.id).get()
    for entity in (created, read):
        assert entity.provisioning_type is written["provisioning_type"]
        assert entity.windows_setting.locale == "de-DE"
        assert entity.autopilot_configuration.application_timeout_in_minutes == 30
        assert entity.user_settings_persistence_configuration.user_settings_persistence_enabled is True
        assert entity.scope_ids == ["0", "7"]
        assert entity.image_display_name == "Windows 11 Enterprise 24H2"
    await policies.by_cloud_pc_provisioning_policy_id(created.id).delete()


async def test_organization_settings_are_read_and_changed(beta):
    settings = endpoint(beta).organization_settings
    assert (await settings.get()).enable_single_sign_on is False
    changed = model(beta, "CloudPcOrganizationSettings")(enable_single_sign_on=True)
    assert (await settings.patch(changed)).enable_single_sign_on is True
    assert (await settings.get()).user_account_type.value == "standardUser"
    await settings.patch(model(beta, "CloudPcOrganizationSettings")(enable_single_sign_on=False))


async def test_regions_are_listed(beta):
    regions = endpoint(beta).supported_regions
    listed = (await get(regions, top=999)).value
    assert len(listed) == await regions.count.get()
    west = (await get(regions, filter="displayName eq 'westeurope' and supportedSolution eq 'windows365'")).value
    assert [region.region_group.value for region in west] == ["netherlands"]
    assert (await regions.by_cloud_pc_supported_region_id(west[0].id).get()).display_name == "westeurope"
