"""External partners with the beta SDK: creation, configuration, deployments, results and reports."""

import datetime
import uuid

import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.cloud_p_cs.item.reprovision.reprovision_post_request_body import (
    ReprovisionPostRequestBody,
)
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
from msgraph_beta.generated.models.cloud_pc_external_partner_action_type import CloudPcExternalPartnerActionType
from msgraph_beta.generated.models.cloud_pc_external_partner_agent_setting import CloudPcExternalPartnerAgentSetting
from msgraph_beta.generated.models.cloud_pc_external_partner_authenticated_method import (
    CloudPcExternalPartnerAuthenticatedMethod,
)
from msgraph_beta.generated.models.cloud_pc_external_partner_status import CloudPcExternalPartnerStatus
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError

from graph import eventually, get

PARTNER = "0ff1ce00-0000-4000-8000-00000000fab1"
DISABLED = "0ff1ce00-0000-4000-8000-00000000fab2"
WITHOUT_AGENT = "0ff1ce00-0000-4000-8000-00000000fab3"
NOBODY = "00000000-0000-4000-8000-000000000000"
SHA256 = "5f0c5d7f0d1c3d7a86f9f1b1f7a0cf0e6a3f9d3c5b7e2a4418c6d0e9b2f5a713"


def partners(graph):
    return graph.device_management.virtual_endpoint.external_partners


def partner(graph, identity=PARTNER):
    return partners(graph).by_cloud_pc_external_partner_id(identity)


def agent(**changed):
    setting = {"agent_url": "https://agents.fabrikam.test/agent.msi", "agent_sha256": SHA256.upper()}
    setting |= {"install_parameters": ["/quiet", "KEY=secret"], "auto_deployment_enabled": False} | changed
    return ConfigureAgentPostRequestBody(agent_setting=CloudPcExternalPartnerAgentSetting(**setting))


async def identities(graph, *names):
    listed = await get(graph.device_management.virtual_endpoint.cloud_p_cs, top=100)
    by_name = {cloud_pc.display_name: cloud_pc.id for cloud_pc in listed.value}
    return [by_name[name] for name in names]


async def deploy(builder, cloud_pc_ids):
    return (await builder.deploy_agent.post(DeployAgentPostRequestBody(cloud_pc_ids=cloud_pc_ids))).value


async def results(builder, **given):
    """Returns the rows of `retrieveDeployAgentActionResults` with these arguments."""
    function = builder.retrieve_deploy_agent_action_resultsactivity_id_activity_id_cloud_pc_id_cloud_pc_id
    return (await get(function, **given)).value


async def test_a_partner_is_taken_on_configured_and_let_go(beta, office):
    partner_id = str(uuid.uuid4())
    created = await partners(beta).post(CloudPcExternalPartner(partner_id=partner_id, enable_connection=True))
    assert created.id != partner_id
    assert (created.partner_id, created.enable_connection, created.agent_setting) == (partner_id, True, None)
    assert created.connection_status is CloudPcExternalPartnerStatus.Available
    with pytest.raises(ODataError) as caught:
        await partners(beta).post(CloudPcExternalPartner(partner_id=partner_id, enable_connection=True))
    assert (caught.value.response_status_code, caught.value.error.code) == (409, "nameAlreadyExists")

    builder = partner(beta, created.id)
    assert await builder.configure_agent.post(agent(auto_deployment_enabled=True)) is None
    found = await builder.get()
    assert found.agent_setting.agent_url == "https://agents.fabrikam.test/agent.msi"
    assert found.agent_setting.agent_sha256 == SHA256.upper()
    assert found.agent_setting.auto_deployment_enabled is True
    # The response shows that there are parameters, but not their values.
    assert found.agent_setting.install_parameters == ["***", "***"]
    (report,) = (await builder.retrieve_action_reports.get()).value
    assert report.action_type is CloudPcExternalPartnerActionType.ConfigureAgent
    assert report.authenticated_method is CloudPcExternalPartnerAuthenticatedMethod.AppOnly
    assert report.authenticated_app_id == office.client_id
    assert report.agent_setting.install_parameters == ["***", "***"]

    updated = await builder.patch(CloudPcExternalPartner(enable_connection=False))
    assert updated.connection_status is CloudPcExternalPartnerStatus.NotAvailable
    assert created.id in [row.id for row in (await get(partners(beta), filter="enableConnection eq false")).value]
    assert await partners(beta).count.get() == 4
    assert await builder.delete() is None
    with pytest.raises(ODataError) as caught:
        await builder.get()
    assert caught.value.response_status_code == 404


async def test_heartbeats_move_the_connection_status(beta, office):
    ours = f"/beta/deviceManagement/virtualEndpoint/externalPartners/{WITHOUT_AGENT}/cloudpc.heartbeat"
    assert (await partner(beta, WITHOUT_AGENT).get()).connection_status is CloudPcExternalPartnerStatus.Available
    assert office.call("POST", ours).status == 204
    healthy = await partner(beta, WITHOUT_AGENT).get()
    assert healthy.connection_status is CloudPcExternalPartnerStatus.Healthy
    assert healthy.last_sync_date_time.tzinfo == datetime.UTC
    office.advance("1h")
    assert (await partner(beta, WITHOUT_AGENT).get()).connection_status is CloudPcExternalPartnerStatus.Unhealthy
    await partner(beta, WITHOUT_AGENT).patch(CloudPcExternalPartner(enable_connection=False))
    assert (await partner(beta, WITHOUT_AGENT).get()).connection_status is CloudPcExternalPartnerStatus.NotAvailable
    await partner(beta, WITHOUT_AGENT).patch(CloudPcExternalPartner(enable_connection=True))


async def test_deploy_from_the_request_to_succeeded(beta, office):
    one, two = await identities(beta, "desk-01", "desk-02")
    with office.paused():
        activity = await deploy(partner(beta), [one, two, one.upper(), NOBODY])
        assert uuid.UUID(activity)

        async def states():
            return [(row.cloud_pc_id, row.state) for row in await results(partner(beta), activity_id=activity)]

        # One row for each Cloud PC, in the order of the request; duplicates count once.
        await eventually(states, [(one, Status.Running), (two, Status.Running), (NOBODY, Status.Canceled)])
    rows = await results(partner(beta), activity_id=activity)
    assert [(row.state, row.error_code, row.error_message) for row in rows[:2]] == [
        (Status.Succeeded, ErrorCode.None_, "")
    ] * 2
    assert (rows[2].state, rows[2].error_code) == (Status.Canceled, ErrorCode.DeviceNotFound)
    assert rows[2].error_message
    assert {row.activity_id for row in rows} == {activity}
    assert rows[0].start_date_time < rows[0].last_modified_date_time


async def test_results_by_every_combination_of_arguments(beta, office):
    one, two = await identities(beta, "desk-03", "desk-04")
    first = await deploy(partner(beta), [one, two])
    second = await deploy(partner(beta), [one])
    office.rest()

    async def found(**given):
        rows = await results(partner(beta), **given)
        return [(row.activity_id, row.cloud_pc_id) for row in rows if row.cloud_pc_id in (one, two)]

    everything = [(first, one), (first, two), (second, one)]
    assert await found() == everything
    assert await found(activity_id="", cloud_pc_id="") == everything
    assert await found(activity_id=first) == everything[:2]
    assert await found(cloud_pc_id=one) == [(first, one), (second, one)]
    assert await found(activity_id=first, cloud_pc_id=one) == [(first, one)]
    assert await found(activity_id=second, cloud_pc_id=two) == []
    assert await found(activity_id="", cloud_pc_id=two) == [(first, two)]


async def test_deployments_wait_in_line_and_are_never_refused(beta, office):
    (one,) = await identities(beta, "desk-05")
    with office.paused():
        activities = [await deploy(partner(beta), [one]) for _ in range(3)]

        async def states():
            return [(await results(partner(beta), activity_id=activity))[0].state for activity in activities]

        await eventually(states, [Status.Running, Status.Pending, Status.Pending])
    assert await states() == [Status.Succeeded] * 3


async def test_reports_tell_who_deployed_what(beta, office):
    (one,) = await identities(beta, "desk-06")
    activity = await deploy(partner(beta), [one])
    office.rest()
    rows = (await get(partner(beta).retrieve_action_reports, top=1)).value
    (row,) = [row for row in rows if row.activity_id == activity]
    assert row.action_type is CloudPcExternalPartnerActionType.DeployAgent
    assert (row.cloud_pc_id, row.agent_name, row.agent_setting) == (one, "agent.msi", None)
    assert row.authenticated_app_name == "Administrator"


async def test_auto_deployment_follows_a_reprovision(beta, office):
    (one,) = await identities(beta, "desk-07")
    created = await partners(beta).post(CloudPcExternalPartner(partner_id=str(uuid.uuid4()), enable_connection=True))
    builder = partner(beta, created.id)
    await builder.configure_agent.post(agent(auto_deployment_enabled=True))
    cloud_pc = beta.device_management.virtual_endpoint.cloud_p_cs.by_cloud_p_c_id(one)
    await cloud_pc.reprovision.post(ReprovisionPostRequestBody())
    office.rest()
    (row,) = await results(builder)
    assert (row.cloud_pc_id, row.state, row.error_code) == (one, Status.Succeeded, ErrorCode.None_)
    assert row.activity_id
    await builder.delete()


@pytest.mark.parametrize(
    ("identity", "code"), [(DISABLED, "partnerConnectionDisabled"), (WITHOUT_AGENT, "agentNotConfigured")]
)
async def test_a_partner_that_cannot_deploy(beta, identity, code):
    with pytest.raises(ODataError) as caught:
        await deploy(partner(beta, identity), [NOBODY])
    assert (caught.value.response_status_code, caught.value.error.code) == (409, code)
    assert await results(partner(beta, identity)) == []


@pytest.mark.parametrize("count", [0, 51])
async def test_one_to_fifty_ids(beta, count):
    with pytest.raises(ODataError) as caught:
        await deploy(partner(beta), [str(uuid.uuid4()) for _ in range(count)])
    assert (caught.value.response_status_code, caught.value.error.target) == (400, "cloudPcIds")


@pytest.mark.parametrize(
    ("changed", "target"),
    [
        ({"agent_url": "file:///etc/passwd"}, "agentSetting/agentUrl"),
        ({"agent_url": "https://elsewhere.test/agent.msi"}, "agentSetting/agentUrl"),
        ({"agent_url": None}, "agentSetting/agentUrl"),
        ({"agent_sha256": SHA256[:-1]}, "agentSetting/agentSha256"),
        ({"install_parameters": ["***"]}, "agentSetting/installParameters"),
    ],
)
async def test_a_wrong_agent_setting_is_refused(beta, changed, target):
    before = (await partner(beta).get()).agent_setting
    with pytest.raises(ODataError) as caught:
        await partner(beta).configure_agent.post(agent(**changed))
    assert (caught.value.response_status_code, caught.value.error.target) == (400, target)
    after = (await partner(beta).get()).agent_setting
    assert (after.agent_url, after.agent_sha256) == (before.agent_url, before.agent_sha256)


async def test_every_error_code_comes_out_of_the_pipeline(trouble, trouble_beta):
    listed = (await trouble_beta.device_management.virtual_endpoint.cloud_p_cs.get()).value
    by_name = {cloud_pc.display_name: cloud_pc.id for cloud_pc in listed}
    builders = {
        row.partner_id[-4:]: partner(trouble_beta, row.id) for row in (await partners(trouble_beta).get()).value
    }

    async def codes(builder, *names):
        activity = await deploy(builder, [by_name.get(name, name) for name in names])
        trouble.rest()
        rows = await results(builder, activity_id=activity)
        assert [bool(row.error_message) for row in rows] == [row.error_code is not ErrorCode.None_ for row in rows]
        return [(row.state, row.error_code) for row in rows]

    names = ["well", "installer-fails", "installer-hangs", NOBODY, "provisioning", "disk-full", "no-network"]
    assert await codes(builders["0fab"], *names) == [
        (Status.Succeeded, ErrorCode.None_),
        (Status.Failed, ErrorCode.ExecuteActionFailed),
        (Status.Failed, ErrorCode.ExecuteActionTimeout),
        (Status.Canceled, ErrorCode.DeviceNotFound),
        (Status.Canceled, ErrorCode.DeviceNotAvailable),
        (Status.Failed, ErrorCode.CheckDiskSpaceFailed),
        (Status.Failed, ErrorCode.CheckNetworkConnectionFailed),
    ]
    assert await codes(builders["c4ec"], "well") == [(Status.Failed, ErrorCode.InvalidAgentChecksum)]
    assert await codes(builders["f04a"], "well") == [(Status.Failed, ErrorCode.InvalidAgentFormat)]
    await builders["0fab"].configure_agent.post(agent(agent_url="https://agents.fabrikam.test/gone.exe"))
    assert await codes(builders["0fab"], "well") == [(Status.Failed, ErrorCode.AgentNotFound)]
