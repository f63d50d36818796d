//! The resource actions that role definitions can grant.

/// The namespace of all resource actions.
pub const NAMESPACE: &str = "Microsoft.CloudPC";

/// The verb of the actions that only read.
const READ: &str = "Read";

/// The resources, each with the verbs of its actions. `AlertRules`, `CloudPcPools`,
/// `ManagedLicenses`, `Webhooks` and `CloudPCs/ManageActions` are ours; the others are Microsoft's.
const RESOURCES: &[(&str, &[&str])] = &[
    ("ActionStatus", &[READ]),
    ("AdminHighlights", &["Operate"]),
    ("AlertRules", &[READ, "Create", "Delete", "Update"]),
    ("AuditData", &[READ]),
    ("BulkActions", &[READ, "Write"]),
    ("CloudApps", &[READ, "Publish", "Update", "Reset", "Unpublish"]),
    ("CloudPcPools", &[READ, "Assign", "Create", "Delete", "Update"]),
    (
        "CloudPCs",
        &[
            READ,
            "ApplyCurrentProvisioningPolicy",
            "ChangeUserAccountType",
            "CheckAgentStatus",
            "CreateSnapshot",
            "Deprovision",
            "DisasterRecoveryFailback",
            "DisasterRecoveryFailover",
            "EndGracePeriod",
            "GetCloudPcLaunchInfo",
            "ManageActions",
            "ModifyDiskEncryptionType",
            "PlaceUnderReview",
            "PowerOff",
            "PowerOn",
            "Provision",
            "Reboot",
            "ReinstallAgent",
            "Rename",
            "Reprovision",
            "Resize",
            "Restore",
            "RetrieveAgentStatus",
            "RetryPartnerAgentInstallation",
            "Start",
            "Stop",
            "Troubleshoot",
        ],
    ),
    ("CrossRegionDisasterRecovery", &[READ]),
    ("DeviceImages", &[READ, "Create", "Delete"]),
    ("DeviceRecommendation", &[READ]),
    ("ExternalPartnerSettings", &[READ, "Create", "Update"]),
    ("FrontLineServicePlans", &[READ]),
    ("FrontlineReports", &[READ]),
    ("InaccessibleReports", &[READ]),
    ("MaintenanceWindows", &[READ, "Assign", "Create", "Delete", "Update"]),
    ("ManagedLicenses", &[READ]),
    ("OnPremisesConnections", &[READ, "Create", "Delete", "RunHealthChecks", "Update", "UpdateAdDomainPassword"]),
    ("OrganizationSettings", &[READ, "Update"]),
    ("PerformanceReports", &[READ]),
    ("ProvisioningPolicies", &[READ, "Apply", "Assign", "Create", "Delete", "Update"]),
    ("RoleAssignments", &[READ, "Create", "Delete", "Update"]),
    ("Roles", &[READ, "Create", "Delete", "Update"]),
    ("ServicePlan", &[READ]),
    ("Settings", &[READ, "Assign", "Create", "Delete", "Update"]),
    ("Snapshot", &[READ, "Import", "PurgeImportedSnapshot", "Share"]),
    ("SupportedRegion", &[READ]),
    ("UserSettings", &[READ, "Assign", "Create", "Delete", "Update"]),
    ("Webhooks", &[READ, "Create", "Delete", "Update"]),
];

/// An operation on a resource that a role definition can grant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ResourceAction {
    /// Resource, such as `CloudPCs`.
    pub resource: &'static str,
    /// What is done with it, such as `Reprovision`.
    pub verb: &'static str,
}

impl ResourceAction {
    /// Returns the name that role definitions contain: `Microsoft.CloudPC/<resource>/<verb>`.
    pub fn name(self) -> String {
        format!("{NAMESPACE}/{}/{}", self.resource, self.verb)
    }

    /// Returns the id of the action in the catalogue: its name without slashes.
    pub fn id(self) -> String {
        self.name().replace('/', "-")
    }

    /// Whether the action changes nothing.
    pub fn is_read(self) -> bool {
        self.verb == READ
    }
}

/// Returns all resource actions.
pub fn actions() -> impl Iterator<Item = ResourceAction> {
    RESOURCES.iter().flat_map(|(resource, verbs)| verbs.iter().map(|verb| ResourceAction { resource, verb }))
}

/// Returns whether there is an action with this name. Names are case-sensitive.
pub fn contains(name: &str) -> bool {
    actions().any(|action| action.name() == name)
}
