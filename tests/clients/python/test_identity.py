"""Sign-in: applications with azure-identity, synchronous and asynchronous; people with MSAL and a device code."""

import urllib.error

import azure.identity
import azure.identity.aio
import msgraph_beta
import pytest
from azure.core.exceptions import ClientAuthenticationError
from msgraph_beta.generated.device_management.virtual_endpoint.external_partners.item.deploy_agent.deploy_agent_post_request_body import (
    DeployAgentPostRequestBody,
)
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError

from graph import client
from people import SCOPES, Ready, device_code_token, public_client

READER = {"client_id": "0ff1ce00-0000-4000-8000-0000000000b1", "client_secret": "tests-only-reader"}
PARTNER = "0ff1ce00-0000-4000-8000-00000000fab1"


@pytest.fixture
def reader(office):
    """The azure-identity settings of an application with read permission."""
    return {
        "tenant_id": office.tenant_id,
        "authority": office.https,
        "disable_instance_discovery": True,
        "connection_verify": str(office.authority_file),
        **READER,
    }


async def count(office, credential):
    async with client(msgraph_beta, "beta", office, credential) as graph:
        return await graph.device_management.virtual_endpoint.cloud_p_cs.count.get()


async def test_the_synchronous_credential(office, reader):
    with azure.identity.ClientSecretCredential(**reader) as credential:
        assert await count(office, credential) == 41
        # The token is cached, so there is no second request.
        assert (
            credential.get_token("https://127.0.0.1/.default").token
            == credential.get_token("https://127.0.0.1/.default").token
        )


async def test_the_asynchronous_credential(office, reader):
    async with azure.identity.aio.ClientSecretCredential(**reader) as credential:
        assert await count(office, credential) == 41


@pytest.mark.parametrize(
    "scope", ["https://graph.microsoft.com/.default", "https://127.0.0.1/.default", "https://localhost/.default"]
)
def test_the_scope_may_name_graph_or_this_server(reader, scope):
    with azure.identity.ClientSecretCredential(**reader) as credential:
        assert credential.get_token(scope).token


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"client_secret": "wrong"}, "The client secret is wrong."),
        ({"client_id": PARTNER}, f'This tenant has no application "{PARTNER}".'),
        # MSAL does not pass on what the server says of a tenant.
        ({"tenant_id": PARTNER}, "Unable to get authority configuration"),
    ],
)
async def test_wrong_credentials_say_so(reader, wrong, message):
    with azure.identity.ClientSecretCredential(**reader | wrong) as credential:
        with pytest.raises(ClientAuthenticationError, match=message):
            credential.get_token("https://graph.microsoft.com/.default")
    async with azure.identity.aio.ClientSecretCredential(**reader | wrong) as credential:
        with pytest.raises(ClientAuthenticationError):
            await credential.get_token("https://graph.microsoft.com/.default")


async def test_a_token_that_is_none_is_refused_with_401(office):
    with pytest.raises(ODataError) as caught:
        await count(office, Ready("not.a.token"))
    assert (caught.value.response_status_code, caught.value.error.code) == (401, "InvalidAuthenticationToken")


async def test_a_permission_that_lacks_is_named(office, reader):
    async with azure.identity.aio.ClientSecretCredential(**reader) as credential:
        async with client(msgraph_beta, "beta", office, credential) as graph:
            partner = graph.device_management.virtual_endpoint.external_partners.by_cloud_pc_external_partner_id(
                PARTNER
            )
            with pytest.raises(ODataError) as caught:
                await partner.deploy_agent.post(DeployAgentPostRequestBody(cloud_pc_ids=[PARTNER]))
            with pytest.raises(ODataError) as of_users:
                await graph.users.by_user_id("ada@contoso.test").cloud_p_cs.get()
    assert (caught.value.response_status_code, caught.value.error.code) == (403, "Forbidden")
    assert "CloudPC.ReadWrite.All" in caught.value.error.message
    assert (of_users.value.response_status_code, of_users.value.error.code) == (403, "Forbidden")


async def test_a_person_signs_in_with_a_device_code_and_sees_their_own(office, monkeypatch, answered):
    application = public_client(office, monkeypatch)
    token = device_code_token(office, application, "alan@contoso.test", "tests-only-alan")
    assert token["id_token_claims"]["preferred_username"] == "alan@contoso.test"

    async def note(response):
        answered[response.headers["request-id"]] = "beta"

    async with client(msgraph_beta, "beta", office, Ready(token["access_token"]), note) as graph:
        own = graph.me().cloud_p_cs
        cloud_pcs = (await own.get()).value
        assert len(cloud_pcs) == 20
        assert {cloud_pc.user_principal_name for cloud_pc in cloud_pcs} == {"alan@contoso.test"}
        assert await own.count.get() == 20
        with pytest.raises(ODataError) as caught:
            await own.by_cloud_p_c_id(cloud_pcs[0].id).reboot.post()
    # Alan has read permission, and an application cannot do more on his behalf than he can himself.
    assert (caught.value.response_status_code, caught.value.error.code) == (403, "Forbidden")

    (account,) = application.get_accounts()
    renewed = application.acquire_token_silent(SCOPES, account, force_refresh=True)
    assert renewed["access_token"] != token["access_token"]


async def test_a_wrong_password_signs_nobody_in(office, monkeypatch):
    with pytest.raises(urllib.error.HTTPError) as caught:
        device_code_token(office, public_client(office, monkeypatch), "ada@contoso.test", "wrong")
    assert caught.value.code == 403
