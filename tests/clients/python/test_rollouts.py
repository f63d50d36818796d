"""Applying a changed policy with the beta SDK: at once, to some Cloud PCs, and by a schedule."""

import importlib
import uuid

from test_directory import SKU, licenses
from test_documents import assign_body, endpoint, model, policy, target

from graph import eventually

USERS = 3


def body(graph, action, name, **properties):
    """Returns the body of an action, e.g. `ApplyPostRequestBody`."""
    module = f"msgraph_beta.generated.device_management.virtual_endpoint.provisioning_policies.{action}"
    return getattr(importlib.import_module(module), name)(**properties)


def apply_body(graph, settings, **properties):
    settings = model(graph, "CloudPcPolicySettingType")(settings)
    return body(
        graph, "item.apply.apply_post_request_body", "ApplyPostRequestBody", policy_settings=settings, **properties
    )


def schedule_body(graph, **properties):
    rule = model(graph, "CloudPcPolicyScheduledApplyActionDetail")(**properties)
    return body(
        graph,
        "item.schedule_policy_apply_task.schedule_policy_apply_task_post_request_body",
        "SchedulePolicyApplyTaskPostRequestBody",
        scheduled_rule=rule,
    )


def region(graph, name):
    join = model(graph, "CloudPcDomainJoinConfiguration")(
        domain_join_type=model(graph, "CloudPcDomainJoinType").AzureADJoin, region_name=name
    )
    return model(graph, "CloudPcProvisioningPolicy")(domain_join_configurations=[join])


async def hire(graph, name):
    """Returns a new group with users who have licences, and the users."""
    new = model(graph, "Group")(display_name=name, mail_enabled=False, mail_nickname=name, security_enabled=True)
    group = await graph.groups.post(new)
    sku = next(sku for sku in (await graph.subscribed_skus.get()).value if sku.sku_part_number == SKU)
    users = []
    for number in range(USERS):
        password = model(graph, "PasswordProfile")(password="correct horse battery")
        user = await graph.users.post(
            model(graph, "User")(
                account_enabled=True,
                display_name=f"{name} {number}",
                mail_nickname=f"{name}-{number}",
                user_principal_name=f"{name}-{number}@contoso.test",
                password_profile=password,
            )
        )
        reference = model(graph, "ReferenceCreate")(odata_id=f"https://graph.microsoft.com/v1.0/users/{user.id}")
        await graph.groups.by_group_id(group.id).members.ref.post(reference)
        await graph.users.by_user_id(user.id).assign_license.post(licenses(graph, add=[sku.sku_id]))
        users.append(user)
    return group, users


async def test_changed_region_is_applied_and_scheduled(beta, office):
    group, users = await hire(beta, f"rollout-{uuid.uuid4().hex[:8]}")
    policies = endpoint(beta).provisioning_policies
    made = await policies.post(policy(beta))
    await policies.by_cloud_pc_provisioning_policy_id(made.id).patch(region(beta, "westus3"))
    one = policies.by_cloud_pc_provisioning_policy_id(made.id)
    assignment = model(beta, "CloudPcProvisioningPolicyAssignment")(target=target(beta, group.id))
    await one.assign.post(assign_body(beta, "provisioning_policies", [assignment]))

    async def own():
        listed = (await endpoint(beta).cloud_p_cs.get()).value
        return [cloud_pc for cloud_pc in listed if cloud_pc.provisioning_policy_id == made.id]

    async def places():
        office.rest()
        return sorted((cloud_pc.status.value, cloud_pc.device_region_name) for cloud_pc in await own())

    async def result():
        office.rest()
        return (await one.retrieve_policy_apply_action_result.get()).status.value

    async def has_unapplied():
        return (await one.retrieve_policy_update_status_result.get()).has_unapplied_policy_update

    await eventually(places, [("provisioned", "westus3")] * USERS)
    assert (await one.retrieve_policy_apply_action_result.get()).status is None
    await one.patch(region(beta, "northeurope"))
    assert await has_unapplied()
    with office.paused():
        await one.apply.post(apply_body(beta, "region", reserve_percentage=0, is_force_user_logoff_enabled=False))

        async def statuses():
            return [cloud_pc.status.value for cloud_pc in await own()]

        await eventually(statuses, ["movingRegion"] * USERS)
        assert (await one.retrieve_policy_apply_action_result.get()).status.value == "processing"
    await eventually(result, "succeeded")
    assert await places() == [("provisioned", "northeurope")] * USERS
    assert not await has_unapplied()
    ended = await one.retrieve_policy_apply_action_result.get()
    assert ended.start_date_time < ended.finish_date_time

    await one.patch(region(beta, "eastus"))
    chosen = (await own())[0].id
    await policies.apply_config.post(
        body(
            beta,
            "apply_config.apply_config_post_request_body",
            "ApplyConfigPostRequestBody",
            policy_settings=model(beta, "CloudPcPolicySettingType")("region"),
            cloud_pc_ids=[chosen],
        )
    )
    await eventually(places, [("provisioned", "eastus")] + [("provisioned", "northeurope")] * (USERS - 1))

    zone = model(beta, "CloudPcPolicyTimezone").Cst
    await one.schedule_policy_apply_task.post(
        schedule_body(beta, cron_schedule_expression="0 0 0 20 * *", timezone=zone, reserve_percentage=50)
    )
    schedule = await one.retrieve_policy_apply_schedule.get()
    assert (schedule.cron_schedule_expression, schedule.timezone, schedule.reserve_percentage) == (
        "0 0 0 20 * *",
        zone,
        50,
    )
    assert schedule.next_run_date_time.endswith("-20 00:00:00")
    office.advance("31d")
    await eventually(places, [("provisioned", "eastus")] * USERS)
    off = model(beta, "CloudPcPolicyScheduledApplyActionDetail")(additional_data={"cronScheduleExpression": None})
    await one.schedule_policy_apply_task.post(
        body(
            beta,
            "item.schedule_policy_apply_task.schedule_policy_apply_task_post_request_body",
            "SchedulePolicyApplyTaskPostRequestBody",
            scheduled_rule=off,
        )
    )
    assert (await one.retrieve_policy_apply_schedule.get()).next_run_date_time is None

    await one.assign.post(assign_body(beta, "provisioning_policies", []))
    for user in users:
        await beta.users.by_user_id(user.id).delete()
    office.advance("8d")
    await eventually(places, [])
    await one.delete()
    await beta.groups.by_group_id(group.id).delete()
