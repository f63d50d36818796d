"""Roles with the beta SDK: definitions, assignments, the catalogue, and what they allow a person."""

import msgraph_beta
import pytest
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError
from msgraph_beta.generated.models.unified_role_assignment_multiple import UnifiedRoleAssignmentMultiple
from msgraph_beta.generated.models.unified_role_definition import UnifiedRoleDefinition
from msgraph_beta.generated.models.unified_role_permission import UnifiedRolePermission

from graph import client, get
from people import Ready, device_code_token, public_client

ALAN = "0ff1ce00-0000-4000-8000-0000000000a2"
READER = "ea8e2fb8-e909-44e6-bae7-56757cf6f347"
READ = "Microsoft.CloudPC/CloudPCs/Read"


def definition(name, *actions):
    permission = UnifiedRolePermission(allowed_resource_actions=list(actions))
    return UnifiedRoleDefinition(display_name=name, role_permissions=[permission])


async def test_a_role_definition_from_its_creation_to_its_end(beta):
    roles = beta.role_management.cloud_p_c.role_definitions
    before = await roles.count.get()
    made = await roles.post(definition("Lookers", READ))
    assert (made.is_built_in, made.is_enabled, made.role_permissions[0].allowed_resource_actions) == (
        False,
        True,
        [READ],
    )
    one = roles.by_unified_role_definition_id(made.id)
    assert (await one.patch(UnifiedRoleDefinition(description="They look."))).description == "They look."
    assert (await one.get()).description == "They look."
    assert {role.id for role in (await roles.get()).value} >= {made.id, READER}
    assert (await one.inherits_permissions_from.get()).value == []
    assert await one.inherits_permissions_from.count.get() == 0
    builder = one.assigned_principals_with_transitivedirectory_scope_type_directory_scope_type_directory_scope_id_directory_scope_id
    assert (await builder.get()).value == []
    await one.delete()
    assert await roles.count.get() == before
    with pytest.raises(ODataError) as caught:
        await roles.by_unified_role_definition_id(READER).delete()
    assert caught.value.response_status_code == 403


async def test_a_role_assignment_from_its_creation_to_its_end(beta):
    assignments = beta.role_management.cloud_p_c.role_assignments
    before = await assignments.count.get()
    made = await assignments.post(
        UnifiedRoleAssignmentMultiple(
            display_name="Alan reads", principal_ids=[ALAN], role_definition_id=READER, app_scope_ids=["7"]
        )
    )
    one = assignments.by_unified_role_assignment_multiple_id(made.id)
    assert (await one.get()).app_scope_ids == ["7"]
    expanded = await get(one, expand=["roleDefinition"])
    assert expanded.role_definition.display_name == "Cloud PC Reader"
    assert (await one.role_definition.get()).id == READER
    assert [principal.id for principal in (await one.principals.get()).value] == [ALAN]
    assert await one.principals.count.get() == 1
    assert (await one.principals.by_directory_object_id(ALAN).get()).id == ALAN
    assert [scope.id for scope in (await one.app_scopes.get()).value] == ["7"]
    assert await one.app_scopes.count.get() == 1
    assert (await one.app_scopes.by_app_scope_id("7").get()).display_name == "7"
    assert (await one.directory_scopes.get()).value == []
    assert await one.directory_scopes.count.get() == 0
    assert (await one.patch(UnifiedRoleAssignmentMultiple(description="Tag 7"))).description == "Tag 7"
    assert made.id in {assignment.id for assignment in (await assignments.get()).value}
    await one.delete()
    assert await assignments.count.get() == before


async def test_the_catalogue_of_resource_actions(beta):
    application = beta.role_management.cloud_p_c
    assert (await application.get()).id == "cloudPC"
    (namespace,) = (await application.resource_namespaces.get()).value
    assert await application.resource_namespaces.count.get() == 1
    one = application.resource_namespaces.by_unified_rbac_resource_namespace_id(namespace.id)
    assert (await one.get()).name == "Microsoft.CloudPC"
    count = await one.resource_actions.count.get()
    actions = (await get(one.resource_actions, top=999)).value
    assert len(actions) == count
    (read,) = [action for action in actions if action.name == READ]
    action = one.resource_actions.by_unified_rbac_resource_action_id(read.id)
    assert (await action.get()).name == READ
    assert (await action.resource_scope.get()).scope == "/"


async def test_a_person_may_do_what_their_roles_grant(office, beta, ada_beta, answered, monkeypatch):
    everything = await ada_beta.device_management.virtual_endpoint.get_effective_permissions.get()
    assert everything.value == ["*"]
    token = device_code_token(office, public_client(office, monkeypatch), "alan@contoso.test", "tests-only-alan")

    async def note(response):
        answered[response.headers["request-id"]] = "beta"

    async with client(msgraph_beta, "beta", office, Ready(token["access_token"]), note) as graph:
        endpoint = graph.device_management.virtual_endpoint
        with pytest.raises(ODataError) as caught:
            await endpoint.cloud_p_cs.get()
        assert caught.value.response_status_code == 403
        assert READ in caught.value.error.message
        assignments = beta.role_management.cloud_p_c.role_assignments
        made = await assignments.post(UnifiedRoleAssignmentMultiple(principal_ids=[ALAN], role_definition_id=READER))
        assert len((await endpoint.cloud_p_cs.get()).value) > 20
        permissions = {
            row.permission: row.scope_ids for row in (await endpoint.retrieve_scoped_permissions.get()).value
        }
        assert permissions[READ] == ["/"]
        await assignments.by_unified_role_assignment_multiple_id(made.id).delete()
        with pytest.raises(ODataError):
            await endpoint.cloud_p_cs.get()
