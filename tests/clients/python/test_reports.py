"""Reports, with both SDKs: every report answers with its schema, and sessions and actions are in them."""

import importlib
import json
import re

import pytest

BETA = "msgraph_beta.generated.device_management.virtual_endpoint"

ACTIONS = [
    "reports.get_action_status_reports",
    "reports.get_cloud_pc_performance_report",
    "reports.get_cloud_pc_recommendation_reports",
    "reports.get_connection_quality_reports",
    "reports.get_daily_aggregated_remote_connection_reports",
    "reports.get_frontline_report",
    "reports.get_inaccessible_cloud_pc_reports",
    "reports.get_raw_remote_connection_reports",
    "reports.get_remote_connection_historical_reports",
    "reports.get_total_aggregated_remote_connection_reports",
    "reports.retrieve_bulk_action_status_report",
    "reports.retrieve_cloud_pc_performance_metrics_report",
    "reports.retrieve_cloud_pc_recommendation_reports",
    "reports.retrieve_cloud_pc_tenant_metrics_report",
    "reports.retrieve_cloud_pc_troubleshoot_reports",
    "reports.retrieve_connection_quality_reports",
    "reports.retrieve_cross_region_disaster_recovery_report",
    "reports.retrieve_frontline_reports",
    "report.retrieve_cloud_pc_client_app_usage_report",
    "report.retrieve_cloud_pc_recommendation_reports",
]


def body_of(package, path):
    """Returns the class of an action's body."""
    name = path.rsplit(".", 1)[1]
    module = importlib.import_module(f"{package}.{path}.{name}_post_request_body")
    return getattr(module, re.sub(r"(?:^|_)(\w)", lambda found: found[1].upper(), name) + "PostRequestBody")


async def read(client, package, path, **options):
    """Returns the answer to an action, its rows as dictionaries by column."""
    builder = client.device_management.virtual_endpoint
    for part in path.split("."):
        builder = getattr(builder, part)
    return rows_of(await builder.post(body_of(package, path)(**options)))


def rows_of(stream):
    answer = json.loads(stream)
    names = [column["Column"] for column in answer["Schema"]]
    return answer, [dict(zip(names, values, strict=True)) for values in answer["Values"]]


@pytest.mark.parametrize("path", ACTIONS)
async def test_every_report_has_a_schema_and_rows_or_says_why_not(beta, path):
    answer, rows = await read(beta, BETA, path)
    assert answer["Schema"]
    assert answer["TotalRowCount"] >= len(rows)
    if "@cloudpc.noSource" in answer:
        assert rows == []


async def test_the_report_of_v1(v1):
    package = "msgraph.generated.device_management.virtual_endpoint"
    answer, rows = await read(v1, package, "report.retrieve_cloud_pc_recommendation_reports", top=5)
    assert (answer["TotalRowCount"], rows) == (0, [])
    assert "does not measure" in answer["@cloudpc.noSource"]


async def test_an_auditor_finds_what_happened_to_a_cloud_pc(beta, office):
    path = "/beta/deviceManagement/virtualEndpoint/cloudPCs"
    cloud_pc = office.rows(f"{path}?$filter=status%20eq%20'provisioned'")[0]
    stated = {"cloudPcId": cloud_pc["id"], "began": "2h", "lasted": "30m", "roundTripTimeInMs": 42}
    assert office.call("POST", "/_cloudpc/sessions", stated).status == 201
    assert office.call("POST", "/_cloudpc/sessions", {"cloudPcId": cloud_pc["id"]}).status == 201

    mine = f"CloudPcId eq '{cloud_pc['id']}'"
    sessions = "reports.get_raw_remote_connection_reports"
    _, rows = await read(beta, BETA, sessions, filter=mine, order_by=["SignInDateTime"])
    assert (rows[-2]["UsageInHour"], rows[-2]["RoundTripTimeInMsP50"], rows[-1]["SignOutDateTime"]) == (0.5, 42, None)
    reports = beta.device_management.virtual_endpoint.reports
    status = reports.get_real_time_remote_connection_status_with_cloud_pc_id(cloud_pc["id"])
    _, [row] = rows_of(await status.get())
    assert row["SignInStatus"] == "SignedIn"
    latency = reports.get_real_time_remote_connection_latency_with_cloud_pc_id(cloud_pc["id"])
    answer, rows = rows_of(await latency.get())
    assert rows == [] and answer["@cloudpc.noSource"]

    await beta.device_management.virtual_endpoint.cloud_p_cs.by_cloud_p_c_id(cloud_pc["id"]).reboot.post()
    office.rest()
    _, [row] = rows_of(await status.get())
    assert row["SignInStatus"] == "NotSignedIn", "the restart ended the session"
    actions = "reports.get_action_status_reports"
    chosen = ["Action", "ActionState", "CloudPcDeviceDisplayName"]
    _, rows = await read(beta, BETA, actions, filter=f"{mine} and Action eq 'Reboot'", select=chosen, top=1)
    assert rows == [{"Action": "Reboot", "ActionState": "done", "CloudPcDeviceDisplayName": cloud_pc["displayName"]}]
