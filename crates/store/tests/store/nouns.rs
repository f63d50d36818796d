//! Everything else that is kept: put in, read back, listed by key, kept apart by tenant.

use cloudpc_model::{
    Actor, AppId, AuditEntry, AuditResource, AuditResult, AuditVerb, CloudPc, CloudPcId, CloudPcStatus, GalleryImage,
    ImageId, ManagedDeviceId, OsVersion, Partner, PartnerId, Power, Product, ResourceType, ServicePlan, ServicePlanId,
    Snapshot, SnapshotId, SnapshotType, StatusDetail, TenantId, Timestamp, UserAccountType, UserId,
};
use cloudpc_store::{Application, Entitlement, Report, ReportType, StoreError, User, UserProfile};
use uuid::Uuid;

use crate::fixture::{ACTIVITY, Book, MACHINE, OTHER_TENANT, PARTNER, TENANT, agent, cloud_pc, deploy};

#[test]
fn cloud_pcs_are_changed_and_listed_in_the_order_of_either_id() {
    let book = Book::new();
    // The managed devices are numbered the other way round.
    let machines: Vec<_> = (1..=5).map(|number| cloud_pc(TENANT, number, 100 - number)).collect();
    for machine in [2, 0, 4, 1, 3].map(|number| machines[number].clone()) {
        book.write(move |tx| tx.cloud_pc_insert(&machine)).unwrap();
    }
    let stranger = cloud_pc(OTHER_TENANT, 6, 94);
    book.write(move |tx| tx.cloud_pc_insert(&stranger)).unwrap();
    let ada = machines[0].user_id.unwrap();
    let (by_id, rest, of_ada, by_device, counts) = book.read(move |reader| {
        Ok((
            reader.cloud_pc_list(TENANT, None, None, 3)?,
            reader.cloud_pc_list(TENANT, None, Some(CloudPcId(Uuid::from_u128(3))), 3)?,
            reader.cloud_pc_list(TENANT, Some(ada), Some(CloudPcId(Uuid::from_u128(1))), 9)?,
            reader.cloud_pc_list_by_managed_device(TENANT, Some(ManagedDeviceId(Uuid::from_u128(96))), 9)?,
            (reader.cloud_pc_count(TENANT, None)?, reader.cloud_pc_count(TENANT, Some(ada))?),
        ))
    });
    assert_eq!(by_id, machines[..3]);
    assert_eq!(rest, machines[3..]);
    assert_eq!(of_ada, [machines[2].clone(), machines[4].clone()]);
    assert_eq!(by_device, [machines[2].clone(), machines[1].clone(), machines[0].clone()]);
    assert_eq!(counts, (5, 3));

    let changed = CloudPc {
        aad_device_id: Uuid::from_u128(99),
        display_name: "Renamed".into(),
        managed_device_name: "CPC-other".into(),
        user_principal_name: "grace@contoso.test".into(),
        service_plan_id: ServicePlanId(Uuid::from_u128(8)),
        image_id: ImageId("other".into()),
        provisioning_policy_id: "policy".into(),
        provisioning_policy_name: "Policy".into(),
        region: "northeurope".into(),
        single_sign_on: true,
        product: Product::Frontline,
        status: CloudPcStatus::ProvisionedWithWarnings,
        status_before: Some(CloudPcStatus::Failed),
        status_detail: Some(StatusDetail { code: "x".into(), message: "y".into() }),
        power_intended: Power::PoweredOff,
        power_observed: Power::Unknown,
        os_version: OsVersion::Windows10,
        user_account_type: UserAccountType::Administrator,
        provisioned_at: Some(Timestamp(5)),
        grace_ends_at: Some(Timestamp(6)),
        modified_at: Timestamp(7),
        ..machines[1].clone()
    };
    let update = changed.clone();
    book.write(move |tx| tx.cloud_pc_update(&update)).unwrap();
    let (id, device) = (changed.id, changed.managed_device_id);
    let found = book.read(move |reader| {
        let by_device = reader.cloud_pc_by_managed_device(TENANT, device)?;
        Ok((reader.cloud_pc(TENANT, id)?, by_device, reader.cloud_pc(OTHER_TENANT, id)?))
    });
    assert_eq!(found, (Some(changed.clone()), Some(changed), None));
}

#[test]
fn the_id_of_a_cloud_pc_is_unique_over_all_tenants() {
    let book = Book::new();
    book.write(|tx| tx.cloud_pc_insert(&cloud_pc(TENANT, 1, 10))).unwrap();
    let error = book.write(|tx| tx.cloud_pc_insert(&cloud_pc(OTHER_TENANT, 1, 11))).unwrap_err();
    assert_eq!(error.to_string(), "a Cloud PC with this id or managed device exists already");
}

#[test]
fn partners_come_change_and_go() {
    let book = Book::new();
    let partner = |number: u128, partner_id: &str| Partner {
        tenant_id: TENANT,
        id: PartnerId(Uuid::from_u128(number)),
        partner_id: partner_id.into(),
        enable_connection: true,
        agent: None,
        allowed_urls: Vec::new(),
        last_sync_at: None,
    };
    let (first, second) = (partner(0x50, "one"), partner(0x51, "two"));
    for partner in [second.clone(), first.clone(), Partner { tenant_id: OTHER_TENANT, ..first.clone() }] {
        book.write(move |tx| tx.partner_insert(&partner)).unwrap();
    }
    for partner_id in ["one", "ONE"] {
        let twin = partner(0x52, partner_id);
        let error = book.write(move |tx| tx.partner_insert(&twin)).unwrap_err();
        assert!(matches!(error, StoreError::Exists("a partner with this partnerId")), "{partner_id}: {error}");
    }
    assert_eq!(book.read(|reader| reader.partner_list(TENANT, None, 9)), [first.clone(), second.clone()]);
    assert_eq!(book.read(|reader| reader.partner_list(TENANT, Some(PARTNER), 9)), [second]);

    let changed = Partner {
        enable_connection: false,
        agent: Some(agent()),
        allowed_urls: vec!["https://partner.test/".into()],
        last_sync_at: Some(Timestamp(3)),
        ..first
    };
    let update = changed.clone();
    book.write(move |tx| tx.partner_update(&update)).unwrap();
    assert_eq!(book.read(|reader| reader.partner(TENANT, PARTNER)), Some(changed));
    book.write(|tx| tx.partner_delete(TENANT, PARTNER)).unwrap();
    assert_eq!(book.read(|reader| reader.partner(TENANT, PARTNER)), None);
    assert_eq!(book.read(|reader| reader.partner_count(TENANT)), 1);
    assert_eq!(book.read(|reader| reader.partner_count(OTHER_TENANT)), 1);
}

#[test]
fn reports_are_listed_newest_first_and_numbered_within_their_partner() {
    let book = Book::new();
    let report = |tenant_id, partner: u128, target: &str| Report {
        id: 0,
        tenant_id,
        partner_id: PartnerId(Uuid::from_u128(partner)),
        report_type: ReportType::DeployAgent,
        actor: cloudpc_model::Actor::system(),
        created_at: Timestamp(1),
        target: target.into(),
        cloud_pc_name: "CPC".into(),
        agent_name: "agent.msi".into(),
        activity_id: Some(ACTIVITY),
        message: "Started.".into(),
        agent: None,
    };
    let configured = Report {
        report_type: ReportType::ConfigureAgent,
        activity_id: None,
        agent: Some(agent()),
        ..report(TENANT, 0x50, "")
    };
    for report in [
        configured.clone(),
        report(TENANT, 0x51, "x"),
        report(OTHER_TENANT, 0x50, "y"),
        report(TENANT, 0x50, "a"),
        report(TENANT, 0x50, "b"),
    ] {
        book.write(move |tx| tx.report_insert(&report)).unwrap();
    }
    let expected = [
        Report { id: 3, ..report(TENANT, 0x50, "b") },
        Report { id: 2, ..report(TENANT, 0x50, "a") },
        Report { id: 1, ..configured },
    ];
    assert_eq!(book.read(|reader| reader.report_list(TENANT, PARTNER, None, 9)), expected);
    assert_eq!(book.read(|reader| reader.report_list(TENANT, PARTNER, Some(3), 1)), expected[1..2]);
    assert_eq!(book.read(|reader| reader.report_count(TENANT, PARTNER)), 3);
    assert_eq!(book.read(|reader| reader.report_count(OTHER_TENANT, PartnerId(Uuid::from_u128(0x51)))), 0);
}

#[test]
fn the_audit_log_is_listed_newest_first_and_cannot_be_rewritten() {
    let book = Book::in_file();
    let entry = |tenant_id, resource_id: &str| {
        let resource = AuditResource::new(ResourceType::CloudPc, resource_id).named("desk");
        AuditEntry::new(tenant_id, Timestamp(4), Actor::system(), AuditVerb::Reprovision, resource)
            .by_request("r")
            .ended(AuditResult::Failure, Some("guestSilent"))
            .changed("actionState", Some("running"), "failed")
    };
    for entry in [entry(TENANT, "a"), entry(OTHER_TENANT, "x"), entry(TENANT, "b"), entry(TENANT, "c")] {
        book.write(move |tx| tx.audit_insert(&entry)).unwrap();
    }
    let listed = book.read(|reader| reader.audit_list(TENANT, Some(3), 9));
    let stored = |id, resource_id| {
        let mut entry = entry(TENANT, resource_id);
        entry.id = id;
        entry
    };
    assert_eq!(listed, [stored(2, "b"), stored(1, "a")]);
    assert_eq!(book.read(|reader| reader.audit_list(TENANT, None, 1))[0].resource.id, "c");
    assert_eq!(book.read(|reader| reader.audit_count(TENANT)), 3);
    assert_eq!(book.read(|reader| reader.audit_count(TenantId::INSTALLATION)), 0);
    let error = book.sql().execute("UPDATE audit SET actor = 'x'", []).unwrap_err();
    assert_eq!(error.to_string(), "the audit log is never updated");
}

#[test]
fn snapshots_are_put_once_and_dropped_once() {
    let book = Book::new();
    let cloud_pc = CloudPcId(Uuid::from_u128(1));
    let snapshot = |point| Snapshot {
        tenant_id: TENANT,
        id: SnapshotId::new(cloud_pc, Uuid::from_u128(point)),
        cloud_pc_id: cloud_pc,
        snapshot_type: SnapshotType::Manual,
        created_at: Timestamp(1),
        last_restored_at: None,
    };
    let (first, second) = (snapshot(1), snapshot(2));
    for snapshot in [second.clone(), first.clone(), Snapshot { created_at: Timestamp(9), ..first.clone() }] {
        book.write(move |tx| tx.snapshot_put(&snapshot)).unwrap();
    }
    let list = |after: Option<SnapshotId>| {
        book.read(move |reader| reader.snapshot_list(TENANT, Some(cloud_pc), after.as_ref(), 9))
    };
    assert_eq!(list(None), [first.clone(), second.clone()]);
    assert_eq!(list(Some(first.id.clone())), std::slice::from_ref(&second));
    let id = first.id.clone();
    book.write(move |tx| tx.snapshot_restored(TENANT, &id, Timestamp(7))).unwrap();
    let id = first.id.clone();
    let found = book.read(move |reader| Ok((reader.snapshot(TENANT, &id)?, reader.snapshot(OTHER_TENANT, &id)?)));
    assert_eq!(found, (Some(Snapshot { last_restored_at: Some(Timestamp(7)), ..first.clone() }), None));
    for _ in 0..2 {
        let id = first.id.clone();
        book.write(move |tx| tx.snapshot_delete(TENANT, &id)).unwrap();
    }
    assert_eq!(list(None), [second]);
}

#[test]
fn users_are_found_by_name_in_any_case() {
    let book = Book::new();
    let user = |number: u128, name: &str| User {
        tenant_id: TENANT,
        id: UserId(Uuid::from_u128(number)),
        user_principal_name: name.into(),
        display_name: "Ada".into(),
        password_hash: Some("$argon2id$…".into()),
        roles: vec!["Windows 365 Administrator".into()],
        permissions: vec!["CloudPC.Read.All".into()],
        enabled: true,
        profile: UserProfile::default(),
        created_at: None,
    };
    let ada = user(1, "ada@contoso.test");
    let renamed = User { enabled: false, password_hash: None, ..user(2, "Grace@contoso.test") };
    for user in [ada.clone(), user(2, "grace@contoso.test"), renamed.clone()] {
        book.write(move |tx| tx.user_put(&user)).unwrap();
    }
    let twin = user(3, "ADA@contoso.test");
    let error = book.write(move |tx| tx.user_put(&twin)).unwrap_err();
    assert!(matches!(error, StoreError::Exists("a user of this name")), "{error}");
    let id = ada.id;
    let found = book.read(move |reader| {
        Ok((
            reader.user(TENANT, id)?,
            reader.user_by_name(TENANT, "GRACE@contoso.test")?,
            reader.user_by_name(OTHER_TENANT, "ada@contoso.test")?,
            reader.user_list(TENANT, None, 9)?,
        ))
    });
    assert_eq!(found, (Some(ada.clone()), Some(renamed.clone()), None, vec![ada, renamed]));
}

#[test]
fn tenants_apps_and_the_catalog_are_put_and_listed() {
    let book = Book::new();
    let app = |name: &str| Application {
        tenant_id: TENANT,
        id: AppId(Uuid::from_u128(9)),
        name: name.into(),
        secret_hash: Some([7; 32]),
        permissions: vec!["CloudPC.ReadWrite.All".into()],
        enabled: true,
    };
    let plan = ServicePlan {
        id: ServicePlanId(Uuid::from_u128(3)),
        display_name: "Cloud PC Enterprise 2vCPU/8GB/128GB".into(),
        vcpu_count: 2,
        ram_gib: 8,
        storage_gib: 128,
        product: Product::Enterprise,
        gpu: false,
    };
    let image = GalleryImage {
        id: ImageId("a_b_c".into()),
        display_name: "Windows".into(),
        size_gib: 64,
        os_version: OsVersion::Windows11,
        os_version_number: None,
    };
    let (old, new) = (app("old"), Application { secret_hash: None, enabled: false, ..app("new") });
    let (expected, stored_plan, stored_image) = (new.clone(), plan.clone(), image.clone());
    book.write(move |tx| {
        tx.tenant_put(TENANT, "Old")?;
        tx.tenant_put(TENANT, "Contoso")?;
        tx.app_put(&old)?;
        tx.app_put(&new)?;
        tx.service_plan_put(TENANT, &ServicePlan { vcpu_count: 1, ..stored_plan.clone() })?;
        tx.service_plan_put(TENANT, &stored_plan)?;
        tx.gallery_image_put(TENANT, &stored_image)?;
        tx.gallery_image_put(TENANT, &stored_image)?;
        Ok(())
    })
    .unwrap();
    let (plan_id, image_id, app_id) = (plan.id, image.id.clone(), expected.id);
    book.read(move |reader| {
        assert_eq!(reader.tenant_list()?, [(TENANT, "Contoso".to_owned())]);
        assert_eq!(reader.app(TENANT, app_id)?, Some(expected.clone()));
        assert_eq!(reader.app(OTHER_TENANT, app_id)?, None);
        assert_eq!(reader.app_list(TENANT)?, [expected]);
        assert_eq!(reader.service_plan(TENANT, plan_id)?, Some(plan.clone()));
        assert_eq!(reader.service_plan(OTHER_TENANT, plan_id)?, None);
        assert_eq!(reader.service_plan_list(TENANT)?, [plan]);
        assert_eq!(reader.gallery_image(TENANT, &image_id)?, Some(image.clone()));
        assert_eq!(reader.gallery_image(OTHER_TENANT, &image_id)?, None);
        assert_eq!(reader.gallery_image_list(TENANT)?, [image]);
        Ok(())
    });
}

#[test]
fn a_reset_drops_everything_but_the_settings_and_gives_no_number_twice() {
    let book = Book::in_file();
    let before = book
        .write(|tx| {
            tx.setting_put("key", b"old")?;
            tx.setting_put("key", b"secret")?;
            tx.tenant_put(TENANT, "Contoso")?;
            tx.cloud_pc_insert(&cloud_pc(TENANT, 1, 2))?;
            tx.action_insert(&deploy(MACHINE, 1))
        })
        .unwrap();
    book.write(|tx| tx.reset()).unwrap();
    let sql = book.sql();
    let mut tables = sql.prepare("SELECT name FROM sqlite_schema WHERE type = 'table'").unwrap();
    let tables: Vec<String> = tables.query_map([], |row| row.get(0)).unwrap().map(Result::unwrap).collect();
    for table in tables {
        let rows: i64 = sql.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap();
        let kept = match table.as_str() {
            // One is the epoch of the change feed.
            "settings" => 2,
            "sqlite_sequence" => 1,
            _ => 0,
        };
        assert_eq!(rows, kept, "{table}");
    }
    assert_eq!(book.read(|reader| reader.setting("key")), Some(b"secret".to_vec()));
    assert!(book.insert(deploy(MACHINE, 2)).unwrap() > before);
}

#[test]
fn deleted_cloud_pc_takes_everything_but_its_actions_with_it() {
    let book = Book::new();
    let own = cloud_pc(TENANT, 0x10, 0x20);
    let id = own.id;
    let entitlement = Entitlement {
        tenant_id: TENANT,
        cloud_pc_id: id,
        user_id: own.user_id,
        policy_id: "policy".into(),
        assignment_id: "assignment".into(),
        service_plan_id: own.service_plan_id,
        sku_id: None,
    };
    let expected = entitlement.clone();
    book.write(move |tx| {
        tx.cloud_pc_insert(&own)?;
        tx.entitlement_insert(&entitlement)?;
        tx.health_check_schedule(id, Timestamp(1))?;
        tx.snapshot_put(&Snapshot {
            tenant_id: TENANT,
            id: SnapshotId("snapshot".into()),
            cloud_pc_id: id,
            snapshot_type: SnapshotType::Manual,
            created_at: Timestamp(1),
            last_restored_at: None,
        })
    })
    .unwrap();
    let (user, plan) = (expected.user_id.unwrap(), expected.service_plan_id);
    assert_eq!(book.read(move |reader| reader.entitlement_list(TENANT, user)), [expected]);
    assert_eq!(book.read(move |reader| reader.seat_count_of(TENANT, plan, "policy", "assignment")), 1);
    book.write(move |tx| tx.cloud_pc_delete(TENANT, id)).unwrap();
    assert_eq!(book.read(move |reader| reader.entitlement_list(TENANT, user)), []);
    assert_eq!(book.read(move |reader| reader.seat_count(TENANT, plan)), 0);
    assert_eq!(book.read(move |reader| reader.health_check_due_at(TENANT, id)), None);
    assert_eq!(book.read(move |reader| reader.snapshot_list(TENANT, Some(id), None, 9)), []);
    assert_eq!(book.read(move |reader| reader.cloud_pc(TENANT, id)), None);
}
