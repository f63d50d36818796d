"""Files that no scenario declares are downloaded and hashed, and only from the partner's allowed URLs."""

import hashlib
import uuid

import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.external_partners.item.configure_agent.configure_agent_post_request_body import (
    ConfigureAgentPostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.external_partners.item.deploy_agent.deploy_agent_post_request_body import (
    DeployAgentPostRequestBody,
)
from msgraph_beta.generated.models.cloud_pc_external_partner import CloudPcExternalPartner
from msgraph_beta.generated.models.cloud_pc_external_partner_action_error_code import (
    CloudPcExternalPartnerActionErrorCode as ErrorCode,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_action_status import (
    CloudPcExternalPartnerActionStatus as Status,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_agent_setting import CloudPcExternalPartnerAgentSetting

from graph import eventually, get
from web import Web

PROGRAM = b"MZ" + b"\0" * 1000
PAGE = b"<!doctype html><title>Please sign in</title>"


@pytest.fixture
def mirror():
    """A web server that the partner's allow-list contains."""
    with Web() as web:
        web.answers["/agent.exe"] = (200, None, PROGRAM)
        web.answers["/page.exe"] = (200, None, PAGE)
        yield web


@pytest.fixture
def inside():
    """A web server that no allow-list contains."""
    with Web() as web:
        web.answers["/agent.exe"] = (200, None, PROGRAM)
        yield web


@pytest.fixture
async def deploy(office, beta, mirror):
    """Configures an agent, deploys it to one machine and returns the result."""
    endpoint = beta.device_management.virtual_endpoint
    new = CloudPcExternalPartner(partner_id=str(uuid.uuid4()), enable_connection=True)
    identity = (await endpoint.external_partners.post(new)).id
    partner = endpoint.external_partners.by_cloud_pc_external_partner_id(identity)
    ours = f"/beta/deviceManagement/virtualEndpoint/externalPartners/{identity}/cloudpc.allowUrls"
    assert office.call("POST", ours, {"urls": [f"{mirror.address}/"]}).status == 204
    (desk,) = (await get(endpoint.cloud_p_cs, filter="displayName eq 'desk-39'")).value

    async def run(path, content=PROGRAM):
        setting = CloudPcExternalPartnerAgentSetting(
            agent_url=mirror.address + path, agent_sha256=hashlib.sha256(content).hexdigest()
        )
        await partner.configure_agent.post(ConfigureAgentPostRequestBody(agent_setting=setting))
        activity = (await partner.deploy_agent.post(DeployAgentPostRequestBody(cloud_pc_ids=[desk.id]))).value
        results = partner.retrieve_deploy_agent_action_resultsactivity_id_activity_id_cloud_pc_id_cloud_pc_id

        async def has_ended():
            return (await get(results, activity_id=activity)).value[0].state in (Status.Succeeded, Status.Failed)

        # The fleet's clock runs freely: advanced explicitly, it would not wait for a real download.
        await eventually(has_ended, True)
        (row,) = (await get(results, activity_id=activity)).value
        return row

    yield run
    await partner.delete()


async def test_an_agent_that_is_there(deploy, mirror):
    row = await deploy("/agent.exe")
    assert (row.error_code, row.error_message) == (ErrorCode.None_, "")
    assert mirror.asked == ["/agent.exe"]


async def test_an_agent_that_is_not_there(deploy):
    row = await deploy("/gone.exe")
    assert row.error_code is ErrorCode.AgentNotFound
    assert "404" in row.error_message


async def test_an_agent_with_another_content(deploy):
    assert (await deploy("/agent.exe", PROGRAM + b"!")).error_code is ErrorCode.InvalidAgentChecksum


async def test_a_page_in_place_of_an_agent(deploy):
    assert (await deploy("/page.exe", PAGE)).error_code is ErrorCode.InvalidAgentFormat


async def test_redirects_within_the_list(deploy, mirror):
    mirror.answers["/latest.exe"] = (302, "/agent.exe", b"")
    assert (await deploy("/latest.exe")).error_code is ErrorCode.None_
    assert mirror.asked == ["/latest.exe", "/agent.exe"]


async def test_redirects_to_where_nobody_may_fetch(deploy, mirror, inside):
    for location in [
        f"{inside.address}/agent.exe",
        "http://169.254.169.254/latest/meta-data",
        "https://10.1.2.3/agent.exe",
        "file:///etc/passwd",
    ]:
        mirror.answers["/latest.exe"] = (302, location, b"")
        row = await deploy("/latest.exe")
        assert row.error_code is ErrorCode.AgentNotFound, location
        assert row.error_message
    assert inside.asked == []


async def test_redirects_without_end(deploy, mirror):
    mirror.answers["/latest.exe"] = (302, "/latest.exe", b"")
    assert (await deploy("/latest.exe")).error_code is ErrorCode.AgentNotFound
    assert len(mirror.asked) < 10, "the download was retried after too many redirects"
