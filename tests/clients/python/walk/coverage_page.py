"""The page that lists the operations of the contract, as this repository has it."""

import re
from functools import cache

from service import REPOSITORY

ROW = re.compile(r"\| (\w+) \| `(.+?)` \| .* \| (served|405) \|")


@cache
def answers():
    """Returns `served` or `405` for each operation of the page, by method and path."""
    lines = (REPOSITORY / "docs" / "coverage.md").read_text().splitlines()
    return {(row[1], row[2]): row[3] for row in map(ROW.match, lines) if row}


def is_shut(operation):
    return answers()[operation.method, operation.path] == "405"
