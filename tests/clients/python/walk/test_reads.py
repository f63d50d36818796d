"""Calls every GET of the contract, and checks each response against its type."""

import pytest
from check import report_errors, response_errors
from contract import ROOTS, contract
from exceptions import BY_SELECT, IDS_ONLY, MISREAD, MOSTLY_BY_SELECT, REFUSED
from sdk import differences
from walk import filled

READS = [operation for root in ROOTS for operation in contract(root).operations if operation.method == "GET"]


@pytest.mark.parametrize("operation", READS, ids=lambda operation: operation.line)
async def test_a_response_is_as_the_contract_says(walk, operation):
    keys = walk.fleet.shift if "Frontline" in operation.path else {}
    exchange = await walk.call(operation, keys=keys)
    if refused := REFUSED.get((operation.method, operation.path)):
        assert exchange.status == refused[0], exchange.received
        return
    assert exchange.status == 200, exchange.received
    if operation.kind == "count":
        rows = walk.rows(operation.path.removesuffix("/$count"), operation.root, keys)
        # Over HTTP, nothing is read by an SDK.
        assert (int(exchange.received), exchange.typed or len(rows)) == (len(rows), len(rows))
        return
    if operation.response["kind"] == "stream":
        assert report_errors(exchange.received) == []
        return
    errors, missing = response_errors(contract(operation.root), operation, exchange.received)
    assert not errors
    if operation.path.startswith(IDS_ONLY):
        return
    assert not {(type, name) for type, name in missing if not is_by_select(type, name)}
    if exchange.typed is not None:
        misread = differences(exchange.typed, exchange.received)
        assert not [line for line in misread if line.partition(":")[0].rpartition("/")[2] not in MISREAD]
    if missing:
        complete(walk, operation, keys)


def is_by_select(type, name):
    return type in MOSTLY_BY_SELECT or name in BY_SELECT.get(type, ())


def complete(walk, operation, keys):
    """Checks that a response has every property if `$select` names all of them."""
    version = contract(operation.root)
    properties = version.properties(operation.response["type"])
    names = ",".join(name for name, declared in properties.items() if not declared.get("navigation"))
    separator = "&" if "?" in operation.path else "?"
    path = f"{filled(operation, walk.fleet.keys | keys)}{separator}$select={names}"
    reply = walk.service.call("GET", path)
    if reply.status == 403:
        reply = walk.service.call("GET", path, token=walk.fleet.person)
    errors, missing = response_errors(version, operation, reply.json())
    assert not errors
    assert not missing
