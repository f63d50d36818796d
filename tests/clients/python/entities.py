"""What clients write to every entity that can be created, and what they read back."""

from directory_entities import DIRECTORY
from entity import (
    ALLOTMENT,
    AZURE,
    ENDPOINT,
    FRONTLINE_PLAN,
    GROUP,
    NETWORK,
    WINDOWS_10,
    WINDOWS_11,
    Entity,
    assignment,
    join,
)

POLICY = Entity(
    type="cloudPcProvisioningPolicy",
    required={
        "displayName": "Policy <number>",
        "imageId": WINDOWS_11,
        "domainJoinConfigurations": [join("automatic", "usWest")],
    },
    defaults={
        "alternateResourceUrl": None,
        "autopatch": None,
        "autopilotConfiguration": None,
        "cloudPcGroupDisplayName": None,
        "cloudPcNamingTemplate": None,
        "createdBy": "Administrator",
        "description": None,
        "enableSingleSignOn": False,
        "gracePeriodInHours": 168,
        "imageDisplayName": "Windows 11 Enterprise 24H2",
        "imageType": "gallery",
        "lastModifiedBy": "Administrator",
        "localAdminEnabled": False,
        "managedBy": "windows365",
        "microsoftManagedDesktop": {"managedType": "notManaged", "profile": None, "type": "notManaged"},
        "provisioningType": "dedicated",
        "scopeIds": ["0"],
        "snapshotResetMode": "notApplicable",
        "userExperienceType": "cloudPc",
        "userSettingsPersistenceConfiguration": None,
        "windowsSetting": {"locale": "en-US"},
        "windowsSettings": {"language": "en-US"},
    },
    changed={
        "autopilotConfiguration": {
            "applicationTimeoutInMinutes": 30,
            "devicePreparationProfileId": "0ff1ce00-0000-4000-8000-0000000000aa",
            "onFailureDeviceAccessDenied": True,
        },
        "cloudPcNamingTemplate": "CPC-%USERNAME:4%-%RAND:5%",
        "description": "Everything that a policy has",
        "enableSingleSignOn": True,
        "localAdminEnabled": True,
        "managedBy": "windows365,devBox",
        "microsoftManagedDesktop": {"managedType": "starterManaged", "profile": "Pilot", "type": "starterManaged"},
        "scopeIds": ["0", "7"],
        "snapshotResetMode": "enabled",
        "windowsSetting": {"locale": "de-DE"},
        "windowsSettings": {"language": "de-DE"},
    },
    kept={
        "displayName": "Renamed <number>",
        "imageId": WINDOWS_10,
        "imageDisplayName": "Ten",
        "imageType": "gallery",
        "domainJoinConfigurations": [join("westeurope"), join("automatic", "usEast", "usEast")],
    },
    immutable={
        "provisioningType": "sharedByEntraGroup",
        "userExperienceType": "cloudApp",
        "userSettingsPersistenceConfiguration": {
            "userSettingsPersistenceEnabled": True,
            "userSettingsPersistenceStorageSizeCategory": "eightGB",
        },
    },
)

SETTING = Entity(
    type="cloudPcUserSetting",
    required={"displayName": "Setting <number>"},
    defaults={
        "crossRegionDisasterRecoverySetting": None,
        "localAdminEnabled": False,
        "notificationSetting": None,
        "provisioningSourceType": "image",
        "resetEnabled": False,
        "restorePointSetting": {"frequencyInHours": 12, "frequencyType": "default", "userRestoreEnabled": False},
        "selfServiceEnabled": None,
    },
    changed={
        "crossRegionDisasterRecoverySetting": {
            "crossRegionDisasterRecoveryEnabled": True,
            "disasterRecoveryNetworkSetting": {
                "@odata.type": "#microsoft.graph.cloudPcDisasterRecoveryMicrosoftHostedNetworkSetting",
                "regionGroup": "usEast",
                "regionName": "automatic",
            },
            "disasterRecoveryType": "crossRegion",
            "maintainCrossRegionRestorePointEnabled": True,
            "userInitiatedDisasterRecoveryAllowed": True,
        },
        "localAdminEnabled": True,
        "notificationSetting": {"restartPromptsDisabled": True},
        "provisioningSourceType": "snapshot",
        "resetEnabled": True,
        "restorePointSetting": {"frequencyInHours": 4, "frequencyType": "fourHours", "userRestoreEnabled": True},
        "selfServiceEnabled": True,
    },
    kept={"displayName": "Renamed <number>"},
)


APP = Entity(
    type="cloudPcCloudApp",
    required={
        "displayName": "App <number:.20>",
        "provisioningPolicyId": "<policy>",
        "appDetail": {
            "@odata.type": "#microsoft.graph.cloudPcFilePathAppDetail",
            "commandLineArguments": None,
            "filePath": "C:/app.exe",
            "iconIndex": None,
            "iconPath": None,
        },
    },
    defaults={
        "actionFailedErrorCode": None,
        "actionFailedErrorMessage": None,
        "appStatus": "ready",
        "availableToUser": False,
        "description": None,
        "discoveredAppName": None,
        "lastPublishedDateTime": None,
        "scopeIds": ["0"],
    },
    changed={"description": "Writes", "scopeIds": ["0", "7"]},
    kept={
        "displayName": "Renamed <number:.20>",
        "appDetail": {
            "@odata.type": "#microsoft.graph.cloudPcFilePathAppDetail",
            "commandLineArguments": "/quiet",
            "filePath": "C:/other.exe",
            "iconIndex": 3,
            "iconPath": "C:/other.ico",
        },
    },
)

POOL = Entity(
    type="cloudPcAgentPool",
    required={
        "displayName": "Pool <number>",
        "cloudPcConfiguration": {
            "imageDisplayName": "Windows 11 Enterprise 24H2",
            "imageId": WINDOWS_11,
            "imageType": "gallery",
            "osLocale": None,
        },
    },
    defaults={
        "billingConfiguration": None,
        "capabilities": None,
        "description": None,
        "networkConfiguration": None,
        "poolUrl": None,
        "scalingPolicy": None,
        "sessionUsage": None,
    },
    changed={
        "billingConfiguration": {"billingPlanId": "plan", "billingType": "payAsYouGo"},
        "capabilities": {"enableSingleSignOn": True},
        "description": "For agents",
        "networkConfiguration": {
            "@odata.type": "#microsoft.graph.cloudPcMicrosoftHostedNetworkConfiguration",
            "geographicLocationType": "usWest",
            "regionGroups": [{"regionGroup": "usWest", "regions": ["automatic"]}],
        },
        "scalingPolicy": {"maximumCount": 900, "minimumCount": 0},
    },
    kept={
        "displayName": "Renamed <number>",
        "cloudPcConfiguration": {
            "imageDisplayName": "Ten",
            "imageId": WINDOWS_10,
            "imageType": "gallery",
            "osLocale": "de-DE",
        },
    },
)

WINDOW = Entity(
    type="cloudPcMaintenanceWindow",
    required={
        "displayName": "Window",
        "schedules": [{"scheduleType": "weekday", "startTime": "22:00:00.000", "endTime": "02:00:00.0000000"}],
    },
    defaults={"description": None, "notificationLeadTimeInMinutes": 60},
    changed={"description": "At night", "notificationLeadTimeInMinutes": 0},
    kept={
        "displayName": "Renamed",
        "schedules": [{"scheduleType": "weekend", "startTime": "00:00:00", "endTime": "00:00:00"}],
    },
)

BOOLEAN = {
    "@odata.type": "#microsoft.graph.cloudPcBooleanSetting",
    "dataType": "boolean",
    "isEnabled": True,
    "platform": "all",
    "settingDefinitionId": "W365.CloudPCConfiguration.AI.IsEnabled",
}

PROFILE = Entity(
    type="cloudPcSettingProfile",
    required={"displayName": "Profile"},
    defaults={
        "description": None,
        "isAssigned": False,
        "priorityMetaData": None,
        "profileType": "template",
        "roleScopeTagIds": ["0"],
        "settings": [],
        "templateId": None,
    },
    changed={
        "description": "Settings",
        "priorityMetaData": {"priority": 2},
        "profileType": "custom",
        "roleScopeTagIds": ["0", "7"],
        "templateId": "W365.WindowsApp",
    },
    kept={
        "displayName": "Renamed",
        "settings": [
            BOOLEAN,
            {
                "@odata.type": "#microsoft.graph.cloudPcListSetting",
                "children": [BOOLEAN | {"isEnabled": False}],
                "dataType": "list",
                "platform": "all",
                "settingDefinitionId": "W365.List",
            },
        ],
    },
)

RULE = Entity(
    type="alertRule",
    required={
        "displayName": "Rule",
        "alertRuleTemplate": "cloudPcProvisionScenario",
        "threshold": {"aggregation": "count", "operator": "greaterOrEqual", "target": 900},
    },
    defaults={
        "conditions": [],
        "description": None,
        "enabled": True,
        "isSystemRule": False,
        "notificationChannels": [],
        "severity": "unknown",
    },
    changed={"description": "Many fail", "enabled": False, "severity": "critical"},
    kept={
        "displayName": "Renamed",
        "conditions": [
            {
                "aggregation": "affectedCloudPcPercentage",
                "conditionCategory": "cloudPcInGracePeriod",
                "operator": "less",
                "relationshipType": "and",
                "thresholdValue": "50",
            }
        ],
        "notificationChannels": [
            {
                "notificationChannelType": "email",
                "notificationReceivers": [{"contactInformation": "admin@contoso.test", "locale": "en-US"}],
            }
        ],
        "threshold": {"aggregation": "percentage", "operator": "notEqual", "target": 7},
    },
)

ENTITIES = {
    f"{ENDPOINT}/provisioningPolicies": POLICY,
    f"{ENDPOINT}/provisioningPolicies/{{cloudPcProvisioningPolicy-id}}/assignments": assignment(
        "cloudPcProvisioningPolicyAssignment", FRONTLINE_PLAN, ALLOTMENT, {"provisioningType": "shared"}
    ),
    f"{ENDPOINT}/cloudApps": APP,
    f"{ENDPOINT}/cloudPcPools": POOL,
    f"{ENDPOINT}/cloudPcPools/{{cloudPcPool-id}}/assignments": Entity(
        type="cloudPcAgentPoolUserAssignment",
        required={"userPrincipalId": GROUP},
        defaults={},
        changed={},
        kept={"userPrincipalId": GROUP},
    ),
    f"{ENDPOINT}/maintenanceWindows": WINDOW,
    f"{ENDPOINT}/maintenanceWindows/{{cloudPcMaintenanceWindow-id}}/assignments": Entity(
        type="cloudPcMaintenanceWindowAssignment",
        required={"target": {"displayName": None, "groupId": GROUP}},
        defaults={},
        changed={},
        kept={"target": {"displayName": "Everyone", "groupId": GROUP}},
    ),
    f"{ENDPOINT}/settingProfiles": PROFILE,
    f"{ENDPOINT}/settingProfiles/{{cloudPcSettingProfile-id}}/assignments": Entity(
        type="cloudPcSettingProfileAssignment",
        required={"groupId": GROUP},
        defaults={"assignType": "group"},
        changed={},
        kept={"groupId": GROUP},
        engine=frozenset({"profileId"}),
    ),
    "/deviceManagement/monitoring/alertRules": RULE,
    f"{ENDPOINT}/userSettings": SETTING,
    f"{ENDPOINT}/userSettings/{{cloudPcUserSetting-id}}/assignments": assignment("cloudPcUserSettingAssignment"),
    f"{ENDPOINT}/galleryImages": Entity(
        type="cloudPcGalleryImage",
        required={
            "id": "contoso_debian_<number>",
            "displayName": "Debian",
            "sizeInGB": 2,
            "osVersionNumber": "10.0.19045",
        },
        defaults={
            "endDate": None,
            "expirationDate": None,
            "offer": "debian",
            "offerDisplayName": "debian",
            "offerName": "debian",
            "publisher": "contoso",
            "publisherName": "contoso",
            "recommendedSku": None,
            "sku": "<number>",
            "skuDisplayName": "<number>",
            "skuName": "<number>",
            "startDate": None,
            "status": "supported",
        },
        changed={"startDate": "2026-01-31", "endDate": "9998-01-31", "expirationDate": "9999-01-31"},
        kept={"displayName": "Debian 12", "sizeInGB": 4, "osVersionNumber": "10.0.22631"},
    ),
    f"{ENDPOINT}/deviceImages": Entity(
        type="cloudPcDeviceImage",
        required={
            "displayName": "Image <number>",
            "version": "0.0.1",
            "sourceImageResourceId": f"{AZURE}/providers/Microsoft.Compute/images/office",
        },
        defaults={"scopeIds": ["0"]},
        changed={"scopeIds": ["0", "7"]},
        kept={"displayName": "Renamed <number>", "version": "0.0.2"},
        engine=frozenset(
            {
                "errorCode",
                "expirationDate",
                "operatingSystem",
                "osBuildNumber",
                "osStatus",
                "osVersionNumber",
                "sizeInGB",
                "status",
                "statusDetails",
            }
        ),
    ),
    f"{ENDPOINT}/onPremisesConnections": Entity(
        type="cloudPcOnPremisesConnection",
        required={
            "displayName": "Connection <number>",
            "subscriptionId": AZURE.split("/")[2],
            "resourceGroupId": AZURE,
            "virtualNetworkId": NETWORK,
            "subnetId": f"{NETWORK}/subnets/default",
            "adDomainName": "corp.contoso.test",
            "adDomainUsername": "join@corp.contoso.test",
        },
        defaults={
            "alternateResourceUrl": None,
            "connectionType": "hybridAzureADJoin",
            "inUse": False,
            "inUseByCloudPc": False,
            "managedBy": "windows365",
            "organizationalUnit": None,
            "scopeIds": ["0"],
            "type": "hybridAzureADJoin",
        },
        changed={
            "connectionType": "azureADJoin",
            "managedBy": "windows365,devBox",
            "organizationalUnit": "OU=Office",
            "scopeIds": ["0", "7"],
            "type": "azureADJoin",
        },
        kept={"displayName": "Renamed <number>", "subnetId": f"{NETWORK}/subnets/other"},
        secret={"adDomainPassword": "a password of tests only"},
        engine=frozenset(
            {
                "adDomainPassword",
                "healthCheckPaused",
                "healthCheckStatus",
                "healthCheckStatusDetail",
                "healthCheckStatusDetails",
                "subnetPrivateIpDetail",
                "subscriptionName",
                "virtualNetworkLocation",
            }
        ),
        by_people=True,
    ),
    f"{ENDPOINT}/externalPartners": Entity(
        type="cloudPcExternalPartner",
        required={"partnerId": "<number>", "enableConnection": False},
        defaults={
            "agentSetting": None,
            "connectionStatus": "notAvailable",
            "lastSyncDateTime": None,
            "statusDetails": "The connection to the external partner is disabled",
        },
        changed={},
        kept={"enableConnection": True},
        derived={"connectionStatus": "available", "statusDetails": "The external partner is available"},
    ),
} | DIRECTORY
