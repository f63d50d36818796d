//! `cloudPcMaintenanceWindow`: when work that waits for a window may begin on the Cloud PCs of
//! groups. No SDK has it; its shape is what public clients send and read.

use cloudpc_graph::GraphError;
use cloudpc_model::{Document, DocumentType, MaintenanceSchedule};
use cloudpc_store::{Reader, Tx};
use serde::Deserialize as _;
use serde_json::Value;

use super::rights;
use crate::documents::assign::{ToGroups, refuse_assigned};
use crate::documents::kind::Const::Int;
use crate::documents::kind::Fact::{CharsMax, CreatedAt, Default, ModifiedAt, Range, Required};
use crate::documents::kind::{ASSIGNABLE, DocumentChange, DocumentKind, Hooks, Rights, WRITABLE};
use crate::pipeline::{Call, Problem};

static RIGHTS: Rights = rights("MaintenanceWindows");

/// Most maintenance windows of a tenant.
pub(crate) const MAINTENANCE_WINDOWS_MAX: u64 = 100;
/// Most schedules of a maintenance window.
pub(crate) const SCHEDULES_MAX: usize = 14;

/// `cloudPcMaintenanceWindow`
pub(super) static MAINTENANCE_WINDOW: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcMaintenanceWindow,
    "/deviceManagement/virtualEndpoint/maintenanceWindows",
    &RIGHTS,
    ASSIGNABLE,
    &[
        Required("displayName"),
        CharsMax("displayName", 120),
        CharsMax("description", 512),
        Default("notificationLeadTimeInMinutes", Int(60)),
        Range("notificationLeadTimeInMinutes", 0, 1_440),
        Required("schedules"),
        Required("schedules/scheduleType"),
        Required("schedules/startTime"),
        Required("schedules/endTime"),
        CreatedAt("createdDateTime"),
        ModifiedAt("lastModifiedDateTime"),
    ],
)
.at_most(MAINTENANCE_WINDOWS_MAX)
.expands(&["assignments"])
.hooks(&WindowHooks);

/// `cloudPcMaintenanceWindowAssignment`
pub(super) static ASSIGNMENT: DocumentKind = DocumentKind::many(
    DocumentType::CloudPcMaintenanceWindowAssignment,
    "/deviceManagement/virtualEndpoint/maintenanceWindows/{cloudPcMaintenanceWindow-id}/assignments",
    &RIGHTS,
    WRITABLE,
    &[Required("target")],
)
.within(&MAINTENANCE_WINDOW)
.hooks(&ToGroups);

struct WindowHooks;

impl Hooks for WindowHooks {
    fn check(&self, _reader: &Reader<'_>, change: &mut DocumentChange<'_>) -> Result<(), Problem> {
        let schedules = change.new.body.get("schedules").and_then(Value::as_array).map(Vec::as_slice);
        Ok(check_schedules(schedules.unwrap_or_default())?)
    }

    fn after(
        &self,
        tx: &mut Tx<'_>,
        call: &Call,
        _old: Option<&Document>,
        _new: Option<&Document>,
    ) -> Result<(), Problem> {
        Ok(tx.bulk_action_windows_changed(call.tenant(), call.at)?)
    }

    fn check_delete(&self, reader: &Reader<'_>, _call: &Call, window: &Document) -> Result<(), Problem> {
        refuse_assigned(reader, window, DocumentType::CloudPcMaintenanceWindowAssignment, 409)
    }
}

fn check_schedules(schedules: &[Value]) -> Result<(), GraphError> {
    let wrong = |message: String| Err(GraphError::bad_request(message).about("schedules"));
    if schedules.len() > SCHEDULES_MAX {
        let count = schedules.len();
        return wrong(format!("'schedules' has {count} elements; at most {SCHEDULES_MAX} are allowed. Send fewer."));
    }
    for (place, schedule) in schedules.iter().enumerate() {
        if let Err(error) = MaintenanceSchedule::deserialize(schedule) {
            return wrong(format!("schedules/{place}: {error}. An end before the start is on the next day."));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn schedules_are_limited_in_number_and_length() {
        let schedule = |end: &str| json!({"scheduleType": "weekend", "startTime": "23:00:00", "endTime": end});
        let most = vec![schedule("01:00:00"); SCHEDULES_MAX];
        assert_eq!(check_schedules(&most), Ok(()));
        let more = vec![schedule("01:00:00"); SCHEDULES_MAX + 1];
        assert!(check_schedules(&more).unwrap_err().message.contains("at most 14"));
        let short = check_schedules(&[schedule("01:00:00"), schedule("00:59:00")]).unwrap_err();
        assert!(short.message.starts_with("schedules/1: the window from 23:00:00 to 00:59:00 lasts 119"), "{short:?}");
    }
}
