//! The plans of all statements that the store runs, captured while each method runs once.
//!
//! No statement walks a table that grows or sorts its result: every list is a range scan on a key,
//! in the order of the key.

use std::sync::{Arc, Mutex};

use cloudpc_model::{
    ActionId, ActivityId, Actor, AgentSetting, AppId, ApplySchedule, AuditEntry, AuditResource, AuditVerb, Before,
    BlobAccessTier, BulkAction, BulkActionId, BulkCounts, BulkItemState, BulkRequest, CloudPcId, CloudPcStatus,
    Document, DocumentKey, DocumentReference, DocumentType, Event, EventKind, GalleryImage, GroupId, HealthCheck,
    HealthEvent, ImageId, ManagedDeviceId, Object, OsVersion, Params, Partner, PartnerId, PolicySettingTypes,
    PolicyTimezone, Power, Product, ReferenceStrength, RemoteSession, RequestKey, ResourceType, Review, Rollout,
    ServicePlan, ServicePlanId, SkuId, Snapshot, SnapshotId, SnapshotType, State, TenantId, Timestamp, UndoRecord,
    UserAccessLevel, UserAccountType, UserId,
};
use rusqlite::Connection;
use rusqlite::trace::{TraceEvent, TraceEventCodes};
use uuid::Uuid;

use super::Shared;
use super::session::Session;
use super::sqlite::SqliteSession;
use crate::changes::Feed;
use crate::cloud_pc_columns as column;
use crate::{
    AUDIT, ActionFilter, Advance, Application, BULK_ACTIONS, BulkItemChange, CLOUD_PCS, DEPLOYMENTS, DeploymentFilter,
    DesktopTicket, DocumentIndex, DocumentName, Entitlement, FrontlineActivation, GROUPS, Group, KeyRanges,
    LicenseHolder, ListCondition, ListOrder, ListPlan, ListPosition, ListTable, ListTop, ListValue, NewAction,
    PendingExport, PolicySchedule, PolicyValues, QueuedAssignment, Reader, Report, ReportType, SNAPSHOTS, Store,
    StoreError, Subscription, Tx, USERS, User, UserProfile, WorkerId, WriteMode, audit_columns, bulk_action_columns,
    deployment_columns, group_columns, snapshot_columns, user_columns,
};

const TENANT: TenantId = TenantId(Uuid::from_u128(1));
const PARTNER: PartnerId = PartnerId(Uuid::from_u128(2));
const ACTIVITY: ActivityId = ActivityId(Uuid::from_u128(3));
const GUID: Uuid = Uuid::from_u128(4);
const TARGET: &str = "machine";

#[test]
fn every_list_is_a_range_scan_on_a_key() {
    let plans = plans_of(|tx| {
        write_all(tx)?;
        read_all(tx)?;
        tx.reset()
    });
    insta::assert_snapshot!(plans);
    // Tenants and workers are few, and so are the elements of a bound list.
    for line in plans.lines().filter(|line| line.starts_with("  ")) {
        let walks = line.trim_start().starts_with("SCAN") && !line.contains("USING") && !line.contains("CONSTANT ROW");
        let is_short =
            line.ends_with("SCAN tenants") || line.ends_with("SCAN workers") || line.contains("SCAN json_each");
        assert!(!walks || is_short, "{line}");
        assert!(!line.contains("TEMP B-TREE"), "{line}");
    }
}

/// Lists with conditions: ranges of an index in its order.
#[test]
fn every_selection_is_a_range_scan_on_an_index() {
    let plans = list_plans(false);
    insta::assert_snapshot!(plans);
    assert!(!plans.contains("TEMP B-TREE"), "{plans}");
}

/// Lists in another order: what they sort is a window of a range of an index.
#[test]
fn every_sort_reads_a_range_of_an_index() {
    insta::assert_snapshot!(list_plans(true));
}

fn list_plans(sorted: bool) -> String {
    let mut plans = plans_of(|tx| select(tx, sorted));
    for columns in
        [BULK_ACTIONS.columns, CLOUD_PCS.columns, AUDIT.columns, SNAPSHOTS.columns, USERS.columns, DEPLOYMENTS.columns]
    {
        plans = plans.replace(&columns.split_whitespace().collect::<Vec<_>>().join(" "), "…");
    }
    // The keys that are counted, and those of the rows that are read, were found before.
    let walks = |line: &&str| line.starts_with("  SCAN ") && !["  SCAN some", "  SCAN found"].contains(line);
    assert_eq!(plans.lines().find(walks), None, "{plans}");
    plans
}

fn plans_of(work: impl FnOnce(&mut Tx<'_>) -> Result<(), StoreError>) -> String {
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), WriteMode::Inline).unwrap());
    let mut connection = Connection::open(directory.path().join("cloudpc.db")).unwrap();
    let statements = Arc::new(Mutex::new(Vec::new()));
    let captured = Arc::clone(&statements);
    let capture = move |event: TraceEvent<'_>| {
        if let TraceEvent::Stmt(statement, _) = event {
            let sql = statement.sql().split_whitespace().collect::<Vec<_>>().join(" ");
            let mut captured = captured.lock().unwrap();
            if !captured.contains(&sql) {
                captured.push(sql);
            }
        }
    };
    connection.trace_v2(TraceEventCodes::SQLITE_TRACE_STMT, Some(capture)).unwrap();
    let session = Session::Sqlite(SqliteSession::new(connection));
    let shared = Shared::default();
    let mut tx = Tx::new(&session, &shared);
    work(&mut tx).unwrap();
    drop(tx);

    let statements = statements.lock().unwrap().clone();
    let plans = statements.iter().filter_map(|sql| Some(format!("{sql}\n{}", plan(directory.path(), sql)?)));
    plans.collect::<Vec<_>>().join("\n")
}

/// Reads lists of each shape, from the start and from a position, both ways: those that are sorted,
/// or the others.
fn select(tx: &Tx<'_>, sorted: bool) -> Result<(), StoreError> {
    let text = |text: &str| ListValue::Text(text.into());
    let within = ListCondition::Within;
    let by_name = within(column::DISPLAY_NAME, KeyRanges::prefix("desk"));
    let by_user = within(column::USER_PRINCIPAL_NAME, KeyRanges::points([text("ada")]));
    let by_status = within(column::STATUS, KeyRanges::points([text("failed")]));
    let by_product = within(column::PRODUCT, KeyRanges::points([text("business")]));
    let contains = |text: &str| ListCondition::Contains(column::DISPLAY_NAME_FOLDED, text.into());
    let conditions = [
        ListCondition::TRUE,
        by_name.clone(),
        by_status.clone(),
        within(column::DISPLAY_NAME, KeyRanges::above(text("desk"))),
        ListCondition::all([by_status.clone(), by_name.clone()]),
        ListCondition::any([by_status, by_name]),
        ListCondition::all([by_user, by_product.clone()]),
        by_product,
        contains("sk"),
        contains("esk"),
        contains("desk"),
    ];
    let at = |key: ListValue, id: ListValue| ListPosition { access: 0, candidate: 0, key, others: Vec::new(), id };
    let guid = || ListValue::Guid(GUID);
    let by = |column, descending| ListOrder { column, descending };
    for condition in &conditions {
        for order in [None, Some(by(column::DISPLAY_NAME, false)), Some(by(column::DISPLAY_NAME, true))] {
            let plan = tx.list_plan(&CLOUD_PCS, TENANT, condition, order.as_slice(), None)?;
            let own_key = if plan.reads_by_key() { guid() } else { text("desk-1") };
            read(tx, sorted, &CLOUD_PCS, &plan, &at(own_key, guid()))?;
        }
    }
    let (up, down) = (by(column::DISPLAY_NAME, false), by(column::MODIFIED_AT, true));
    let within_status = within(column::STATUS, KeyRanges::above(text("failed")));
    for (condition, order) in
        [(ListCondition::TRUE, [up, down]), (ListCondition::TRUE, [down, up]), (within_status, [down, up])]
    {
        let plan = tx.list_plan(&CLOUD_PCS, TENANT, &condition, &order, None)?;
        let (name, time) = (text("desk-1"), ListValue::Integer(1));
        let (key, other) = if order[0] == up { (name, time) } else { (time, name) };
        read(tx, sorted, &CLOUD_PCS, &plan, &ListPosition { others: vec![other], ..at(key, guid()) })?;
    }
    let number = ListValue::Integer;
    let since = within(audit_columns::AT, KeyRanges::above(number(1)));
    for order in [None, Some(by(audit_columns::AT, true))] {
        let plan = tx.list_plan(&AUDIT, TENANT, &since, order.as_slice(), None)?;
        read(tx, sorted, &AUDIT, &plan, &at(number(3), number(2)))?;
    }
    let of_machine = within(snapshot_columns::CLOUD_PC_ID, KeyRanges::points([guid()]));
    for (condition, order, key) in [
        (ListCondition::TRUE, snapshot_columns::ID, text("snapshot")),
        (ListCondition::TRUE, snapshot_columns::CREATED_AT, number(1)),
        (of_machine, snapshot_columns::CLOUD_PC_ID, guid()),
    ] {
        let plan = tx.list_plan(&SNAPSHOTS, TENANT, &condition, &[by(order, false)], None)?;
        read(tx, sorted, &SNAPSHOTS, &plan, &at(key, text("snapshot")))?;
    }
    let plan =
        tx.list_plan(&BULK_ACTIONS, TENANT, &ListCondition::TRUE, &[by(bulk_action_columns::CREATED_AT, true)], None)?;
    read(tx, sorted, &BULK_ACTIONS, &plan, &at(number(1), guid()))?;
    for (order, key) in [
        (user_columns::USER_PRINCIPAL_NAME, text("ada@contoso.test")),
        (user_columns::DISPLAY_NAME, text("Ada")),
        (user_columns::MAIL, text("")),
    ] {
        let plan = tx.list_plan(&USERS, TENANT, &ListCondition::TRUE, &[by(order, false)], None)?;
        read(tx, sorted, &USERS, &plan, &at(key, guid()))?;
    }
    let plan = tx.list_plan(&GROUPS, TENANT, &ListCondition::TRUE, &[by(group_columns::DISPLAY_NAME, false)], None)?;
    read(tx, sorted, &GROUPS, &plan, &at(text("Pilots"), guid()))?;
    let of_partner = within(deployment_columns::PARTNER_ID, KeyRanges::points([ListValue::Guid(PARTNER.0)]));
    let failed = within(deployment_columns::STATE, KeyRanges::points([text("failed")]));
    for condition in [of_partner.clone(), ListCondition::all([of_partner, failed])] {
        let plan = tx.list_plan(&DEPLOYMENTS, TENANT, &condition, &[], None)?;
        read(tx, sorted, &DEPLOYMENTS, &plan, &at(ListValue::Guid(PARTNER.0), number(1)))?;
    }
    Ok(())
}

/// Reads and counts a list from its start and from a position.
fn read<T>(
    tx: &Tx<'_>,
    sorted: bool,
    table: &ListTable<T>,
    plan: &ListPlan,
    at: &ListPosition,
) -> Result<(), StoreError> {
    for after in [None, Some(at)].into_iter().filter(|_| plan.is_sorted() == sorted) {
        match sorted {
            true => {
                tx.list_top(table, TENANT, plan, (after, 9), &mut ListTop::default(), Ok::<_, StoreError>)?;
            }
            false => {
                tx.list(table, TENANT, plan, after, 9)?;
            }
        }
        tx.list_count(table, TENANT, plan, after)?;
    }
    Ok(())
}

fn plan(directory: &std::path::Path, sql: &str) -> Option<String> {
    if sql.starts_with("--") || sql.starts_with("DELETE FROM") && !sql.contains("WHERE") {
        return None;
    }
    let connection = Connection::open(directory.join("cloudpc.db")).unwrap();
    let mut statement = connection.prepare(&format!("EXPLAIN QUERY PLAN {sql}")).unwrap();
    let mut rows = statement.raw_query();
    let mut plan = String::new();
    while let Some(row) = rows.next().unwrap() {
        plan.push_str(&format!("  {}\n", row.get::<_, String>(3).unwrap()));
    }
    (!plan.is_empty()).then_some(plan)
}

fn write_all(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let new = NewAction {
        tenant_id: TENANT,
        target: TARGET.into(),
        params: Params::DeployAgent { partner_id: PARTNER, activity_id: ACTIVITY, agent: agent() },
        requested_by: Actor::system(),
        bulk_action_id: None,
        requested_at: Timestamp(1),
        deadline_at: Timestamp(9),
        tag_nonce: 1,
        idempotency_key: Some("key".into()),
    };
    let first = tx.action_insert(&new)?;
    tx.action_insert(&NewAction { idempotency_key: None, ..new.clone() })?;
    tx.action_insert(&NewAction { idempotency_key: None, params: Params::Reboot, ..new })?;
    let mut claimed = tx.action_claimable(Timestamp(2), 1)?.remove(0);
    let claim = Event { at: Timestamp(2), epoch: 1, kind: EventKind::Claimed };
    claimed.apply(&claim)?;
    let claimed = Advance { action: Arc::new(claimed), events: vec![claim], power: None };
    let worker = tx.worker_insert(Timestamp(3))?;
    tx.action_claim(&claimed, worker)?;
    let step = Event { at: Timestamp(2), epoch: 1, kind: EventKind::StepStarted { step: "step".into() } };
    let mut begun = claimed.action.as_ref().clone();
    begun.apply(&step)?;
    tx.action_advance(&Advance { action: Arc::new(begun), events: vec![step], power: Some(Power::Running) })?;
    tx.cloud_pc_power_put(TENANT, CloudPcId(GUID), Power::Running, Timestamp(4))?;
    tx.worker_renew(worker, Timestamp(4))?;
    tx.action_give_up(first, 1, worker, Timestamp(4))?;
    tx.action_release(first, 1, Timestamp(4))?;
    tx.action_reschedule(first, &Params::Reboot, Timestamp(4), Timestamp(9))?;
    tx.worker_expire(None, Timestamp(9))?;
    tx.worker_expire_all()?;
    tx.action_append(first, 1, Timestamp(5), EventKind::Finished { outcome: State::Done, failure: None })?;

    tx.deployment_page_insert(TENANT, PARTNER, first)?;
    let (pages, _) = tx.deployment_pages_ended(0, |_| Vec::new())?;
    tx.deployment_page_put(&pages[0], 1)?;
    tx.deployment_pages_forget(2)?;

    tx.change_epoch_ensure(1)?;
    let noted = std::mem::take(&mut tx.changes);
    tx.changes_flush(&noted, &Feed::default())?;
    tx.changes_trim(TENANT, Timestamp(1), 1, 1)?;

    tx.tenant_put(TENANT, "Contoso")?;
    tx.app_put(&Application {
        tenant_id: TENANT,
        id: AppId(GUID),
        name: String::new(),
        secret_hash: None,
        permissions: Vec::new(),
        enabled: true,
    })?;
    tx.user_put(&User {
        tenant_id: TENANT,
        id: UserId(GUID),
        user_principal_name: "ada@contoso.test".into(),
        display_name: String::new(),
        password_hash: None,
        roles: Vec::new(),
        permissions: Vec::new(),
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    })?;
    write_documents(tx)?;
    write_rollouts(tx)?;
    write_bulk_actions(tx)?;
    change_directory(tx)?;
    tx.service_plan_put(
        TENANT,
        &ServicePlan {
            id: ServicePlanId(GUID),
            display_name: String::new(),
            vcpu_count: 2,
            ram_gib: 8,
            storage_gib: 64,
            product: Product::Business,
            gpu: false,
        },
    )?;
    tx.gallery_image_put(
        TENANT,
        &GalleryImage {
            id: ImageId("image".into()),
            display_name: String::new(),
            size_gib: 64,
            os_version: OsVersion::Windows11,
            os_version_number: None,
        },
    )?;
    let partner = Partner {
        tenant_id: TENANT,
        id: PARTNER,
        partner_id: "partner".into(),
        enable_connection: true,
        agent: None,
        allowed_urls: Vec::new(),
        last_sync_at: None,
    };
    tx.partner_insert(&partner)?;
    tx.partner_update(&partner)?;
    tx.partner_delete(TENANT, PARTNER)?;
    let id = SnapshotId("snapshot".into());
    tx.snapshot_put(&Snapshot {
        tenant_id: TENANT,
        id: id.clone(),
        cloud_pc_id: CloudPcId(GUID),
        snapshot_type: SnapshotType::Manual,
        created_at: Timestamp(1),
        last_restored_at: None,
    })?;
    tx.snapshot_restored(TENANT, &id, Timestamp(2))?;
    tx.snapshot_delete(TENANT, &id)?;
    let record = UndoRecord {
        tenant_id: TENANT,
        cloud_pc_id: CloudPcId(GUID),
        action_id: first,
        tag_nonce: Some(1),
        before: Before {
            disk_aside: true,
            service_plan_id: ServicePlanId(GUID),
            image_id: ImageId("image".into()),
            os_version: OsVersion::Windows11,
            user_account_type: UserAccountType::StandardUser,
            provisioned_at: None,
            aad_device_id: GUID,
            status: CloudPcStatus::Provisioned,
            status_detail: None,
        },
        kept_until: Timestamp(9),
        size_bytes: None,
        dropping: false,
    };
    tx.undo_record_put(&record, Timestamp(1))?;
    tx.undo_record_claim(Timestamp(2), Timestamp(3), 1)?;
    tx.undo_records_measured(&[(first, 2)], 1, Timestamp(3))?;
    tx.undo_record_postpone(first, Timestamp(4))?;
    tx.undo_record_delete(first)?;
    let check = HealthCheck {
        tenant_id: TENANT,
        cloud_pc_id: CloudPcId(GUID),
        restarts: 0,
        restart_at: None,
        forget_at: None,
        enrol: false,
        due_at: Timestamp(1),
    };
    tx.health_check_schedule(check.cloud_pc_id, Timestamp(1))?;
    tx.health_check_schedule_enrolment(TENANT, check.cloud_pc_id, Timestamp(1))?;
    tx.health_check_claim(Timestamp(2), Timestamp(3), 1)?;
    tx.health_check_postpone(&check, Timestamp(4))?;
    tx.health_check_delete(TENANT, check.cloud_pc_id)?;
    let event = HealthEvent { id: 0, at: Timestamp(1), name: String::new(), well: true, message: String::new() };
    tx.health_event_insert(TENANT, check.cloud_pc_id, &event)?;
    let session = RemoteSession {
        id: 0,
        user_principal_name: String::new(),
        signed_in_at: Timestamp(1),
        signed_out_at: None,
        seen_at: Some(Timestamp(1)),
        round_trip_ms: None,
        bandwidth_kbps: None,
        sign_in_ms: None,
    };
    tx.remote_session_insert(TENANT, check.cloud_pc_id, &session)?;
    tx.remote_session_seen(TENANT, check.cloud_pc_id, 1, Timestamp(2))?;
    tx.remote_session_end(TENANT, check.cloud_pc_id, 1, Timestamp(2))?;
    tx.remote_sessions_end(TENANT, check.cloud_pc_id, Timestamp(2))?;
    tx.remote_sessions_end_watched()?;
    tx.review_put(&Review {
        tenant_id: TENANT,
        cloud_pc_id: CloudPcId(GUID),
        user_access: UserAccessLevel::Restricted,
        subscription_id: None,
        storage_account_id: None,
        access_tier: BlobAccessTier::Hot,
        started_at: Timestamp(1),
        restore_point_at: None,
    })?;
    tx.review_restore_point(TENANT, CloudPcId(GUID), Timestamp(2))?;
    tx.review_delete(TENANT, CloudPcId(GUID))?;
    tx.frontline_activation_put(&FrontlineActivation {
        tenant_id: TENANT,
        cloud_pc_id: CloudPcId(GUID),
        service_plan_id: ServicePlanId(GUID),
        since: Timestamp(1),
    })?;
    tx.frontline_activation_delete(TENANT, CloudPcId(GUID))?;
    tx.restore_point_schedule(TENANT, CloudPcId(GUID), Timestamp(1))?;
    tx.restore_point_unschedule(TENANT, CloudPcId(GUID))?;
    let export = PendingExport { tenant_id: TENANT, job_id: "job".into(), caller: String::new() };
    tx.export_insert(&export, Timestamp(1))?;
    tx.export_finish(TENANT, "job", Some(b"file"), Timestamp(2))?;
    tx.export_delete(TENANT, "job")?;
    tx.report_insert(&Report {
        id: 0,
        tenant_id: TENANT,
        partner_id: PARTNER,
        report_type: ReportType::ConfigureAgent,
        actor: Actor::system(),
        created_at: Timestamp(1),
        target: String::new(),
        cloud_pc_name: String::new(),
        agent_name: String::new(),
        activity_id: None,
        message: String::new(),
        agent: None,
    })?;
    let resource = AuditResource::new(ResourceType::Clock, "");
    let request_key = RequestKey { tenant_id: TENANT, caller: GUID, hash: [1; 32] };
    let entry = AuditEntry::new(TENANT, Timestamp(1), Actor::system(), AuditVerb::Pause, resource);
    tx.audit_insert(&entry.repeatable(Some(request_key)))?;
    tx.accepted_request_answer(&request_key, "{}")?;
    tx.accepted_request_count(TENANT)?;
    tx.accepted_request_delete(&request_key)?;
    tx.desktop_ticket_insert(&DesktopTicket {
        hash: [1; 32],
        tenant_id: TENANT,
        caller: String::new(),
        admission: String::new(),
        expires_at: Timestamp(9),
    })?;
    tx.desktop_ticket_open([1; 32], [2; 32], Timestamp(1), Timestamp(9))?;
    tx.desktop_key_take([2; 32])?;
    tx.desktop_tickets_expire(Timestamp(9))?;
    tx.setting_put("name", b"value")
}

fn write_rollouts(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let (policy, cloud_pc) = ("policy", CloudPcId(GUID));
    tx.rollout_put(&Rollout {
        tenant_id: TENANT,
        policy_id: policy.into(),
        reserve_percentage: 0,
        requested_by: Actor::system(),
        request_id: String::new(),
        started_at: Timestamp(1),
        finished_at: None,
        failed: false,
    })?;
    tx.rollout_add_outdated(TENANT, policy, &PolicyValues::default())?;
    tx.rollout_add(TENANT, policy, cloud_pc, PolicySettingTypes::ALL)?;
    let change = tx.action_insert(&NewAction {
        tenant_id: TENANT,
        target: cloud_pc.to_string(),
        params: Params::ApplyPolicy { policy_id: policy.into(), region: None, single_sign_on: None },
        requested_by: Actor::system(),
        bulk_action_id: None,
        requested_at: Timestamp(1),
        deadline_at: Timestamp(9),
        tag_nonce: 1,
        idempotency_key: None,
    })?;
    tx.rollout_begin(TENANT, policy, cloud_pc, change, &PolicyValues::default())?;
    tx.rollout_keep(TENANT, policy, cloud_pc)?;
    tx.action_append(change, 0, Timestamp(5), EventKind::Finished { outcome: State::Canceled, failure: None })?;
    tx.rollout_remove(TENANT, policy, cloud_pc)?;
    tx.rollout_rest(TENANT, policy, None)?;
    tx.rollout_delete(TENANT, policy)?;
    tx.policy_schedule_put(&PolicySchedule {
        tenant_id: TENANT,
        policy_id: policy.into(),
        schedule: ApplySchedule {
            cron: "0 0 0 20 * *".parse().unwrap(),
            timezone: PolicyTimezone::GMT,
            starts_at: None,
            ends_at: None,
            reserve_percentage: 0,
            is_force_user_logoff_enabled: false,
        },
        next_run_at: None,
    })?;
    tx.policy_schedule_delete(TENANT, policy)
}

fn write_bulk_actions(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let id = BulkActionId(GUID);
    let bulk = BulkAction {
        tenant_id: TENANT,
        id,
        display_name: "bulk".into(),
        request: BulkRequest::Restart,
        in_maintenance_window: false,
        requested_by: Actor::system(),
        request_id: String::new(),
        created_at: Timestamp(1),
        counts: BulkCounts { pending: 1, ..BulkCounts::default() },
    };
    tx.bulk_action_delete_oldest(TENANT)?;
    tx.bulk_action_insert(&bulk, &[GUID.to_string()])?;
    let begun = tx.action_insert(&NewAction {
        tenant_id: TENANT,
        target: "bulk".into(),
        params: Params::Reboot,
        requested_by: Actor::system(),
        bulk_action_id: Some(id),
        requested_at: Timestamp(1),
        deadline_at: Timestamp(9),
        tag_nonce: 2,
        idempotency_key: None,
    })?;
    let item = tx.bulk_action_items(TENANT, id, 0, 1)?.remove(0);
    let change =
        BulkItemChange { state: BulkItemState::InProgress, due_at: None, action_id: Some(begun), failure: None };
    tx.bulk_action_item_put(TENANT, id, &item, &change)?;
    tx.bulk_action_rest(TENANT, id, false)?;
    tx.bulk_action_wake(TENANT, id, Timestamp(2))?;
    tx.bulk_action_windows_changed(TENANT, Timestamp(2))?;
    tx.action_append(begun, 0, Timestamp(5), EventKind::Finished { outcome: State::Canceled, failure: None })?;
    Ok(())
}

fn change_directory(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let (group, user, sku, now) = (GroupId(GUID), UserId(GUID), SkuId(GUID), Timestamp(1));
    tx.entitlement_insert(&Entitlement {
        tenant_id: TENANT,
        cloud_pc_id: CloudPcId(GUID),
        user_id: Some(user),
        policy_id: String::new(),
        assignment_id: String::new(),
        service_plan_id: ServicePlanId(GUID),
        sku_id: Some(sku),
    })?;
    tx.entitlement_move(TENANT, CloudPcId(GUID), SkuId(GUID), ServicePlanId(GUID))?;
    tx.provisioning_queue_put_pending(TENANT, SkuId(GUID), Timestamp(1))?;
    tx.cloud_pc_delete(TENANT, CloudPcId(GUID))?;
    tx.group_put(&Group {
        tenant_id: TENANT,
        id: group,
        display_name: String::new(),
        description: None,
        mail_nickname: String::new(),
        mail_enabled: false,
        security_enabled: true,
        created_at: now,
    })?;
    let (service_plan_id, sku_part_number) = (ServicePlanId(GUID), String::new());
    let subscription = Subscription { tenant_id: TENANT, sku_id: sku, service_plan_id, sku_part_number, units: 1 };
    tx.subscription_put(&subscription, now)?;
    tx.group_member_insert(TENANT, group, user, now)?;
    for holder in [LicenseHolder::User(user), LicenseHolder::Group(group)] {
        tx.license_assign(TENANT, sku, holder, now)?.unwrap();
        tx.license_unassign(TENANT, sku, holder, now)?;
    }
    tx.provisioning_queue_remove(TENANT, user)?;
    let queued = QueuedAssignment { tenant_id: TENANT, policy_id: "policy".into(), assignment_id: "one".into() };
    tx.shared_assignment_put(TENANT, "policy", "one")?;
    tx.shared_assignment_put_all(TENANT)?;
    tx.shared_assignment_wait(&queued)?;
    tx.shared_assignment_put_waiting(TENANT)?;
    tx.shared_assignment_remove(&queued)?;
    tx.shared_assignment_clear()?;
    tx.license_assign(TENANT, sku, LicenseHolder::Group(group), now)?.unwrap();
    tx.user_delete(TENANT, UserId(GUID), now)?;
    tx.group_delete(TENANT, group, now)?;
    Ok(())
}

fn read_all(reader: &Reader<'_>) -> Result<(), StoreError> {
    let action = reader.action(TENANT, ActionId(2))?.unwrap();
    reader.action_events(action.id)?;
    for filter in [ActionFilter::All, ActionFilter::Remote] {
        reader.action_list(TENANT, TARGET, filter, None, 1)?;
        reader.action_count(TENANT, TARGET, filter)?;
    }
    let head = reader.change_head(TENANT)?;
    let _ = reader.changes_after(TENANT, head, 1)?;
    reader.action_open_remote(TENANT, TARGET)?;
    reader.action_waiting(TENANT, TARGET)?;
    reader.action_place(&action)?;
    reader.action_open_count()?;
    reader.action_next_due()?;
    reader.action_overdue(Timestamp(1), 1)?;
    reader.action_next_deadline()?;
    reader.worker_exists(WorkerId(1))?;
    reader.worker_next_expiry(None)?;
    for activity in [None, Some(ACTIVITY.to_string())] {
        for target in [None, Some(TARGET.to_owned())] {
            let filter = DeploymentFilter { activity: activity.clone(), target };
            reader.deployment_list(TENANT, PARTNER, &filter, ActionId(0), ActionId(9), 1)?;
            reader.deployment_count(TENANT, PARTNER, &filter)?;
        }
    }
    reader.deployment_latest(TENANT, PARTNER)?;
    reader.deployment_page(TENANT, PARTNER, ActionId(0), ActionId(9), 1)?;
    reader.activity_partner(TENANT, ACTIVITY)?;
    reader.tenant_list()?;
    reader.app(TENANT, AppId(GUID))?;
    reader.app_list(TENANT)?;
    reader.user(TENANT, UserId(GUID))?;
    reader.user_by_name(TENANT, "ada")?;
    reader.user_list(TENANT, None, 1)?;
    reader.user_count(TENANT)?;
    reader.group(TENANT, GroupId(GUID))?;
    reader.group_list(TENANT, None, 1)?;
    reader.group_count(TENANT)?;
    reader.group_member_list(TENANT, GroupId(GUID), None, 1)?;
    reader.group_member_count(TENANT, GroupId(GUID))?;
    reader.group_member_since(TENANT, GroupId(GUID), UserId(GUID))?;
    reader.user_groups(TENANT, UserId(GUID))?;
    reader.user_licenses(TENANT, UserId(GUID))?;
    reader.subscription_list(TENANT)?;
    reader.provisioning_queue_next(1)?;
    reader.provisioning_queue_turn(None, 1)?;
    reader.service_plan(TENANT, ServicePlanId(GUID))?;
    reader.service_plan_list(TENANT)?;
    reader.gallery_image(TENANT, &ImageId("image".into()))?;
    reader.gallery_image_list(TENANT)?;
    reader.image(TENANT, &ImageId("image".into()))?;
    reader.image_list(TENANT)?;
    let kind = DocumentType::CloudPcUserSettingAssignment;
    reader.document_children(TENANT, kind, &["parent"], 1)?;
    reader.document_assignments(TENANT, kind, &[GroupId(GUID)])?;
    reader.role_assignments_of(TENANT, &[GUID])?;
    reader.document_count(TENANT, kind, "parent")?;
    reader.document_holders(TENANT, kind, &["target"])?;
    reader.image_uses(TENANT, &ImageId("image".into()))?;
    reader.cloud_pc(TENANT, CloudPcId(GUID))?;
    reader.cloud_pc_device_name_exists(TENANT, "name")?;
    reader.cloud_pc_grace_ended(Timestamp(1), 1)?;
    reader.cloud_pc_grace_next_end()?;
    reader.entitlement_list(TENANT, UserId(GUID))?;
    reader.entitlement_cloud_pcs(TENANT, "policy", None, 1)?;
    reader.entitlement(TENANT, CloudPcId(GUID))?;
    reader.entitlement_count(TENANT, "policy")?;
    reader.shared_entitlement_list(TENANT)?;
    reader.shared_entitlement_exists(TENANT)?;
    reader.shared_entitlements_of(TENANT, "policy", "one")?;
    reader.shared_count(TENANT, ServicePlanId(GUID))?;
    reader.shared_cloud_pcs(TENANT, "policy", "one", UserId(GUID))?;
    reader.shared_assignment_next(None)?;
    reader.remote_session_is_open(TENANT, CloudPcId(GUID), "ada@contoso.test")?;
    reader.connection_names(TENANT)?;
    reader.grace_count(TENANT, SkuId(GUID))?;
    reader.bulk_action(TENANT, BulkActionId(GUID))?;
    reader.bulk_action_list(TENANT, None, 1)?;
    reader.bulk_action_count(TENANT)?;
    reader.bulk_action_open_count(TENANT)?;
    reader.bulk_action_items(TENANT, BulkActionId(GUID), 0, 1)?;
    reader.bulk_action_items_due(TENANT, BulkActionId(GUID), Timestamp(1), 1)?;
    reader.bulk_action_due(None, Timestamp(1))?;
    reader.bulk_action_next_due()?;
    reader.cloud_pc_ids_of_group(TENANT, GroupId(GUID), None, 1)?;
    reader.rollout(TENANT, "policy")?;
    reader.rollout_due(None)?;
    reader.rollout_waiting(TENANT, "policy", 1)?;
    reader.rollout_outdated(TENANT, "policy", 1)?;
    reader.rollout_running_count(TENANT, "policy")?;
    reader.rollout_is_outdated(TENANT, "policy", &PolicyValues::default())?;
    reader.policy_schedule(TENANT, "policy")?;
    reader.policy_schedule_due(Timestamp(1), 1)?;
    reader.policy_schedule_next_run()?;
    reader.seat_count(TENANT, ServicePlanId(GUID))?;
    reader.seat_count_of(TENANT, ServicePlanId(GUID), "policy", "assignment")?;
    reader.cloud_pc_by_managed_device(TENANT, ManagedDeviceId(GUID))?;
    reader.cloud_pc_list_by_managed_device(TENANT, None, 1)?;
    for user in [None, Some(UserId(GUID))] {
        reader.cloud_pc_list(TENANT, user, None, 1)?;
        reader.cloud_pc_count(TENANT, user)?;
    }
    reader.partner(TENANT, PARTNER)?;
    reader.partner_list(TENANT, None, 1)?;
    reader.partner_count(TENANT)?;
    reader.snapshot(TENANT, &SnapshotId("snapshot".into()))?;
    for cloud_pc in [None, Some(CloudPcId(GUID))] {
        reader.snapshot_list(TENANT, cloud_pc, None, 1)?;
        reader.snapshot_count(TENANT, cloud_pc)?;
    }
    reader.undo_record(TENANT, ActionId(1))?;
    reader.undo_record_of(TENANT, TARGET)?;
    reader.undo_record_next_due()?;
    reader.health_check_next_due()?;
    reader.health_check_due_at(TENANT, CloudPcId(GUID))?;
    reader.health_event_list(TENANT, CloudPcId(GUID), None, 1)?;
    reader.remote_session_list(TENANT, CloudPcId(GUID), None, 1)?;
    reader.remote_session_list_all(TENANT, None, 1)?;
    reader.review(TENANT, CloudPcId(GUID))?;
    reader.frontline_activation(TENANT, CloudPcId(GUID))?;
    reader.frontline_activation_count(TENANT, ServicePlanId(GUID))?;
    reader.restore_points_due(Timestamp(1), 10)?;
    reader.restore_point_next_due()?;
    reader.export_pending()?;
    reader.export_next_expiry()?;
    reader.exports_expired(Timestamp(1))?;
    reader.export_file(TENANT, "job")?;
    reader.action_list_remote(TENANT, None, 1)?;
    reader.report_list(TENANT, PARTNER, None, 1)?;
    reader.report_count(TENANT, PARTNER)?;
    reader.audit_list(TENANT, None, 1)?;
    reader.audit_count(TENANT)?;
    for caller in [None, Some("caller")] {
        reader.desktop_ticket_count(TENANT, caller)?;
    }
    reader.setting("name")?;
    Ok(())
}

fn agent() -> AgentSetting {
    AgentSetting {
        url: String::new(),
        sha256: String::new(),
        install_parameters: Vec::new(),
        auto_deploy: false,
        detection: None,
    }
}

fn write_documents(tx: &mut Tx<'_>) -> Result<(), StoreError> {
    let kind = DocumentType::CloudPcUserSetting;
    let document = Document {
        tenant_id: TENANT,
        key: DocumentKey::new(kind, "document"),
        revision: 1,
        body: Object::new(),
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: Timestamp(0),
        modified_at: Timestamp(0),
    };
    let index = DocumentIndex {
        names: vec![DocumentName { property: "displayName", name: "name".into() }],
        references: vec![DocumentReference {
            property: "imageId",
            target: DocumentKey::new(kind, "target"),
            strength: ReferenceStrength::Weak,
        }],
    };
    tx.document_insert(&document, &index)?.unwrap();
    tx.document_update(&document, &index)?.unwrap();
    tx.document_status_put(TENANT, &document.key, &Object::new())?;
    tx.document_delete(TENANT, &document.key, &[DocumentType::CloudPcUserSettingAssignment])?.unwrap();
    Ok(())
}
