//! Admission: the table of statuses and the actions that they allow.

use cloudpc_model::{Admission, CloudPcStatus, Denial, Kind, admit};
use std::fmt::Write;
use strum::IntoEnumIterator;

#[test]
fn statuses_and_their_allowed_actions() {
    let mut table = String::new();
    for status in CloudPcStatus::iter() {
        let taken: Vec<_> =
            Kind::iter().filter(|kind| admit(*kind, status, None) == Admission::Accept).map(Kind::name).collect();
        writeln!(table, "{:24} {}", <&str>::from(status), taken.join(" ")).unwrap();
    }
    insta::assert_snapshot!(table, @"
    notProvisioned           deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    provisioning             deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    provisioned              reprovision resize restore undo rename reboot powerOn powerOff createSnapshot troubleshoot changeUserAccountType setDeviceName placeUnderReview deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    provisionedWithWarnings  reprovision resize restore undo rename reboot powerOn powerOff createSnapshot troubleshoot changeUserAccountType setDeviceName placeUnderReview deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    inGracePeriod            rename reboot troubleshoot placeUnderReview deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    deprovisioning           deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    failed                   reprovision undo troubleshoot deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    resizing                 deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    restoring                deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    pendingProvision         deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    movingRegion             deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    resizePendingLicense     deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    modifyingSingleSignOn    deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    refreshPolicyConfiguration deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    preparing                deployAgent provision prepare deprovision applyPolicy takeRestorePoint dropRestorePoint importImage removeImage checkConnection
    ");
}

#[test]
fn denial_names_action_and_status() {
    let Admission::Deny(denial) = admit(Kind::Resize, CloudPcStatus::InGracePeriod, None) else { panic!("taken") };
    assert_eq!(denial, Denial::Status { status: CloudPcStatus::InGracePeriod, kind: Kind::Resize });
    insta::assert_snapshot!(denial, @"The action 'resize' is not allowed while the Cloud PC's status is 'inGracePeriod'.");
}
