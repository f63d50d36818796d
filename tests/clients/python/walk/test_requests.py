"""Creates what is requested once and not updated, and deletes everything that can be deleted."""

import pytest
from actions import REVIEW
from check import holds
from contract import ROOTS, contract
from entity import ENDPOINT, NOTHING
from fleet import ADA, LARGER_PLAN
from sample import wrong
from sdk import differences

BETA = contract("beta")
# Values of what some types of bulk actions have beyond what all have.
OWN = {
    "cloudPcBulkDisasterRecovery": {"capabilityType": "failover", "licenseType": "standard"},
    "cloudPcBulkModifyDiskEncryptionType": {"diskEncryptionType": "platformManagedKey"},
    "cloudPcBulkResize": {"targetServicePlanId": LARGER_PLAN},
    "cloudPcBulkRestore": {
        "ignoreUnhealthySnapshots": True,
        "restorePointDateTime": "2026-11-30T00:00:00Z",
        "timeRange": "before",
    },
    "cloudPcBulkSetReviewStatus": {"reviewStatus": REVIEW},
}


def operation(method, path, root="beta"):
    return next(own for own in contract(root).operations if (own.method, own.path) == (method, path))


def bulk(type, **more):
    common = {"cloudPcIds": [NOTHING], "displayName": "Bulk", "scheduledDuringMaintenanceWindow": False}
    return {"@odata.type": f"#microsoft.graph.{type}"} | common | OWN.get(type, {}) | more


@pytest.mark.parametrize("type", BETA.derived("cloudPcBulkAction")[1:])
async def test_a_bulk_action_reads_as_it_was_requested(walk, type):
    create, body = operation("POST", f"{ENDPOINT}/bulkActions"), bulk(type)
    exchange = await walk.call(create, body)
    walk.service.rest()
    assert exchange.status == 201, exchange.received
    assert differences(exchange.typed, exchange.received) == []
    one = operation("GET", f"{ENDPOINT}/bulkActions/{{cloudPcBulkAction-id}}")
    read = await walk.call(one, keys={"{cloudPcBulkAction-id}": exchange.received["id"]})
    for shown in (exchange.received, read.received):
        assert holds(shown, body), shown
    failures = []
    for name, declared in BETA.properties(type, body).items():
        members = BETA.enums.get(declared["type"], {}).get("members", [])
        values = [*members, "noSuchMember", wrong(BETA, declared)] if name in OWN.get(type, {}) else []
        values += [wrong(BETA, declared)] if name in body else []
        for value in values:
            exchange = walk.http(create, body | {name: value})
            is_taken = value in members and value != "unknownFutureValue"
            is_right = exchange.status == 201 if is_taken else name in exchange.received["error"].get("target", "")
            if not is_right:
                failures.append((name, value, exchange.status, exchange.received))
    walk.service.rest()
    assert not failures, "\n".join(str(failure) for failure in failures)
    exchange = walk.http(create, body | {"colour": "red"})
    assert (exchange.status, "'colour'" in str(exchange.received)) == (400, True)


@pytest.mark.parametrize("name", BETA.enums["cloudPcReportName"]["members"])
async def test_an_export_job_reads_as_it_was_requested(walk, name):
    create = operation("POST", f"{ENDPOINT}/reports/exportJobs")
    body = {"filter": "", "format": "json", "reportName": name, "select": []}
    exchange = await walk.call(create, body)
    if name == "unknownFutureValue" or exchange.status == 400:
        error = exchange.received["error"]
        assert (exchange.status, error["target"]) == (400, "reportName"), error
        return
    assert exchange.status == 201, exchange.received
    keys = {"{cloudPcExportJob-id}": exchange.received["id"]}
    read = await walk.call(operation("GET", f"{ENDPOINT}/reports/exportJobs/{{cloudPcExportJob-id}}"), keys=keys)
    assert {own: read.received[own] for own in ("format", "reportName")} == {"format": "json", "reportName": name}
    deleted = await walk.call(operation("DELETE", f"{ENDPOINT}/reports/exportJobs/{{cloudPcExportJob-id}}"), keys=keys)
    assert deleted.status == 204, deleted.received


async def test_a_webhook_reads_as_it_was_requested(walk):
    body = {
        "clientState": "a state of the walk",
        "notificationUrl": walk.fleet.receiver.url,
        "scenario": "When a Cloud PC is created",
    }
    exchange = await walk.call(operation("POST", f"{ENDPOINT}/webhooks"), body)
    assert exchange.status == 201, exchange.received
    keys = {"{webhook-id}": exchange.received["id"]}
    one = f"{ENDPOINT}/webhooks/{{webhook-id}}"
    read = (await walk.call(operation("GET", one), keys=keys)).received
    # The state is for the receiver only.
    assert holds(read, body | {"clientState": None}), read
    assert (await walk.call(operation("DELETE", one), keys=keys)).status == 204


async def test_a_snapshot_is_deleted(walk):
    cloud_pc = walk.fleet.keys["{cloudPC-id}"]
    exchange = walk.http(operation("POST", f"{ENDPOINT}/cloudPCs/{{cloudPC-id}}/createSnapshot"), {})
    walk.service.rest()
    assert exchange.status == 204, exchange.received
    rows = walk.service.rows(f"/beta{ENDPOINT}/snapshots?$filter=cloudPcId%20eq%20'{cloud_pc}'")
    keys = {
        "{cloudPcSnapshot-id}": next(row["id"] for row in rows if row["id"] != walk.fleet.keys["{cloudPcSnapshot-id}"])
    }
    deleted = await walk.call(operation("DELETE", f"{ENDPOINT}/snapshots/{{cloudPcSnapshot-id}}"), keys=keys)
    assert deleted.status == 204, deleted.received


@pytest.mark.parametrize("root", ROOTS)
async def test_a_member_is_removed(walk, root):
    keys = {"{user-id}": ADA}
    walk.http(
        operation("POST", "/groups/{group-id}/members/$ref", root),
        {"@odata.id": f"https://graph.test/v1.0/users/{ADA}"},
    )
    exchange = await walk.call(operation("DELETE", "/groups/{group-id}/members/{user-id}/$ref", root), keys=keys)
    assert exchange.status == 204, exchange.received
