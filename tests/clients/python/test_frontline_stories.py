"""Stories of Frontline Cloud PCs, told through clients alone: a change of shifts with fewer licences than people, and a
group whose members take turns on the Cloud PCs that it shares."""

import msgraph_beta
import pytest
from msgraph_beta.generated.models.o_data_errors.o_data_error import ODataError

from graph import client, get
from people import Ready, device_code_token, public_client
from service import SCENARIOS, Service

ENDPOINT = "/beta/deviceManagement/virtualEndpoint"
IMAGE = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"
TARGET = "#microsoft.graph.cloudPcManagementGroupAssignmentTarget"
PEOPLE = ["ada", "alan"]


@pytest.fixture
def plant(tmp_path):
    """A service of its own with two Frontline licences, on which Alan may use his own Cloud PCs."""
    alan = 'password = "tests-only-alan"\npermissions = ["CloudPC.Read.All"'
    stated = (SCENARIOS / "office.toml").read_text()
    assert alan in stated
    scenario = tmp_path / "plant.toml"
    scenario.write_text(stated.replace(alan, alan + ', "CloudPC.ReadWrite.All"'))
    with Service(scenario) as service:
        yield service


def policy(plant, name, provisioning_type, **target):
    """Creates a policy, assigns it to a new group of all people, and returns its path and the group."""
    body = {"displayName": name, "mailEnabled": False, "mailNickname": name, "securityEnabled": True}
    group = plant.call("POST", "/beta/groups", body).json()["id"]
    for person in PEOPLE:
        user = plant.call("GET", f"/beta/users/{person}@contoso.test").json()["id"]
        reference = {"@odata.id": f"https://graph.microsoft.com/v1.0/directoryObjects/{user}"}
        assert plant.call("POST", f"/beta/groups/{group}/members/$ref", reference).status == 204
    body = {
        "displayName": name,
        "imageId": IMAGE,
        "domainJoinConfigurations": [{"domainJoinType": "azureADJoin", "regionName": "westus3"}],
        "provisioningType": provisioning_type,
        "snapshotResetMode": "enabled",
    }
    path = (
        f"{ENDPOINT}/provisioningPolicies/" + plant.call("POST", f"{ENDPOINT}/provisioningPolicies", body).json()["id"]
    )
    assign(plant, path, group, **target)
    return path, group


def assign(plant, path, group, **target):
    plan = plant.rows(f"{ENDPOINT}/frontLineServicePlans")[0]["id"]
    target = {"@odata.type": TARGET, "groupId": group, "servicePlanId": plan, **target}
    assert plant.call("POST", f"{path}/assign", {"assignments": [{"target": target}]}).status == 204
    plant.rest()


def cloud_pcs(plant, path):
    name = path.rsplit("/", 1)[1]
    return plant.rows(f"{ENDPOINT}/cloudPCs?$filter=provisioningPolicyId%20eq%20'{name}'")


def licences(plant):
    """Returns how many licences there are and are in use, which the plans and the report agree on."""
    (plan,) = plant.rows(f"{ENDPOINT}/frontLineServicePlans")
    body = {"reportName": "licenseUsageRealTimeReport"}
    report = plant.call("POST", f"{ENDPOINT}/reports/retrieveFrontlineReports", body).json()
    columns = [column["Column"] for column in report["Schema"]]
    row = dict(zip(columns, report["Values"][0], strict=True))
    assert (row["LicensesCount"], row["UsedLicensesCount"]) == (plan["totalCount"], plan["usedCount"])
    return plan["totalCount"], plan["usedCount"]


class Person:
    """Somebody who has signed in and uses their own Cloud PCs."""

    def __init__(self, graph, name):
        self.name = f"{name}@contoso.test"
        self.cloud_pcs = graph.me().cloud_p_cs

    async def own(self, kind):
        found = (await get(self.cloud_pcs)).value
        return [row for row in found if row.provisioning_type and row.provisioning_type.value == kind]

    def one(self, row):
        return self.cloud_pcs.by_cloud_p_c_id(row.id)


@pytest.fixture
async def people(plant, monkeypatch):
    application = public_client(plant, monkeypatch)
    clients, found = [], {}
    for name in PEOPLE:
        user = f"{name}@contoso.test"
        token = device_code_token(plant, application, user, f"tests-only-{name}")
        opened = client(msgraph_beta, "beta", plant, Ready(token["access_token"]))
        clients.append(opened)
        found[name] = Person(await opened.__aenter__(), name)
    yield found
    for opened in clients:
        await opened.__aexit__(None, None, None)


def connect(plant, row, person):
    stated = {"cloudPcId": row.id, "userPrincipalName": person.name}
    return plant.call("POST", "/_cloudpc/sessions", stated).status


def sign_out(plant, row):
    assert plant.call("POST", "/_cloudpc/sessions/end", {"cloudPcId": row.id}).status == 204


async def test_a_change_of_shifts_with_fewer_licences_than_people(plant, people):
    # One licence is for three Cloud PCs, so both people have one, and one of them works at a time.
    path, _ = policy(plant, "Shift", "sharedByUser", allotmentLicensesCount=1)
    assert {row["userPrincipalName"] for row in cloud_pcs(plant, path)} == {"ada@contoso.test", "alan@contoso.test"}
    (plan,) = plant.rows(f"{ENDPOINT}/frontLineServicePlans")
    assert plan["allotmentLicensesCount"] == 1
    (managed,) = plant.rows(f"{ENDPOINT}/managedLicenses")
    assert (managed["licensesCount"], managed["assignedCount"]) == (2, 1)
    shared, _ = policy(plant, "Kiosk", "sharedByEntraGroup", allotmentLicensesCount=1)
    assert licences(plant) == (2, 1), "the kiosk uses a licence at all times"

    early, late = people["alan"], people["ada"]
    (first,), (second,) = await early.own("sharedByUser"), await late.own("sharedByUser")
    await early.one(first).start.post()
    plant.rest()
    assert connect(plant, first, early) == 201
    assert licences(plant) == (2, 2)

    with pytest.raises(ODataError) as caught:
        await late.one(second).start.post()
    assert (caught.value.response_status_code, caught.value.error.code) == (409, "noLicensesAvailable")
    with pytest.raises(ODataError) as caught:
        await late.one(second).retrieve_cloud_pc_launch_detail.get()
    assert caught.value.error.code == "frontlineNotStarted"

    # The early shift signs out, which releases the licence, and the late one begins.
    sign_out(plant, first)
    assert licences(plant) == (2, 1)
    await late.one(second).start.post()
    plant.rest()
    assert licences(plant) == (2, 2)
    assert (await late.one(second).retrieve_cloud_pc_launch_detail.get()).cloud_pc_launch_url
    with pytest.raises(ODataError) as caught:
        await early.one(first).start.post()
    assert caught.value.error.code == "noLicensesAvailable"
    await late.one(second).stop.post()
    plant.rest()
    assert licences(plant) == (2, 1)
    state = plant.call("GET", f"{ENDPOINT}/cloudPCs/{second.id}/getFrontlineCloudPcAccessState").json()["value"]
    assert state == "standbyMode"
    sessions = plant.call(
        "POST", f"{ENDPOINT}/reports/getRawRemoteConnectionReports", {"filter": f"CloudPcId eq '{first.id}'"}
    ).json()
    assert sessions["TotalRowCount"] == 1


async def test_a_group_takes_turns_on_the_cloud_pcs_that_it_shares(plant, people):
    path, group = policy(plant, "Kiosk", "sharedByEntraGroup", allotmentLicensesCount=1)
    (kiosk,) = cloud_pcs(plant, path)
    assert (kiosk["status"], kiosk["userPrincipalName"], kiosk["sharedDeviceDetail"]) == ("provisioned", None, None)
    alan, ada = people["alan"], people["ada"]
    for person in people.values():
        assert [row.id for row in await person.own("sharedByEntraGroup")] == [kiosk["id"]]

    (row,) = await alan.own("sharedByEntraGroup")
    assert (await alan.one(row).retrieve_cloud_pc_launch_detail.get()).cloud_pc_launch_url
    assert connect(plant, row, alan) == 201
    shown = (await alan.own("sharedByEntraGroup"))[0].shared_device_detail
    assert shown.assigned_to_user_principal_name == alan.name
    assert shown.session_start_date_time
    assert await ada.own("sharedByEntraGroup") == [], "all are in use"
    assert connect(plant, row, ada) == 409

    # After the session, the next user gets a new disk.
    sign_out(plant, row)
    one = f"{ENDPOINT}/cloudPCs/{row.id}"
    assert plant.call("GET", one).json()["status"] == "preparing"
    assert await ada.own("sharedByEntraGroup") == [], "it is not ready"
    plant.rest()
    kinds = [action["kind"] for action in plant.rows(f"{one}/cloudpc.actions")]
    assert kinds == ["prepare", "prepare", "provision"]
    assert connect(plant, (await ada.own("sharedByEntraGroup"))[0], ada) == 201

    # A second licence brings a second Cloud PC; without the assignment both enter grace.
    assign(plant, path, group, allotmentLicensesCount=2)
    assert len(cloud_pcs(plant, path)) == 2
    (other,) = await alan.own("sharedByEntraGroup")
    assert other.id != row.id
    assert licences(plant) == (2, 2)
    assert plant.call("POST", f"{path}/assign", {"assignments": []}).status == 204
    plant.rest()
    assert {row["status"] for row in cloud_pcs(plant, path)} == {"inGracePeriod"}
    assert await alan.own("sharedByEntraGroup") == []
    assert [row.id for row in await ada.own("sharedByEntraGroup")] == [row.id], "her session goes on"
    for cloud_pc in cloud_pcs(plant, path):
        assert plant.call("POST", f"{ENDPOINT}/cloudPCs/{cloud_pc['id']}/endGracePeriod").status == 204
    plant.rest()
    assert licences(plant) == (2, 0)
