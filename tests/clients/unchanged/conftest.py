"""The tests of clients whose requests name Microsoft's hosts."""

import pytest

from tools import Tools


@pytest.fixture
def tools(office, tmp_path):
    return Tools(office, tmp_path)
