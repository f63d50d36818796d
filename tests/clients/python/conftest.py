"""The official Python clients of today, over TLS against a real service."""

import ssl

import httpx
import pytest
from azure.identity.aio import ClientSecretCredential
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph_beta import GraphServiceClient
from msgraph_beta.graph_request_adapter import GraphRequestAdapter, options
from msgraph_core import GraphClientFactory

from service import SCENARIOS, Service


@pytest.fixture(scope="session")
def office():
    """A service over the fleet of `office.toml`."""
    with Service(SCENARIOS / "office.toml") as service:
        yield service


@pytest.fixture(scope="session")
async def beta(office):
    """The beta SDK as a self-hoster sets it up: another address, another authority, another CA."""
    async with ClientSecretCredential(
        office.tenant_id,
        office.client_id,
        office.client_secret,
        authority=office.https,
        disable_instance_discovery=True,
        connection_verify=str(office.authority_file),
    ) as credential:
        trust = ssl.create_default_context(cafile=office.authority_file)
        client = GraphClientFactory.create_with_default_middleware(
            client=httpx.AsyncClient(verify=trust, http2=True, timeout=60), options=options
        )
        adapter = GraphRequestAdapter(AzureIdentityAuthenticationProvider(credential), client)
        adapter.base_url = f"{office.https}/beta"
        yield GraphServiceClient(request_adapter=adapter)
        await client.aclose()
