"""The smaller configuration entities with the beta SDK, and over HTTP those that no SDK has."""

import importlib
import json
import re
import uuid

import pytest
from test_documents import GROUP, IMAGE, endpoint, model, policy

from graph import get

BETA = "/beta/deviceManagement/virtualEndpoint"
# The office's administrator, a member of GROUP.
ADA = "ada@contoso.test"


def body(path, name, **properties):
    """Returns the body of an action."""
    within = f"msgraph_beta.generated.device_management.virtual_endpoint.{path}"
    snake = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return getattr(importlib.import_module(f"{within}.{snake}"), name)(**properties)


def monitoring(name):
    module = re.sub(r"(?<!^)(?=[A-Z])", "_", name).lower()
    return getattr(importlib.import_module(f"msgraph_beta.generated.models.device_management.{module}"), name)


async def app_policy(beta):
    shared = model(beta, "CloudPcProvisioningType").SharedByEntraGroup
    experience = model(beta, "CloudPcUserExperienceType").CloudApp
    return await endpoint(beta).provisioning_policies.post(
        policy(beta, provisioning_type=shared, user_experience_type=experience)
    )


async def refused(call):
    """Returns status and code of a refused call."""
    with pytest.raises(Exception) as caught:
        await call
    return caught.value.response_status_code, caught.value.error.code


async def test_alert_rules_and_records(office, beta):
    rules = beta.device_management.monitoring.alert_rules
    built_in = [rule for rule in (await get(rules, filter="isSystemRule eq true")).value]
    assert {rule.alert_rule_template.value for rule in built_in} == {
        "cloudPcProvisionScenario",
        "cloudPcImageUploadScenario",
        "cloudPcOnPremiseNetworkConnectionCheckScenario",
        "cloudPcInGracePeriodScenario",
    }
    assert (await refused(rules.by_alert_rule_id(built_in[0].id).delete()))[0] == 400

    before = await rules.count.get()
    condition = monitoring("RuleCondition")(
        aggregation=monitoring("AggregationType").AffectedCloudPcCount,
        condition_category=monitoring("ConditionCategory").ProvisionFailures,
        operator=monitoring("OperatorType").GreaterOrEqual,
        relationship_type=monitoring("RelationshipType").Or_,
        threshold_value="0",
    )
    rule = monitoring("AlertRule")(
        alert_rule_template=monitoring("AlertRuleTemplate").CloudPcProvisionScenario,
        display_name="Always",
        severity=monitoring("RuleSeverityType").Critical,
        conditions=[condition],
    )
    created = await rules.post(rule)
    one = rules.by_alert_rule_id(created.id)
    assert (created.enabled, created.is_system_rule) == (True, False)
    assert (await one.get()).conditions[0].threshold_value == "0"
    assert await rules.count.get() == before + 1
    office.rest()

    records = beta.device_management.monitoring.alert_records
    found = (await get(records, filter=f"alertRuleId eq '{created.id}'")).value
    assert [(record.status.value, record.severity.value) for record in found] == [("active", "critical")]
    assert await records.count.get() >= 1
    await one.patch(monitoring("AlertRule")(enabled=False))
    office.rest()
    record = await records.by_alert_record_id(found[0].id).get()
    assert record.status.value == "resolved" and record.resolved_date_time >= record.detected_date_time
    await one.delete()


async def test_cloud_apps_are_published_and_unpublished(beta):
    apps = endpoint(beta).cloud_apps
    shared = await app_policy(beta)
    detail = model(beta, "CloudPcFilePathAppDetail")(
        odata_type="#microsoft.graph.cloudPcFilePathAppDetail", file_path="C:\\app.exe", icon_index=2
    )
    new = model(beta, "CloudPcCloudApp")(
        display_name="Editor", provisioning_policy_id=shared.id, app_detail=detail, description="Writes"
    )
    created = await apps.post(new)
    one = apps.by_cloud_pc_cloud_app_id(created.id)
    assert (created.app_status.value, created.available_to_user) == ("ready", False)
    assert (await one.get()).app_detail.icon_index == 2
    assert await refused(apps.post(new)) == (409, "nameAlreadyExists")
    assert (await get(apps, filter=f"provisioningPolicyId eq '{shared.id}'")).value[0].id == created.id
    assert await apps.count.get() >= 1
    assert (await one.patch(model(beta, "CloudPcCloudApp")(description="Edits"))).description == "Edits"

    for action, name, status in [
        (apps.publish, "publish", "published"),
        (apps.unpublish, "unpublish", "ready"),
        (apps.reset, "reset", "ready"),
    ]:
        await action.post(body(f"cloud_apps.{name}", f"{name.title()}PostRequestBody", cloud_app_ids=[created.id]))
        assert (await one.get()).app_status.value == status
    found = await apps.retrieve_discovered_apps_with_source_idprovisioning_policy_id_provisioning_policy_id(IMAGE).get()
    assert found.value == []
    policies = endpoint(beta).provisioning_policies.by_cloud_pc_provisioning_policy_id(shared.id)
    assert await refused(policies.delete()) == (409, "resourceInUse")
    await one.delete()
    await policies.delete()


async def test_pools_are_read_by_those_they_are_assigned_to(office, ada, beta):
    pools = endpoint(beta).cloud_pc_pools
    new = model(beta, "CloudPcAgentPool")(
        odata_type="#microsoft.graph.cloudPcAgentPool",
        display_name=f"Pool {uuid.uuid4()}",
        cloud_pc_configuration=model(beta, "CloudPcConfiguration")(image_id=IMAGE),
        scaling_policy=model(beta, "CloudPcAgentPoolScalingPolicy")(minimum_count=1, maximum_count=2),
    )
    created = await pools.post(new)
    one = pools.by_cloud_pc_pool_id(created.id)
    read = await one.get()
    assert (read.pool_url, read.session_usage, read.scaling_policy.maximum_count) == (None, None, 2)
    assert read.cloud_pc_configuration.image_display_name == "Windows 11 Enterprise 24H2"
    assert (await one.patch(model(beta, "CloudPcAgentPool")(description="For agents"))).description == "For agents"
    assert await pools.count.get() == len((await pools.get()).value)

    user = (await beta.users.by_user_id(ADA).get()).id
    own = beta.users.by_user_id(user).cloud_pc_pools
    assert (await own.get()).value == []
    principal = model(beta, "CloudPcAgentPoolUserAssignment")(
        odata_type="#microsoft.graph.cloudPcAgentPoolUserAssignment", user_principal_id=user
    )
    assignment = await one.assignments.post(principal)
    assert await one.assignments.count.get() == 1
    assert (await one.assignments.get()).value[0].id == assignment.id
    assigned = one.assignments.by_cloud_pc_pool_assignment_id(assignment.id)
    assert (await assigned.get()).user_principal_id == user
    assert (await assigned.patch(principal)).user_principal_id == user
    assert [pool.id for pool in (await own.get()).value] == [created.id]
    assert await own.count.get() == 1
    assert (await own.by_cloud_pc_pool_id(created.id).get()).id == created.id
    assert (await refused(own.by_cloud_pc_pool_id(created.id).delete()))[0] == 405
    await assigned.delete()
    assert (await refused(own.by_cloud_pc_pool_id(created.id).get()))[0] == 404
    await one.delete()


async def test_what_an_organization_has(beta, v1, ada_beta):
    root, root_of_v1 = endpoint(beta), endpoint(v1)
    assert (await root.get()).id == (await root.reports.get()).id == (await root.report.get()).id
    assert (await root_of_v1.get()).id == (await root_of_v1.report.get()).id
    assert (await root_of_v1.audit_events.get_audit_activity_types.get()).value
    mapping = root.cross_cloud_government_organization_mapping
    organization = model(beta, "CloudPcCrossCloudGovernmentOrganizationMapping")
    identity = str(uuid.uuid4())
    assert (await mapping.get()).organization_ids_in_u_s_gov_cloud == []
    changed = await mapping.patch(organization(organization_ids_in_u_s_gov_cloud=[identity]))
    assert changed.organization_ids_in_u_s_gov_cloud == [identity]
    await mapping.patch(organization(organization_ids_in_u_s_gov_cloud=[]))

    deactivate = model(beta, "CloudPcOrganizationActionType").Deactivate
    action = body("organization_action", "OrganizationActionPostRequestBody", action_type=deactivate)
    assert (await endpoint(ada_beta).organization_action.post(action)).status.value == "failed"
    detail = await root.retrieve_organization_action_detail_with_action_type("activate").get()
    assert detail.status.value == "succeeded"
    setting = await root.retrieve_tenant_encryption_setting.get()
    assert setting.tenant_disk_encryption_type is None
    types = await root.audit_events.get_audit_activity_types.get()
    assert "Create CloudPcProvisioningPolicy" in types.value

    licenses = root.managed_licenses
    listed = (await licenses.get()).value
    assert await licenses.count.get() == len(listed)
    for row in listed[:1]:
        assert (await licenses.by_cloud_pc_managed_license_id(row.id).get()).license_type.value == "frontline"


async def test_external_partner_settings_are_external_partners(beta):
    settings, partners = endpoint(beta).external_partner_settings, endpoint(beta).external_partners
    new = model(beta, "CloudPcExternalPartnerSetting")(partner_id=str(uuid.uuid4()), enable_connection=False)
    created = await settings.post(new)
    one = settings.by_cloud_pc_external_partner_setting_id(created.id)
    assert (await one.get()).status.value == "notAvailable"
    changed = await one.patch(model(beta, "CloudPcExternalPartnerSetting")(enable_connection=True))
    assert changed.status.value == "available"
    partner = partners.by_cloud_pc_external_partner_id(created.id)
    assert (await partner.get()).connection_status.value == "available"
    assert await settings.count.get() == await partners.count.get()
    assert created.id in [row.id for row in (await settings.get()).value]
    await partner.delete()


async def test_nothing_of_users_is_kept_below_assignments(office, beta, v1):
    directory = "/v1.0"
    person = {"accountEnabled": True, "displayName": "New hire", "mailNickname": f"hire-{uuid.uuid4()}"}
    person |= {"userPrincipalName": f"{person['mailNickname']}@contoso.test"}
    person |= {"passwordProfile": {"password": "correct horse battery"}}
    new_user = office.call("POST", f"{directory}/users", json.dumps(person)).json()["id"]
    team = {
        "displayName": "Team",
        "mailEnabled": False,
        "mailNickname": f"team-{uuid.uuid4()}",
        "securityEnabled": True,
    }
    new_group = office.call("POST", f"{directory}/groups", json.dumps(team)).json()["id"]
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{new_user}"}
    added = office.call("POST", f"{directory}/groups/{new_group}/members/$ref", json.dumps(reference))
    assert added.status == 204, added
    policies = endpoint(beta).provisioning_policies
    made = await policies.post(policy(beta))
    one = policies.by_cloud_pc_provisioning_policy_id(made.id)
    group = model(beta, "CloudPcManagementGroupAssignmentTarget")(group_id=new_group)
    row = await one.assignments.post(model(beta, "CloudPcProvisioningPolicyAssignment")(target=group))
    assignment = one.assignments.by_cloud_pc_provisioning_policy_assignment_id(row.id)
    member = (await assignment.assigned_users.get()).value[0].id
    user = assignment.assigned_users.by_user_id(member)
    assert (await user.mailbox_settings.get()).time_zone is None
    assert (await user.service_provisioning_errors.get()).value == []
    assert await user.service_provisioning_errors.count.get() == 0
    user_of_v1 = (
        endpoint(v1)
        .provisioning_policies.by_cloud_pc_provisioning_policy_id(made.id)
        .assignments.by_cloud_pc_provisioning_policy_assignment_id(row.id)
        .assigned_users.by_user_id(member)
    )
    assert (await user_of_v1.mailbox_settings.get()).time_zone is None
    assert (await user_of_v1.service_provisioning_errors.get()).value == []
    assert await user_of_v1.service_provisioning_errors.count.get() == 0

    persistence = assignment.user_settings_persistence_detail
    assert (await persistence.get()).storage_configuration is None
    profiles = await persistence.retrieve_user_settings_persistence_profiles_with_configuration_id("c").get()
    assert profiles.value == []
    usage = await persistence.retrieve_user_settings_persistence_profile_usage_with_configuration_id("c").get()
    assert usage.total_allocated_storage_in_g_b == 0
    assert (await persistence.user_profile_snapshots.get()).value == []
    assert await persistence.user_profile_snapshots.count.get() == 0
    path = "provisioning_policies.item.assignments.item.user_settings_persistence_detail"
    name = "bulk_create_user_profile_snapshot"
    create = body(f"{path}.{name}", "BulkCreateUserProfileSnapshotPostRequestBody", cloud_profile_ids=["p"])
    assert (await persistence.bulk_create_user_profile_snapshot.post(create)).failed_count == 1
    name = "bulk_export_user_profile_snapshot"
    export = body(f"{path}.{name}", "BulkExportUserProfileSnapshotPostRequestBody", snapshot_ids=["s"])
    assert (await persistence.bulk_export_user_profile_snapshot.post(export)).failed_count == 1
    await one.assignments.by_cloud_pc_provisioning_policy_assignment_id(row.id).delete()
    await one.delete()
    for path in (f"/groups/{new_group}", f"/users/{new_user}"):
        assert office.call("DELETE", directory + path).status == 204


def call(office, method, path, sent=None, status=200):
    reply = office.call(method, f"{BETA}{path}", json.dumps(sent) if sent is not None else None)
    assert reply.status == status, reply
    return reply.json() if status in (200, 201) else None


def test_maintenance_windows_are_as_public_tools_know_them(office):
    new = {
        "displayName": "Off-hours",
        "description": "",
        "notificationLeadTimeInMinutes": 60,
        "schedules": [
            {"scheduleType": "weekday", "startTime": "22:00:00.000", "endTime": "02:00:00.000"},
            {"scheduleType": "weekend", "startTime": "01:00:00.0000000", "endTime": "05:00:00.0000000"},
        ],
    }
    created = call(office, "POST", "/maintenanceWindows", new, 201)
    one = f"/maintenanceWindows/{created['id']}"
    assert {name: created[name] for name in new} == new
    assigned = {"assignments": [{"target": {"groupId": GROUP, "displayName": "Everyone"}}]}
    call(office, "POST", f"{one}/assign", assigned, 204)
    expanded = call(office, "GET", f"{one}?$expand=assignments")
    assert expanded["assignments"][0]["target"]["groupId"] == GROUP
    listed = call(office, "GET", "/maintenanceWindows?$filter=displayName eq 'Off-hours'".replace(" ", "%20"))
    assert [row["id"] for row in listed["value"]] == [created["id"]]
    call(office, "DELETE", one, status=409)
    call(office, "POST", f"{one}/assign", {"assignments": []}, 204)
    short = [{"scheduleType": "weekday", "startTime": "22:00:00", "endTime": "23:59:00"}]
    call(office, "PATCH", one, {"schedules": short}, 400)
    call(office, "DELETE", one, status=204)


def test_setting_profiles_are_as_public_tools_know_them(office):
    boolean = {
        "@odata.type": "#microsoft.graph.cloudPcBooleanSetting",
        "dataType": "boolean",
        "isEnabled": True,
        "platform": "all",
        "settingDefinitionId": "W365.CloudPCConfiguration.AI.IsEnabled",
    }
    nested = {
        "@odata.type": "#microsoft.graph.cloudPcObjectSetting",
        "children": [boolean],
        "dataType": "object",
        "platform": "all",
        "settingDefinitionId": "W365.Nested",
    }
    new = {
        "displayName": "W365_Frontier_AIEnabled",
        "profileType": "template",
        "templateId": "W365.CloudPCConfiguration",
        "roleScopeTagIds": ["0"],
        "settings": [boolean, nested],
    }
    created = call(office, "POST", "/settingProfiles", new, 201)
    one = f"/settingProfiles/{created['id']}"
    assert {name: created[name] for name in new} == new
    assert created["isAssigned"] is False
    call(office, "POST", f"{one}/assign", {"assignments": [{"groupId": GROUP, "assignType": "group"}]}, 204)
    expand = "assignments,settings($expand=microsoft.graph.cloudPcObjectSetting/children)"
    expanded = call(office, "GET", f"{one}?$expand={expand}")
    assert expanded["isAssigned"] is True and expanded["settings"] == new["settings"]
    assert [(row["groupId"], row["profileId"]) for row in expanded["assignments"]] == [(GROUP, created["id"])]
    call(office, "DELETE", one, status=204)
