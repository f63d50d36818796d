"""The same for entities of the directory: users, groups, and roles."""

from entity import GROUP, Entity, permission

DIRECTORY = {
    "/roleManagement/cloudPC/roleDefinitions": Entity(
        type="unifiedRoleDefinition",
        required={
            "displayName": "Role <number>",
            "rolePermissions": [permission("Microsoft.CloudPC/CloudPCs/Read")],
        },
        defaults={
            "allowedPrincipalTypes": None,
            "description": None,
            "isBuiltIn": False,
            "isEnabled": True,
            "isPrivileged": False,
            "resourceScopes": ["/"],
            "version": None,
        },
        engine=frozenset({"templateId"}),
        changed={
            "description": "Looks after the desks",
            "isEnabled": False,
            "templateId": "8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19",
            "version": "2",
        },
        kept={
            "displayName": "Renamed <number>",
            "rolePermissions": [
                permission("Microsoft.CloudPC/CloudPCs/Reboot", "Microsoft.CloudPC/CloudPCs/Rename"),
            ],
        },
    ),
    "/roleManagement/cloudPC/roleAssignments": Entity(
        type="unifiedRoleAssignmentMultiple",
        required={
            "principalIds": [GROUP],
            "roleDefinitionId": "ea8e2fb8-e909-44e6-bae7-56757cf6f347",
        },
        defaults={
            "appScopeIds": [],
            "condition": None,
            "description": None,
            "directoryScopeIds": ["/"],
            "displayName": None,
        },
        changed={"description": "The office reads", "displayName": "Renamed <number>"},
        kept={"appScopeIds": ["0", "7"]},
    ),
    "/groups": Entity(
        type="group",
        required={
            "displayName": "Group",
            "mailEnabled": False,
            "mailNickname": "group-<number>",
            "securityEnabled": True,
        },
        defaults={
            "assignedLicenses": [],
            "description": None,
            "deletedDateTime": None,
            "groupTypes": [],
            "isAssignableToRole": None,
            "mail": None,
            "membershipRule": None,
            "visibility": None,
        },
        changed={"description": "Everyone in the office"},
        kept={
            "displayName": "Renamed",
            "mailEnabled": True,
            "mailNickname": "renamed-<number>",
            "securityEnabled": False,
        },
    ),
    "/users": Entity(
        type="user",
        required={
            "accountEnabled": True,
            "displayName": "New hire",
            "mailNickname": "hire-<number>",
            "userPrincipalName": "hire-<number>@contoso.test",
        },
        defaults={
            "assignedLicenses": [],
            "businessPhones": [],
            "department": None,
            "givenName": None,
            "jobTitle": None,
            "mail": None,
            "mobilePhone": None,
            "officeLocation": None,
            "preferredLanguage": None,
            "surname": None,
            "usageLocation": None,
        },
        changed={
            "department": "Computing",
            "givenName": "Grace",
            "jobTitle": "Rear admiral",
            "mail": "grace@contoso.test",
            "surname": "Hopper",
            "usageLocation": "US",
        },
        kept={
            "accountEnabled": False,
            "displayName": "Grace Hopper",
            "mailNickname": "grace-<number>",
            "userPrincipalName": "grace-<number>@contoso.test",
        },
        secret={
            "passwordProfile": {
                "forceChangePasswordNextSignIn": False,
                "forceChangePasswordNextSignInWithMfa": False,
                "password": "correct horse battery",
            }
        },
    ),
}
