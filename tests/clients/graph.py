"""Setting the official SDKs up for a service of one's own, and what their fluent form takes too many words for."""

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

# Longest wait for an answer, seconds.
ANSWER_TIME_MAX = 60


def administrator(service: Service) -> ClientSecretCredential:
    """The credential of a service's administrator application."""
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
    """A `GraphServiceClient` of an SDK (its module), over HTTP/2 and the service's own authority."""
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
    """Query options (`top=5`) of a request builder's GET."""
    configuration = RequestConfiguration()
    if options:
        nested = (value for name, value in vars(type(builder)).items() if name.endswith("GetQueryParameters"))
        configuration.query_parameters = next(nested)(**options)
    for name, value in (headers or {}).items():
        configuration.headers.add(name, value)
    return configuration


async def get(builder, headers: dict | None = None, **options):
    """GET with query options."""
    return await builder.get(ask(builder, headers, **options))


async def eventually(look, expected, time_max=ANSWER_TIME_MAX):
    """Looks for some seconds until it sees what is expected, which the service does by itself, clock or no clock."""
    deadline = time.monotonic() + time_max
    while (seen := await look()) != expected:
        assert time.monotonic() < deadline, seen
        await asyncio.sleep(0.02)
