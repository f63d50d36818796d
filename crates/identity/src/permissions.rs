//! The names of the permissions that tokens carry, and which permission includes which.

/// All permissions of this service.
pub const PERMISSIONS: [&str; 23] = [
    "CloudPC.Read.All",
    "CloudPC.ReadWrite.All",
    "Cloudpc.Administer.All",
    "Cloudpc.Simulate.All",
    "DeviceManagementManagedDevices.Read.All",
    "DeviceManagementManagedDevices.ReadWrite.All",
    "DeviceManagementRBAC.Read.All",
    "DeviceManagementRBAC.ReadWrite.All",
    "Directory.Read.All",
    "Directory.ReadWrite.All",
    "Group.Read.All",
    "Group.ReadWrite.All",
    "GroupMember.Read.All",
    "GroupMember.ReadWrite.All",
    "LicenseAssignment.ReadWrite.All",
    "Organization.Read.All",
    "RoleManagement.Read.All",
    "RoleManagement.Read.CloudPC",
    "RoleManagement.ReadWrite.CloudPC",
    SIGNED_IN_USER,
    "User.Read.All",
    "User.ReadBasic.All",
    "User.ReadWrite.All",
];

/// Lets a signed-in user read their own account. Tokens of applications never have it.
pub const SIGNED_IN_USER: &str = "User.Read";
/// Lets a caller read the names and addresses of all users, and nothing else of them.
pub const BASIC_USERS: &str = "User.ReadBasic.All";

/// Each read permission, with the write permission that includes it.
const INCLUDED: [(&str, &str); 8] = [
    ("CloudPC.Read.All", "CloudPC.ReadWrite.All"),
    ("DeviceManagementManagedDevices.Read.All", "DeviceManagementManagedDevices.ReadWrite.All"),
    ("DeviceManagementRBAC.Read.All", "DeviceManagementRBAC.ReadWrite.All"),
    ("RoleManagement.Read.CloudPC", "RoleManagement.ReadWrite.CloudPC"),
    ("User.Read.All", "User.ReadWrite.All"),
    ("Group.Read.All", "Group.ReadWrite.All"),
    ("GroupMember.Read.All", "GroupMember.ReadWrite.All"),
    ("Directory.Read.All", "Directory.ReadWrite.All"),
];

/// Returns whether the permissions `held` include `wanted`. A write permission includes the read
/// permission for the same resources.
pub fn includes<'a>(held: impl IntoIterator<Item = &'a String>, wanted: &str) -> bool {
    let wider = INCLUDED.iter().find(|(included, _)| *included == wanted).map(|(_, wider)| *wider);
    held.into_iter().any(|held| held == wanted || Some(held.as_str()) == wider)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn write_permission_includes_read_of_the_same_resources_only() {
        let includes = |held: &str, wanted| includes(&[held.to_owned()], wanted);
        assert!(includes("CloudPC.ReadWrite.All", "CloudPC.Read.All"));
        assert!(includes("DeviceManagementManagedDevices.ReadWrite.All", "DeviceManagementManagedDevices.Read.All"));
        for held in PERMISSIONS {
            for wanted in PERMISSIONS {
                let expected = held == wanted || held.replace("ReadWrite", "Read") == wanted;
                assert_eq!(includes(held, wanted), expected, "{held} {wanted}");
            }
        }
        assert!(!includes("Mail.ReadWrite", "Mail.Read"), "a permission of another service");
    }
}
