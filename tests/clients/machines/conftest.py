"""The official beta SDK with real machines: QEMU under software emulation. `make test-vm` runs this.

The service copies agents into the machines. With `--bridge`, machines are attached to that bridge of the host and download
agents themselves.
"""

import hashlib
import json
import os
import shutil
import subprocess
import uuid
from pathlib import Path

import msgraph_beta
import msgraph_beta.graph_request_adapter
import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.external_partners.item.configure_agent.configure_agent_post_request_body import (
    ConfigureAgentPostRequestBody,
)
from msgraph_beta.generated.device_management.virtual_endpoint.external_partners.item.deploy_agent.deploy_agent_post_request_body import (
    DeployAgentPostRequestBody,
)
from msgraph_beta.generated.models.action_state import ActionState
from msgraph_beta.generated.models.cloud_pc_external_partner import CloudPcExternalPartner
from msgraph_beta.generated.models.cloud_pc_external_partner_action_status import (
    CloudPcExternalPartnerActionStatus as Status,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_agent_setting import CloudPcExternalPartnerAgentSetting

from graph import administrator, client, eventually, get
from service import REPOSITORY, SCENARIOS, Service
from web import Web

ENDPOINT = "/beta/deviceManagement/virtualEndpoint"

# Time limit of an action on a machine, seconds: most of it is a boot under software emulation.
ACTION_TIME_MAX = 300

# Addresses of the host and of the guest that the test image expects.
HOST, GUEST = "10.0.2.2", "10.0.2.15"


def pytest_addoption(parser):
    parser.addoption("--images", type=Path, required=True, help="a folder of images with the test image in it")
    parser.addoption("--bridge", help="a bridge of this host, which has the address " + HOST)


class Machines(Service):
    """A service with real machines, which stop with it."""

    driver = "qemu"

    def __init__(self, images, config):
        self._images = images
        super().__init__(SCENARIOS / "machines.toml", config)

    def prepare(self):
        shutil.copytree(self._images, self.data / "qemu" / "images")

    def __exit__(self, *everything):
        self._process.kill()
        environment = {**os.environ, "CLOUDPC_DATA": str(self.data)}
        subprocess.run([REPOSITORY / "scripts" / "stop-qemu"], env=environment, check=True, stdout=subprocess.DEVNULL)
        super().__exit__(*everything)


class BridgedMachines(Machines):
    """A service whose machines download agents themselves."""

    def prepare(self):
        super().prepare()
        # People may edit the image's metadata file too.
        about = self.data / "qemu" / "images" / "cloudpc_linux_test" / "image.json"
        about.write_text(json.dumps(json.loads(about.read_text()) | {"downloads": "inside"}))


@pytest.fixture(scope="session")
def bridge(pytestconfig):
    return pytestconfig.getoption("bridge")


@pytest.fixture(scope="session")
def machines(bridge, pytestconfig, tmp_path_factory):
    config = SCENARIOS / "machines-config.toml"
    if bridge is None:
        kind = Machines
    else:
        kind, closed, config = BridgedMachines, config.read_text(), tmp_path_factory.mktemp("bridge") / "config.toml"
        config.write_text(closed.replace("[qemu]", f'[qemu]\nbridge = "{bridge}"'))
    with kind(pytestconfig.getoption("images"), config) as service:
        yield service


@pytest.fixture(scope="session")
async def endpoint(machines):
    """The virtual endpoint, for the administrator of the machines."""
    async with administrator(machines) as credential, client(msgraph_beta, "beta", machines, credential) as graph:
        yield graph.device_management.virtual_endpoint


class Desk:
    """One machine: runs remote actions on it, and scripts inside it by deploying them."""

    def __init__(self, service, endpoint, identity, partner, web):
        self.service, self.web, self.identity, self.partner = service, web, identity, partner
        self.cloud_pc = endpoint.cloud_p_cs.by_cloud_p_c_id(identity)
        self._partner = endpoint.external_partners.by_cloud_pc_external_partner_id(partner)

    async def done(self, name=None):
        """Waits until the newest remote action is done."""

        async def state():
            newest = (await self.cloud_pc.retrieve_cloud_p_c_remote_action_results.get()).value[0]
            assert name in (None, newest.action_name), newest
            assert newest.action_state is not ActionState.Failed, newest.status_detail
            return newest.action_state

        await eventually(state, ActionState.Done, ACTION_TIME_MAX)

    async def deploy(self, path, sha256=None, parameters=()):
        """Deploys an agent from a path of the web server, or from another URL, and returns the result."""
        content = self.web.answers.get(path, (404, None, b""))[2]
        setting = CloudPcExternalPartnerAgentSetting(
            agent_url=path if "://" in path else self.web.address + path,
            agent_sha256=sha256 or hashlib.sha256(content).hexdigest(),
            install_parameters=list(parameters),
        )
        await self._partner.configure_agent.post(ConfigureAgentPostRequestBody(agent_setting=setting))
        body = DeployAgentPostRequestBody(cloud_pc_ids=[self.identity])
        activity = (await self._partner.deploy_agent.post(body)).value
        results = self._partner.retrieve_deploy_agent_action_resultsactivity_id_activity_id_cloud_pc_id_cloud_pc_id

        async def has_ended():
            state = (await get(results, activity_id=activity)).value[0].state
            return state in (Status.Succeeded, Status.Failed, Status.Canceled)

        await eventually(has_ended, True, ACTION_TIME_MAX)
        return (await get(results, activity_id=activity)).value[0]

    async def run(self, script):
        """Runs a script in the guest, which must succeed."""
        self.web.answers["/script.sh"] = (200, None, f"#!/bin/sh\n{script}\n".encode())
        row = await self.deploy("/script.sh")
        assert row.state is Status.Succeeded, row.error_message

    async def said(self, script):
        """Returns the output of a script in the guest. The script fails, since only failures report output."""
        self.web.answers["/script.sh"] = (200, None, f"#!/bin/sh\n{script}\nexit 42\n".encode())
        message = (await self.deploy("/script.sh")).error_message
        before, _, output = message.partition("exit code 42")
        assert before and output, message
        return output.removeprefix(": ")


@pytest.fixture(scope="session")
async def desk(machines, endpoint, bridge):
    with Web() if bridge is None else Web(HOST) as web:
        new = CloudPcExternalPartner(partner_id=str(uuid.uuid4()), enable_connection=True)
        partner = (await endpoint.external_partners.post(new)).id
        # Also allows an address on which nothing listens.
        allowed = {"urls": [f"{web.address}/", "http://127.0.0.1:9/"]}
        assert machines.call("POST", f"{ENDPOINT}/externalPartners/{partner}/cloudpc.allowUrls", allowed).status == 204
        (found,) = (await get(endpoint.cloud_p_cs)).value
        yield Desk(machines, endpoint, found.id, partner, web)
