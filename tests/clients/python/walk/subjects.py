"""The entities that the walk writes, as parameters of tests."""

import pytest
from contract import ROOTS, contract
from facts import WRITTEN

SUBJECTS = [
    pytest.param((root, path), id=f"/{root}{path}")
    for root in ROOTS
    for path in WRITTEN
    if any(operation.path == path and operation.kind in ("create", "get") for operation in contract(root).operations)
]
