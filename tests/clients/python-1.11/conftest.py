"""The last beta SDK with the remote actions of managed devices, over TLS against a real service."""

import msgraph_beta
import msgraph_beta.graph_request_adapter
import pytest

from graph import administrator, client


@pytest.fixture(scope="session")
async def beta(office):
    """The beta SDK, for the office's administrator."""
    async with administrator(office) as credential, client(msgraph_beta, "beta", office, credential) as graph:
        yield graph
