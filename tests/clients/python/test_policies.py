"""Provisioning policies of a company, on the virtual clock: who gets a Cloud PC, who does not, and what moves away."""

import importlib

import msgraph_beta
import pytest
from msgraph_core import PageIterator
from test_directory import licenses
from test_documents import assign_body, endpoint, model, policy, target

from graph import administrator, client, eventually, get
from service import SCENARIOS, Service

MEMBERS = 500
UNLICENSED = 7
# Most requests in one batch.
BATCH_MAX = 20
SMALL, LARGE = "CPC_E_2C_8GB_128GB", "CPC_E_4C_16GB_256GB"


def people():
    """Returns a scenario of a company with `MEMBERS` people in one group and a licence for each."""
    text = (SCENARIOS / "company.toml").read_text()
    users = [f"user-{number:03}" for number in range(MEMBERS)]
    text += "".join(f'[[tenants.users]]\nname = "{name}"\n' for name in users)
    return text + f'[[tenants.groups]]\nname = "Everyone"\nmembers = {users}\n'


@pytest.fixture(scope="module")
def company(tmp_path_factory):
    file = tmp_path_factory.mktemp("scenario") / "company.toml"
    file.write_text(people())
    with Service(file) as service:
        yield service


@pytest.fixture(scope="module")
async def graph(company):
    async with administrator(company) as credential, client(msgraph_beta, "beta", company, credential) as graph:
        yield graph


async def sku_id(graph, name):
    return next(sku for sku in (await graph.subscribed_skus.get()).value if sku.sku_part_number == name).sku_id


def assign_licenses(service, users, sku):
    """Gives each user a licence, in as few requests as batches allow."""
    for start in range(0, len(users), BATCH_MAX):
        requests = [
            {
                "id": user["id"],
                "method": "POST",
                "url": f"/users/{user['id']}/assignLicense",
                "headers": {"Content-Type": "application/json"},
                "body": {"addLicenses": [{"skuId": str(sku)}], "removeLicenses": []},
            }
            for user in users[start : start + BATCH_MAX]
        ]
        answer = service.call("POST", "/beta/$batch", {"requests": requests}).json()
        assert {response["status"] for response in answer["responses"]} == {200}


async def assign_policy(graph, groups):
    """Makes a policy for these groups; returns its id."""
    policies = endpoint(graph).provisioning_policies
    made = await policies.post(policy(graph))
    of = model(graph, "CloudPcProvisioningPolicyAssignment")
    assignments = [of(target=target(graph, group)) for group in groups]
    body = assign_body(graph, "provisioning_policies", assignments)
    await policies.by_cloud_pc_provisioning_policy_id(made.id).assign.post(body)
    return made.id


async def test_a_policy_for_a_group_of_500_of_whom_7_have_no_licence(company, graph):
    # The SDK takes 30 ms to read a user.
    (group,) = company.rows("/beta/groups?$filter=displayName%20eq%20'Everyone'")
    members = company.rows(f"/beta/groups/{group['id']}/members")
    assert len({member["id"] for member in members}) == MEMBERS
    small = await sku_id(graph, SMALL)
    unlicensed, licensed = members[:UNLICENSED], members[UNLICENSED:]
    assign_licenses(company, licensed, small)
    identity = await assign_policy(graph, [group["id"]])

    cloud_pcs = endpoint(graph).cloud_p_cs
    of_policy = f"provisioningPolicyId eq '{identity}'"

    async def provisioned():
        company.wait_for_rest()
        return await get(cloud_pcs.count, filter=f"{of_policy} and status eq 'provisioned'")

    await eventually(provisioned, MEMBERS - UNLICENSED)
    rows = []
    page = await get(cloud_pcs, filter=of_policy)
    await PageIterator(page, graph.request_adapter).iterate(lambda row: rows.append(row) or True)
    owners = [row.user_principal_name for row in rows]
    assert sorted(owners) == sorted(member["userPrincipalName"] for member in licensed)
    assert len({row.managed_device_name for row in rows}) == len(rows)

    # The users of the assignment, with their licences, show who has none and why.
    one = endpoint(graph).provisioning_policies.by_cloud_pc_provisioning_policy_id(identity)
    (assignment,) = (await one.assignments.get()).value
    path = f"/beta/deviceManagement/virtualEndpoint/provisioningPolicies/{identity}/assignments/{assignment.id}"
    people = company.rows(f"{path}/assignedUsers?$select=id,assignedLicenses")
    assert len(people) == MEMBERS
    assert {person["id"] for person in people if not person["assignedLicenses"]} == {
        member["id"] for member in unlicensed
    }
    (sku,) = [sku for sku in (await graph.subscribed_skus.get()).value if sku.sku_id == small]
    assert (sku.prepaid_units.enabled, sku.consumed_units) == (MEMBERS, MEMBERS - UNLICENSED)

    late = unlicensed[0]
    assert (await graph.users.by_user_id(late["id"]).license_details.get()).value == []
    await graph.users.by_user_id(late["id"]).assign_license.post(licenses(graph, add=[small]))
    await eventually(provisioned, MEMBERS - UNLICENSED + 1)
    (own,) = (await get(cloud_pcs, filter=f"userPrincipalName eq '{late['userPrincipalName']}'")).value
    assert own.provisioning_policy_id == identity


async def test_a_licence_moves_between_groups(company, graph):
    users = {}
    for name in ("first", "both", "second"):
        password = model(graph, "PasswordProfile")(password="correct horse battery")
        user = model(graph, "User")(
            account_enabled=True,
            display_name=name,
            mail_nickname=name,
            user_principal_name=f"{name}@tailspin.test",
            password_profile=password,
        )
        users[name] = await graph.users.post(user)
    groups = {}
    for name, names in {"First": ["first", "both"], "Second": ["both", "second"]}.items():
        group = model(graph, "Group")(display_name=name, mail_enabled=False, mail_nickname=name, security_enabled=True)
        links = [f"{company.https}/v1.0/directoryObjects/{users[member].id}" for member in names]
        group.additional_data["members@odata.bind"] = links
        groups[name] = (await graph.groups.post(group)).id
    identity = await assign_policy(graph, groups.values())
    large = await sku_id(graph, LARGE)
    cloud_pcs = endpoint(graph).cloud_p_cs

    async def seen():
        """Returns the status and id of each user's Cloud PC, once nothing is left to do."""
        company.rest()
        found = (await get(cloud_pcs, filter=f"provisioningPolicyId eq '{identity}'")).value
        return {row.user_principal_name.split("@")[0]: (row.status.value, row.id) for row in found}

    async def statuses():
        return {name: status for name, (status, _) in (await seen()).items()}

    def group_licenses(group, add=(), remove=()):
        module = "msgraph_beta.generated.groups.item.assign_license.assign_license_post_request_body"
        body = importlib.import_module(module).AssignLicensePostRequestBody
        added = [model(graph, "AssignedLicense")(sku_id=sku, disabled_plans=[]) for sku in add]
        builder = graph.groups.by_group_id(groups[group]).assign_license
        return builder.post(body(add_licenses=added, remove_licenses=list(remove)))

    await group_licenses("First", add=[large])
    await eventually(statuses, {"first": "provisioned", "both": "provisioned"})
    before = await seen()

    # There are two licences, so the second group's user waits until the first group loses them.
    await group_licenses("Second", add=[large])
    assert (await graph.users.by_user_id(users["second"].id).license_details.get()).value == []
    await group_licenses("First", remove=[large])
    moved = {"first": "inGracePeriod", "both": "provisioned", "second": "provisioned"}
    await eventually(statuses, moved)
    assert (await cloud_pcs.by_cloud_p_c_id(before["both"][1]).get()).grace_period_end_date_time is None

    company.advance("6d")
    assert await statuses() == moved
    await group_licenses("First", add=[large])
    await group_licenses("Second", remove=[large])
    returned = {"first": "provisioned", "both": "provisioned", "second": "inGracePeriod"}
    await eventually(statuses, returned)
    after = await seen()
    assert [after[name] for name in before] == list(before.values()), "the same Cloud PCs as before"

    company.advance("6d")
    assert await statuses() == returned
    company.advance("1d")
    await eventually(statuses, {"first": "provisioned", "both": "provisioned"})
