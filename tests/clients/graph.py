"""Sets up the official SDKs for a self-hosted service, and shortens common requests."""

import asyncio
import ssl
import time
from contextlib import asynccontextmanager

import httpx
from azure.identity.aio import ClientSecretCredential
from kiota_abstractions.base_request_configuration import RequestConfiguration
from kiota_authentication_azure.azure_identity_authentication_provider import AzureIdentityAuthenticationProvider
from msgraph_core import GraphClientFactory

from service import Service

# Time limit of a response, seconds.
ANSWER_TIME_MAX = 60


def administrator(service: Service) -> ClientSecretCredential:
    """Returns the credential of a service's administrator application."""
    return ClientSecretCredential(
        service.tenant_id,
        service.client_id,
        service.client_secret,
        authority=service.https,
        disable_instance_discovery=True,
        connection_verify=str(service.authority_file),
    )


@asynccontextmanager
async def client(sdk, root: str, service: Service, credential, on_answer=None):
    """Yields a `GraphServiceClient` of an SDK (its module), with HTTP/2 and the service's own CA."""
    http = httpx.AsyncClient(
        verify=ssl.create_default_context(cafile=service.authority_file),
        http2=True,
        timeout=ANSWER_TIME_MAX,
        event_hooks={"response": [on_answer] if on_answer else []},
    )
    options = sdk.graph_request_adapter.options
    http = GraphClientFactory.create_with_default_middleware(client=http, options=options)
    adapter = sdk.graph_request_adapter.GraphRequestAdapter(AzureIdentityAuthenticationProvider(credential), http)
    adapter.base_url = f"{service.https}/{root}"
    async with http:
        yield sdk.GraphServiceClient(request_adapter=adapter)


def ask(builder, headers: dict | None = None, **options) -> RequestConfiguration:
    """Returns query options, such as `top=5`, for a request builder's GET."""
    configuration = RequestConfiguration()
    if options:
        nested = (value for name, value in vars(type(builder)).items() if name.endswith("GetQueryParameters"))
        configuration.query_parameters = next(nested)(**options)
    for name, value in (headers or {}).items():
        configuration.headers.add(name, value)
    return configuration


async def get(builder, headers: dict | None = None, **options):
    """Sends a GET with query options."""
    return await builder.get(ask(builder, headers, **options))


async def eventually(look, expected, time_max=ANSWER_TIME_MAX):
    """Polls until `look` returns `expected`, which does not depend on the fleet's clock."""
    deadline = time.monotonic() + time_max
    while (seen := await look()) != expected:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.02)
