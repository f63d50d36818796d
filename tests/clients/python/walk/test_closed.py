"""Calls every operation that the page of operations says is shut."""

import pytest
from contract import ROOTS, contract
from coverage_page import is_shut

SHUT = [operation for root in ROOTS for operation in contract(root).operations if is_shut(operation)]


@pytest.mark.parametrize("operation", SHUT, ids=lambda operation: operation.line)
async def test_a_closed_method_is_refused(walk, operation):
    exchange = await walk.call(operation, {} if operation.method in ("POST", "PATCH") else None)
    assert exchange.status == 405, exchange.received
