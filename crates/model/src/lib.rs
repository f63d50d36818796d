//! The domain of cloudpc, as values and pure functions.
//!
//! It defines Cloud PCs, actions and their state machine, and decides whether a request is
//! admitted. This crate refuses to know how anything is stored, sent or run: no async runtime, no
//! SQL, no HTTP, no system clock.

mod action;
mod admit;
mod audit;
mod bulk;
mod catalog;
mod change;
mod cloud_pc;
mod document;
mod error;
mod health;
mod ids;
mod maintenance;
mod naming;
mod partner;
mod region;
mod retention;
mod review;
mod rng;
mod role;
mod rollout;
mod schedule;
mod session;
mod time;
mod undo;

pub use action::{
    Action, Actor, ActorKind, Event, EventKind, Failure, IllegalEvent, Kind, Params, State, StepRecord, StepState,
};
pub use admit::{Admission, Denial, admit};
pub use audit::{
    AUDIT_CHANGES_MAX, AUDIT_TEXT_CHARS_MAX, AuditChange, AuditEntry, AuditResource, AuditResult, AuditVerb,
    OperationType, RequestKey, ResourceType,
};
pub use bulk::{
    BulkAction, BulkCounts, BulkItem, BulkItemState, BulkRequest, BulkStatus, DiskEncryptionType, RestoreTimeRange,
};
pub use change::{Change, ChangeKind, EntityType};
pub use cloud_pc::{
    CloudPc, CloudPcStatus, FrontlineAccessState, GalleryImage, OsVersion, Power, Product, ProvisioningType,
    ServicePlan, Snapshot, SnapshotType, StatusDetail, UserAccountType, UserExperienceType,
};
pub use document::{Document, DocumentKey, DocumentReference, DocumentType, Object, ReferenceStrength};
pub use error::{Error, ErrorKind};
pub use health::{HealthCheck, HealthEvent};
pub use ids::{
    ActionId, ActivityId, AppId, BulkActionId, CloudPcId, GroupId, IMAGE_ID_BYTES_MAX, ImageId, ManagedDeviceId,
    PartnerId, ServicePlanId, SkuId, SnapshotId, TenantId, UserId,
};
pub use maintenance::{
    MAINTENANCE_WINDOW_MIN, MaintenanceDays, MaintenanceSchedule, MaintenanceWindow, MaintenanceWindowTooShort,
    next_maintenance_window, open_maintenance_window,
};
pub use naming::{NAMING_TEMPLATE_DEFAULT, NAMING_TEMPLATE_SHARED, NamingTemplate};
pub use partner::{AgentSetting, ConnectionStatus, Partner};
pub use region::{REGION_DEFAULT, REGIONS, Region};
pub use retention::{
    LONG_TERM_INTERVAL, LONG_TERM_SNAPSHOTS_MAX, SHORT_TERM_SNAPSHOTS_MAX, automatic_type, surplus_snapshots,
};
pub use review::{BlobAccessTier, Review, UserAccessLevel};
pub use rng::{Rng, SeededRng};
pub use role::{ADMINISTRATOR_ROLE, BUILT_IN_ROLES, BuiltInRole, READER_ROLE};
pub use rollout::{PolicySettingTypes, RESERVE_PERCENTAGE_MAX, Rollout, UnknownPolicySetting};
pub use schedule::{
    ApplySchedule, CRON_CHARS_MAX, CronExpression, CronExpressionError, LocalTime, PolicyTimezone, UnknownTimezone,
};
pub use session::RemoteSession;
pub use time::{Clock, Sleep, Timestamp};
pub use undo::{Before, UndoRecord};
