"""What the contract does not tell of the entities that the walk writes, beyond what tools know of them."""

from entities import ENTITIES
from entity import ENDPOINT, GROUP, Entity

# Entities of which there is one, which is only updated.
SINGLETONS = {
    f"{ENDPOINT}/organizationSettings": Entity(
        type="cloudPcOrganizationSettings",
        required={},
        defaults={
            "enableMEMAutoEnroll": False,
            "enableSingleSignOn": False,
            "osVersion": "windows11",
            "userAccountType": "standardUser",
            "windowsSettings": {"language": "en-US"},
        },
        changed={
            "enableMEMAutoEnroll": True,
            "enableSingleSignOn": True,
            "osVersion": "windows10",
            "userAccountType": "administrator",
            "windowsSettings": {"language": "de-DE"},
        },
    ),
    f"{ENDPOINT}/crossCloudGovernmentOrganizationMapping": Entity(
        type="cloudPcCrossCloudGovernmentOrganizationMapping",
        required={},
        defaults={"organizationIdsInUSGovCloud": []},
        changed={},
        kept={"organizationIdsInUSGovCloud": ["8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19"]},
    ),
}

# The older form of partners, which cannot be deleted.
OLDER = {
    f"{ENDPOINT}/externalPartnerSettings": Entity(
        type="cloudPcExternalPartnerSetting",
        required={"partnerId": "<number>", "enableConnection": False},
        defaults={"connectionStatus": "notAvailable", "lastSyncDateTime": None},
        changed={},
        kept={"enableConnection": True},
    )
}

WRITTEN = ENTITIES | SINGLETONS | OLDER

# Names of one value: a type, an older name and the newest one.
OLDER_NAMES = [
    ("cloudPcProvisioningPolicy", "windowsSettings", "windowsSetting"),
    ("microsoftManagedDesktop", "type", "managedType"),
    ("cloudPcDomainJoinConfiguration", "type", "domainJoinType"),
    ("cloudPcRestorePointSetting", "frequencyInHours", "frequencyType"),
    ("cloudPcCrossRegionDisasterRecoverySetting", "crossRegionDisasterRecoveryEnabled", "disasterRecoveryType"),
    ("cloudPcOnPremisesConnection", "type", "connectionType"),
]

# Entities that refuse the properties that the service sets; others ignore them.
REFUSES_OTHERS = {
    f"{ENDPOINT}/externalPartners",
    f"{ENDPOINT}/externalPartnerSettings",
    "/groups",
    "/users",
}
# Properties that have one value only; another one is refused.
OF_ONE_VALUE = {"condition", "directoryScopeIds", "isSystemRule", "resourceScopes"}
# Properties that are written at creation only, beside those of the facts of tools.
CREATED_ONLY = {
    "/deviceManagement/monitoring/alertRules": {"alertRuleTemplate"},
    "/users": {"passwordProfile"},
}
# Properties that the service sets unless they are sent at creation.
FILLED = {f"{ENDPOINT}/deviceImages": {"operatingSystem", "osBuildNumber"}}

# Properties that tools write at creation only, and that can be updated all the same.
UPDATED = {f"{ENDPOINT}/provisioningPolicies": {"userSettingsPersistenceConfiguration"}}

# Properties that people write and applications do not, by entity.
BY_PEOPLE = {f"{ENDPOINT}/provisioningPolicies": {"autopatch": {"autopatchGroupId": GROUP}}}

# What a property needs beside it at creation.
COMPANIONS = {
    "userExperienceType": {"provisioningType": "sharedByEntraGroup"},
}

# What null makes of properties that are required only sometimes, or that follow from others.
OPTIONAL = {
    f"{ENDPOINT}/onPremisesConnections": {"adDomainName": None, "adDomainUsername": None},
    f"{ENDPOINT}/provisioningPolicies": {"imageDisplayName": "Windows 10 Enterprise 22H2"},
    "/deviceManagement/monitoring/alertRules": {"threshold": None},
}

# Properties within complex values of which the walk writes the default.
WRITTEN_DEFAULTS = {("cloudPcConfiguration", "imageType"), ("cloudPcRegionGroupConfiguration", "regions")}
