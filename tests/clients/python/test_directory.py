"""The life of one user with both SDKs: group, licence, policy, Cloud PC, grace period, end."""

import importlib
import uuid

import pytest
from test_documents import assign_body, endpoint, model, policy, sdk, target

from graph import eventually, get

SKU = "CPC_B_2C_8RAM_128GB"


def licenses(graph, add=(), remove=()):
    module = f"{sdk(graph)}.generated.users.item.assign_license.assign_license_post_request_body"
    body = importlib.import_module(module).AssignLicensePostRequestBody
    assigned = [model(graph, "AssignedLicense")(sku_id=sku, disabled_plans=[]) for sku in add]
    return body(add_licenses=assigned, remove_licenses=list(remove))


async def test_a_user_from_hire_to_retirement(either, office):
    name = f"hire-{uuid.uuid4()}"
    password = model(either, "PasswordProfile")(
        password="correct horse battery", force_change_password_next_sign_in=False
    )
    new = model(either, "User")(
        account_enabled=True,
        display_name="New hire",
        mail_nickname=name,
        user_principal_name=f"{name}@contoso.test",
        password_profile=password,
    )
    user = await either.users.post(new)
    group = await either.groups.post(
        model(either, "Group")(display_name=name, mail_enabled=False, mail_nickname=name, security_enabled=True)
    )
    reference = model(either, "ReferenceCreate")(odata_id=f"{office.https}/v1.0/users/{user.id}")
    await either.groups.by_group_id(group.id).members.ref.post(reference)
    members = (await either.groups.by_group_id(group.id).members.get()).value
    assert [(type(member), member.id) for member in members] == [(model(either, "User"), user.id)]

    policies = endpoint(either).provisioning_policies
    made = await policies.post(policy(either))
    one = policies.by_cloud_pc_provisioning_policy_id(made.id)
    assignment = model(either, "CloudPcProvisioningPolicyAssignment")(target=target(either, group.id))
    await one.assign.post(assign_body(either, "provisioning_policies", [assignment]))
    assigned = one.assignments.by_cloud_pc_provisioning_policy_assignment_id((await one.assignments.get()).value[0].id)
    assert [person.id for person in (await assigned.assigned_users.get()).value] == [user.id]
    assert await assigned.assigned_users.count.get() == 1
    assert (await assigned.assigned_users.by_user_id(user.id).get()).user_principal_name == f"{name}@contoso.test"
    by_name = assigned.assigned_users_with_user_principal_name(f"{name}@contoso.test")
    assert (await by_name.get()).id == user.id

    sku = next(sku for sku in (await either.subscribed_skus.get()).value if sku.sku_part_number == SKU)
    person = either.users.by_user_id(user.id)
    await person.assign_license.post(licenses(either, add=[sku.sku_id]))
    cloud_pcs = endpoint(either).cloud_p_cs

    async def own():
        office.rest()
        found = await get(cloud_pcs, filter=f"userPrincipalName eq '{name}@contoso.test'")
        return [(cloud_pc.provisioning_policy_id, cloud_pc.service_plan_name) for cloud_pc in found.value]

    await eventually(own, [(made.id, "Cloud PC Business 2vCPU/8GB/128GB")])
    cloud_pc = (await get(cloud_pcs, filter=f"userPrincipalName eq '{name}@contoso.test'")).value[0]
    with pytest.raises(Exception) as caught:
        await cloud_pcs.by_cloud_p_c_id(cloud_pc.id).end_grace_period.post()
    assert caught.value.response_status_code == 409

    async def in_grace():
        found = await cloud_pcs.by_cloud_p_c_id(cloud_pc.id).get()
        return found.grace_period_end_date_time is not None

    await person.assign_license.post(licenses(either, remove=[sku.sku_id]))
    await eventually(in_grace, True)
    await person.assign_license.post(licenses(either, add=[sku.sku_id]))
    await eventually(in_grace, False)
    await person.assign_license.post(licenses(either, remove=[sku.sku_id]))
    await eventually(in_grace, True)
    await cloud_pcs.by_cloud_p_c_id(cloud_pc.id).end_grace_period.post()
    await eventually(own, [])

    if sdk(either) == "msgraph_beta":
        await one.retry.post()
    await one.assign.post(assign_body(either, "provisioning_policies", []))
    await one.delete()
    await either.groups.by_group_id(group.id).delete()
    await person.delete()
