"""The result of a deployment is what happened in the machine.

These tests run twice: with machines that get agents from the service, and with machines on a bridge that download
them themselves.
"""

import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.reprovision.reprovision_post_request_body import (
    ReprovisionPostRequestBody,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_action_error_code import (
    CloudPcExternalPartnerActionErrorCode as ErrorCode,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_action_status import (
    CloudPcExternalPartnerActionStatus as Status,
)

from conftest import ENDPOINT, GUEST


async def test_an_agent_that_is_installed(desk, bridge):
    desk.web.answers["/good.sh"] = (200, None, b"#!/bin/sh\necho $1 > /opt/agent\n")
    row = await desk.deploy("/good.sh", parameters=["--token=s3cret"])
    assert (row.state, row.error_code, row.error_message) == (Status.Succeeded, ErrorCode.None_, "")
    assert "token=s3cret" in await desk.said("cat /opt/agent")
    assert desk.web.clients == {GUEST if bridge else "127.0.0.1"}


async def test_an_agent_that_is_not_where_its_installer_says(desk):
    detection = f"{ENDPOINT}/externalPartners/{desk.partner}/cloudpc.setDetection"
    desk.web.answers["/idle.sh"] = (200, None, b"#!/bin/sh\nexit 0\n")
    await desk.deploy("/idle.sh")
    assert desk.service.call("POST", detection, {"command": "cat /opt/nothing"}).status == 204
    row = await desk.deploy("/idle.sh")
    assert desk.service.call("POST", detection, {"command": ""}).status == 204
    assert (row.state, row.error_code) == (Status.Failed, ErrorCode.ExecuteActionFailed)
    assert "/opt/nothing" in row.error_message


ANSWERS = {
    "/bad.sh": (200, None, b"#!/bin/sh\necho no licence\nexit 42\n"),
    "/hang.sh": (200, None, b"#!/bin/sh\nsleep 1000 &\nsleep 1000\n"),
    "/page.sh": (200, None, b"<!doctype html><title>Please sign in</title>"),
    "/other.sh": (200, None, b"#!/bin/sh\n"),
}


@pytest.mark.parametrize(
    "path, sha256, code, says",
    [
        ("/bad.sh", None, ErrorCode.ExecuteActionFailed, "exit code 42: no licence"),
        ("/hang.sh", None, ErrorCode.ExecuteActionTimeout, "did not finish"),
        ("/other.sh", "00" * 32, ErrorCode.InvalidAgentChecksum, "SHA-256"),
        ("/page.sh", None, ErrorCode.InvalidAgentFormat, "error page"),
        ("/gone.sh", None, ErrorCode.AgentNotFound, "404"),
        ("http://127.0.0.1:9/agent.sh", None, ErrorCode.CheckNetworkConnectionFailed, "cannot reach"),
    ],
)
async def test_an_agent_that_fails(desk, path, sha256, code, says):
    desk.web.answers |= ANSWERS
    row = await desk.deploy(path, sha256)
    assert (row.state, row.error_code) == (Status.Failed, code), row.error_message
    assert says in row.error_message


async def test_nothing_of_an_installer_that_hung_runs_on(desk):
    assert await desk.said("cat /proc/[0-9]*/cmdline 2> /dev/null | tr '\\0' ' ' | grep -c '[s]leep 1000'") == "0"


async def test_a_disk_that_is_full(desk):
    await desk.run("fallocate -l $(($(df -Pk / | awk 'NR == 2 { print $4 }') - 100000))k /opt/full")
    desk.web.answers |= ANSWERS
    row = await desk.deploy("/bad.sh")
    assert (row.state, row.error_code) == (Status.Failed, ErrorCode.CheckDiskSpaceFailed), row.error_message
    # Frees the space for the next test.
    await desk.cloud_pc.reprovision.post(ReprovisionPostRequestBody())
    await desk.done("Reprovision")


async def test_a_machine_that_is_off(desk):
    await desk.cloud_pc.power_off.post()
    await desk.done()
    desk.web.answers |= ANSWERS
    row = await desk.deploy("/bad.sh")
    assert (row.state, row.error_code) == (Status.Canceled, ErrorCode.DeviceNotAvailable)
    await desk.cloud_pc.power_on.post()
    await desk.done()
