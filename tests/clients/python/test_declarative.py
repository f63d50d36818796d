"""The cycle of a declarative tool for every entity that can be created: create, read back, update, delete."""

import re

import pytest
from contract import ROOTS, contract
from entities import ENTITIES
from entity import COMPUTED, ENDPOINT, KEPT, NOTHING
from tool import Tool

# What is requested once and never changed: no tool declares it.
REQUESTS = {f"{ENDPOINT}/bulkActions", f"{ENDPOINT}/reports/exportJobs"}


def creations(root):
    """Returns the paths of all operations of a root that create an entity that can be updated too. Webhooks cannot:
    their address has to be confirmed."""
    operations = contract(root).operations
    updated = {operation.path.rpartition("/")[0] for operation in operations if operation.kind == "update"}
    return (updated - KEPT) & {
        operation.path
        for operation in operations
        if operation.kind == "create" and operation.response["kind"] == "entity"
    }


@pytest.mark.parametrize("root", ROOTS)
def test_the_table_has_every_entity_that_can_be_created(office, root):
    offered = set()
    for path in creations(root):
        reply = office.call("POST", f"/{root}{re.sub(r'{[^}]*}', NOTHING, path)}", "{}")
        assert reply.status in (400, 403, 404, 405, 501), (path, reply)
        if reply.status not in (405, 501):
            offered.add(path)
    assert offered - REQUESTS == set(ENTITIES) & creations(root)
    assert set(ENTITIES) <= creations("beta")


@pytest.mark.parametrize(
    ("root", "path"), [(root, path) for root in ROOTS for path in sorted(set(ENTITIES) & creations(root))]
)
def test_what_a_tool_writes_is_what_it_reads(office, ada, root, path):
    tool = Tool(office, root, path, ada.get_token().token)
    entity = tool.entity

    def expect(identity, values):
        expected = tool.text(values)
        assert tool.read(identity, list(expected)) == expected

    plain = entity.defaults | entity.required
    created = tool.create(entity.required)
    identity = created["id"]
    assert set(created) - COMPUTED - entity.engine <= set(plain), "a property that the table does not have"
    expect(identity, plain)

    update = entity.changed | entity.kept
    for _ in range(2):
        tool.update(identity, update)
        expect(identity, plain | update | entity.derived)
    if entity.changed:
        tool.update(identity, dict.fromkeys(entity.changed))
    expect(identity, plain | entity.kept | entity.derived)

    assert tool.delete(identity).status == 204
    gone = tool.call("GET", identity)
    again = tool.delete(identity)
    assert [(reply.status, reply.json()["error"]["code"]) for reply in (gone, again)] == [(404, "ResourceNotFound")] * 2

    everything = entity.required | update | entity.immutable
    identity = tool.create(everything)["id"]
    expect(identity, entity.defaults | everything | entity.derived)
    assert tool.delete(identity).status == 204
    tool.clean_up()
