"""Checks that an SDK called every implemented operation, under each root that has it, and got a response."""

import json
import re

from service import REPOSITORY

# Operations that the current SDKs cannot call; ../python-1.11 calls them with an older one.
OF_OLDER_SDKS = {
    ("beta", "managedDevice.bulkReprovisionCloudPc"),
    ("beta", "managedDevice.bulkRestoreCloudPc"),
    ("beta", "managedDevice.bulkSetCloudPcReviewStatus"),
    ("beta", "managedDevice.getCloudPcRemoteActionResults"),
    ("beta", "managedDevice.getCloudPcReviewStatus"),
    ("beta", "managedDevice.reprovisionCloudPc"),
    ("beta", "managedDevice.resizeCloudPc"),
    ("beta", "managedDevice.restoreCloudPc"),
    ("beta", "managedDevice.setCloudPcReviewStatus"),
}

# Operations whose builders in the current SDK cannot be imported; tests call them over HTTP.
BROKEN_IN_SDK = {("beta", "cloudPC.getFrontlineCloudPcAccessState")}

# Operations that this installation always refuses.
REFUSED = {("beta", "cloudPcSnapshot.importSnapshot")}

# Operations on what nothing here has: profiles of users, and parts of roles. Each call gets 404.
OF_NOTHING = {
    ("beta", "authenticationContext.get"),
    ("beta", "cloudPcUserProfileSnapshot.get"),
    ("beta", "cloudPcUserProfileSnapshot.restore"),
    ("beta", "directoryScopes.get"),
    ("beta", "inheritsPermissionsFrom.assignedPrincipals"),
    ("beta", "inheritsPermissionsFrom.get"),
    ("beta", "userSettingsPersistenceDetail.batchCleanupUserSettingsPersistenceProfile"),
}


def test_every_operation_was_called(office, answered):
    log = {line["request_id"]: line for line in office.requests()}
    called = {(root, log[identity]["route"]) for identity, root in answered.items() if log[identity]["status"] < 300}
    assert carried_out(office) - called == OF_OLDER_SDKS | BROKEN_IN_SDK | OF_NOTHING | REFUSED


def carried_out(office):
    """Returns the implemented operations. The service answers 501 to others, or 405 to writes that are not
    offered."""
    probed = {}
    for root, file in [("beta", "operations.beta.json"), ("v1.0", "operations.v1.json")]:
        for operation in json.loads((REPOSITORY / "contract" / file).read_text())["operations"]:
            # No resource has this id, so the call changes nothing.
            path = re.sub(r"\{[^}]*\}", "00000000-0000-4000-8000-000000000000", operation["path"])
            body = "{}" if operation["method"] in ("POST", "PATCH") else None
            reply = office.call(operation["method"], f"/{root}{path}", body)
            if reply.status not in (405, 501):
                probed[reply.request_id] = root
    routes = {line["request_id"]: line["route"] for line in office.requests()}
    return {(root, routes[identity]) for identity, root in probed.items()}
