"""The form of the facts about an entity, and values that several entities share."""

from dataclasses import dataclass, field

ENDPOINT = "/deviceManagement/virtualEndpoint"
GROUP = "0ff1ce00-0000-4000-8000-0000000000f1"
WINDOWS_11 = "microsoftwindowsdesktop_windows-ent-cpc_win11-24h2-ent-cpc"
WINDOWS_10 = "microsoftwindowsdesktop_windows-ent-cpc_win10-22h2-ent-cpc"
AZURE = "/subscriptions/0ac520ee-14c0-480f-b6c9-0a90c585ffff/resourceGroups/office"
NETWORK = f"{AZURE}/providers/Microsoft.Network/virtualNetworks/office"
# No resource has this id.
NOTHING = "00000000-0000-4000-8000-000000000000"
# What the service writes: different in each run, and ignored in bodies.
COMPUTED = {"@odata.context", "@odata.type", "id", "addedDateTime", "createdDateTime", "lastModifiedDateTime"}
# What can be created and not deleted: it is deleted by the path of its newer form.
KEPT = {f"{ENDPOINT}/externalPartnerSettings"}


@dataclass(frozen=True)
class Entity:
    """What a tool writes, and what it reads back. `<number>` in a text is replaced by a number of the test, and
    `<policy>` by the id of a policy whose users get single applications."""

    type: str
    # The properties without which there is no entity.
    required: dict
    # What an entity has of which only these were written.
    defaults: dict
    # Values other than the defaults, of every property that can be written later.
    changed: dict
    # Values other than the defaults, of properties that are written at creation only.
    immutable: dict = field(default_factory=dict)
    # What cannot be taken back by writing null.
    kept: dict = field(default_factory=dict)
    # What follows from `kept`.
    derived: dict = field(default_factory=dict)
    # What is written and never read.
    secret: dict = field(default_factory=dict)
    # What the engine writes later, by an action that begins with each write.
    engine: frozenset = frozenset()
    # What its parent has beyond what is required.
    parent: dict = field(default_factory=dict)
    # Whether only people write it, and applications do not.
    by_people: bool = False

    def needs_policy(self):
        return "<policy>" in self.required.values()


FRONTLINE_PLAN = {"servicePlanId": "0ff1ce00-0000-4000-8000-0000000000c5"}
# The number of licences of the plan that an assignment has, and its name.
ALLOTMENT = FRONTLINE_PLAN | {"allotmentDisplayName": "Desk", "allotmentLicensesCount": 2}


def join(region_name, region_group=None, geography=None):
    return {
        "domainJoinType": "azureADJoin",
        "geographicLocationType": geography,
        "onPremisesConnectionId": None,
        "regionGroup": region_group,
        "regionName": region_name,
        "type": "azureADJoin",
    }


def target(group=GROUP, **allotment):
    return {
        "@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget",
        "allotmentDisplayName": None,
        "allotmentLicensesCount": None,
        "groupId": group,
        "servicePlanId": None,
    } | allotment


def assignment(type, required=None, allotment=None, parent=None):
    """Returns the assignment of an entity to a group: the least of its target, and all of it."""
    least, whole = {"target": target(**required or {})}, {"target": target(**allotment or {})}
    return Entity(type=type, required=least, defaults={}, changed={}, kept=whole, parent=parent or {})


def permission(action, *excluded):
    """Returns a permission of a role definition."""
    return {"allowedResourceActions": [action], "condition": None, "excludedResourceActions": [*excluded]}


# Each entity that can be created, by the path of its collection.
