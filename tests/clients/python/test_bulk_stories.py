"""Stories of bulk actions, told through clients alone: mending the failures of a large one, and waiting for a window."""

from collections import Counter

import msgraph_beta
import pytest
from msgraph_beta.generated.device_management.virtual_endpoint.bulk_actions.item.retry.retry_post_request_body import (
    RetryPostRequestBody,
)
from msgraph_beta.generated.models.cloud_pc_bulk_action_status import CloudPcBulkActionStatus
from msgraph_beta.generated.models.cloud_pc_bulk_reprovision import CloudPcBulkReprovision
from msgraph_beta.generated.models.cloud_pc_bulk_restart import CloudPcBulkRestart

from graph import administrator, client
from service import SCENARIOS, Service

ENDPOINT = "/beta/deviceManagement/virtualEndpoint"
DESKS = 500
BROKEN = 7


@pytest.fixture(scope="module")
def floor():
    """A service of its own with more than 500 machines."""
    with Service(SCENARIOS / "roll-out.toml") as service:
        yield service


@pytest.fixture
async def graph(floor):
    async with administrator(floor) as credential:
        async with client(msgraph_beta, "beta", floor, credential) as graph:
            yield graph


def desks(floor):
    return [row["id"] for row in floor.rows(f"{ENDPOINT}/cloudPCs?$top=999&$select=id")][:DESKS]


async def ended(floor, one):
    while (bulk := await one.get()).status is CloudPcBulkActionStatus.Pending:
        floor.rest()
    return bulk


async def test_seven_failures_of_five_hundred_are_mended(floor, graph):
    ids = desks(floor)
    broken = set(ids[:: DESKS // BROKEN][:BROKEN])
    bulk_actions = graph.device_management.virtual_endpoint.bulk_actions
    effect = {"effect": "fail", "code": "diskFailed", "message": "The disk failed."}
    with floor.fault(effect, cloudPcs=sorted(broken), step="start"):
        request = CloudPcBulkReprovision(display_name="Reprovision the floor", cloud_pc_ids=ids)
        made = await bulk_actions.post(request)
        one = bulk_actions.by_cloud_pc_bulk_action_id(made.id)
        first = await ended(floor, one)
    summary = first.action_summary
    assert (summary.successful_count, summary.failed_count) == (DESKS - BROKEN, BROKEN)
    items = floor.rows(f"{ENDPOINT}/bulkActions/{made.id}/cloudpc.items")
    assert {item["cloudPcId"] for item in items if item["errorCode"] == "diskFailed"} == broken

    await one.retry.post(RetryPostRequestBody())
    second = await ended(floor, one)
    assert (second.status, second.action_summary.successful_count) == (CloudPcBulkActionStatus.Succeeded, DESKS)

    # An auditor reconstructs it from the log, the results and the report.
    activities = Counter(
        (row["activityType"], row["activityResult"]) for row in floor.rows(f"{ENDPOINT}/auditEvents?$top=999")
    )
    assert (
        activities[("Create CloudPcBulkAction", "success")] == activities[("Retry CloudPcBulkAction", "success")] == 1
    )
    assert activities[("Reprovision CloudPC", "success")] == DESKS + BROKEN
    assert activities[("Reprovision CloudPC", "failure")] == BROKEN
    results = floor.rows(f"{ENDPOINT}/cloudPCs/{min(broken)}/retrieveCloudPCRemoteActionResults")
    assert sorted(result["actionState"] for result in results) == ["done", "failed"]
    report = floor.call(
        "POST", f"{ENDPOINT}/reports/getActionStatusReports", {"filter": f"BulkActionId eq '{made.id}'"}
    )
    assert report.json()["TotalRowCount"] == DESKS + BROKEN


async def test_a_maintenance_window_holds_a_bulk_action_back(floor, graph):
    ids = desks(floor)[:3]
    bulk_actions = graph.device_management.virtual_endpoint.bulk_actions

    def request(name):
        return CloudPcBulkRestart(display_name=name, cloud_pc_ids=ids, scheduled_during_maintenance_window=True)

    without = await bulk_actions.post(request("No window"))
    one = bulk_actions.by_cloud_pc_bulk_action_id(without.id)
    assert (await ended(floor, one)).action_summary.failed_count == 3

    (user,) = floor.rows("/beta/users")
    team = {"displayName": "Floor", "mailEnabled": False, "mailNickname": "floor", "securityEnabled": True}
    group = floor.call("POST", "/beta/groups", team).json()["id"]
    reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{user['id']}"}
    assert floor.call("POST", f"/beta/groups/{group}/members/$ref", reference).status == 204
    # The window opens five hours from now, on every day, for two hours.
    now = floor.call("GET", "/_cloudpc/clock").json()["now"]
    hour = int(now[11:13])
    opens, closes = (f"{(hour + later) % 24:02}:00:00" for later in (5, 7))
    days = [{"scheduleType": days, "startTime": opens, "endTime": closes} for days in ("weekday", "weekend")]
    windows = f"{ENDPOINT}/maintenanceWindows"
    window = floor.call("POST", windows, {"displayName": "Nights", "schedules": days}).json()["id"]
    assigned = {"assignments": [{"target": {"groupId": group}}]}
    assert floor.call("POST", f"{windows}/{window}/assign", assigned).status == 204

    held = await bulk_actions.post(request("Tonight"))
    one = bulk_actions.by_cloud_pc_bulk_action_id(held.id)
    floor.rest()
    assert (await one.get()).action_summary.pending_count == 3
    floor.advance("3h")
    assert (await one.get()).action_summary.pending_count == 3
    floor.advance("2h")
    assert (await ended(floor, one)).action_summary.successful_count == 3
    items = floor.rows(f"{ENDPOINT}/bulkActions/{held.id}/cloudpc.items")
    for item in items:
        action = floor.call("GET", f"{ENDPOINT}/cloudPCs/{item['cloudPcId']}/cloudpc.actions/{item['actionId']}").json()
        assert action["requestedDateTime"][11:16] == opens[:5]
