//! `cloudPcUserSetting`: what users may do with their Cloud PCs, by group.

use cloudpc_model::{DocumentType, ReferenceStrength};

use super::rights;
use crate::documents::assign::ToGroups;
use crate::documents::kind::Const::{Bool, Int, Text};
use crate::documents::kind::Fact::{CharsMax, CreatedAt, Default, ModifiedAt, Old, Reference, Required};
use crate::documents::kind::{ASSIGNABLE, Const, DocumentKind, Rights, WRITABLE};

static RIGHTS: Rights = rights("UserSettings");

/// The older number of hours and the newest name of a restore point frequency. `default` is twelve
/// hours.
const HOURS: &[(Const, Const)] = &[
    (Int(4), Text("fourHours")),
    (Int(6), Text("sixHours")),
    (Int(12), Text("twelveHours")),
    (Int(16), Text("sixteenHours")),
    (Int(24), Text("twentyFourHours")),
    (Int(12), Text("default")),
];
const CROSS_REGION: &[(Const, Const)] =
    &[(Bool(true), Text("crossRegion")), (Bool(false), Text("notConfigured")), (Bool(true), Text("premium"))];

/// `cloudPcUserSetting`
pub(super) static USER_SETTING: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcUserSetting,
    "/deviceManagement/virtualEndpoint/userSettings",
    &RIGHTS,
    ASSIGNABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 200),
        Default("localAdminEnabled", Bool(false)),
        Default("resetEnabled", Bool(false)),
        Default("provisioningSourceType", Text("image")),
        Default("restorePointSetting/frequencyType", Text("default")),
        Default("restorePointSetting/userRestoreEnabled", Bool(false)),
        Old { old: "restorePointSetting/frequencyInHours", newest: "restorePointSetting/frequencyType", values: HOURS },
        Old {
            old: "crossRegionDisasterRecoverySetting/crossRegionDisasterRecoveryEnabled",
            newest: "crossRegionDisasterRecoverySetting/disasterRecoveryType",
            values: CROSS_REGION,
        },
        Reference(
            "crossRegionDisasterRecoverySetting/disasterRecoveryNetworkSetting/onPremisesConnectionId",
            DocumentType::CloudPcOnPremisesConnection,
            ReferenceStrength::Holds,
        ),
        CreatedAt("createdDateTime"),
        ModifiedAt("lastModifiedDateTime"),
    ],
)
.expands(&["assignments"]);

/// `cloudPcUserSettingAssignment`
pub(super) static ASSIGNMENT: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcUserSettingAssignment,
    "/deviceManagement/virtualEndpoint/userSettings/{cloudPcUserSetting-id}/assignments",
    &RIGHTS,
    WRITABLE,
    &[Required("target"), CreatedAt("createdDateTime")],
)
.within(&USER_SETTING)
.hooks(&ToGroups);
