"""Compares what the walk has called with the record of it, from which `docs/coverage.md` is written.

`UPDATE_DOCS=1` writes the record instead, after the whole walk.
"""

import json
import os
from pathlib import Path

from contract import ROOTS, contract
from exceptions import listed

RECORD = Path(__file__).parent / "record.json"


def test_the_record_of_the_walk_is_current(walk):
    rows = [(own.root, own.method, own.path) for root in ROOTS for own in contract(root).operations]
    assert [row for row in rows if row not in walk.calls] == [], "operations that the walk did not carry out"
    calls = [[*row, walk.calls[row]] for row in rows]
    lines = [json.dumps(call) for call in sorted(calls, key=lambda call: (call[2], call[1], call[0]))]
    reasons = [json.dumps(pair) for pair in listed()]
    text = '{"calls": [\n' + ",\n".join(lines) + '\n], "exceptions": [\n' + ",\n".join(reasons) + "\n]}\n"
    if "UPDATE_DOCS" in os.environ:
        RECORD.write_text(text)
    assert RECORD.read_text() == text, "run the walk with UPDATE_DOCS=1, then `make docs`"
