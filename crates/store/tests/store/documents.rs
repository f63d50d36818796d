//! Documents: names, references and revisions, and what an older database becomes.

use cloudpc_model::{
    Document, DocumentKey, DocumentReference, DocumentType, GalleryImage, GroupId, ImageId, Object, OsVersion, Product,
    ReferenceStrength, ServicePlan, ServicePlanId, TenantId, Timestamp,
};
use cloudpc_store::{DocumentConflict, DocumentIndex, DocumentName, Store, WriteMode};
use serde_json::json;
use uuid::Uuid;

use crate::fixture::{
    BEFORE_DIRECTORY, BEFORE_DOCUMENTS, BEFORE_ENTITLEMENTS, BEFORE_LISTS, BEFORE_ROLLOUTS, BEFORE_WORKERS, Book,
    TENANT, open_sql,
};

const SETTING: DocumentType = DocumentType::CloudPcUserSetting;
const ASSIGNMENT: DocumentType = DocumentType::CloudPcUserSettingAssignment;
const OTHER_TENANT: TenantId = TenantId(Uuid::from_u128(0xbad));

fn document(key: DocumentKey) -> Document {
    Document {
        tenant_id: TENANT,
        key,
        revision: 1,
        body: Object::new(),
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: Timestamp(7),
        modified_at: Timestamp(7),
    }
}

fn setting(id: &str) -> Document {
    document(DocumentKey::new(SETTING, id))
}

fn named(name: &str) -> DocumentIndex {
    let names = vec![DocumentName { property: "displayName", name: name.into() }];
    DocumentIndex { names, references: Vec::new() }
}

fn referring(target: &str, strength: ReferenceStrength) -> DocumentIndex {
    let reference = DocumentReference { property: "x", target: DocumentKey::new(SETTING, target), strength };
    DocumentIndex { names: Vec::new(), references: vec![reference] }
}

#[test]
fn a_name_is_taken_until_its_document_gives_it_up() {
    let book = Book::new();
    book.write(|tx| {
        tx.document_insert(&setting("a"), &named("n"))?.unwrap();
        let taken = DocumentConflict::NameTaken(DocumentName { property: "displayName", name: "n".into() });
        assert_eq!(tx.document_insert(&setting("b"), &named("n"))?, Err(taken));
        Ok(())
    })
    .unwrap();
    book.write(|tx| {
        assert_eq!(tx.document_update(&setting("a"), &named("m"))?, Ok(2));
        tx.document_insert(&setting("b"), &named("n"))?.unwrap();
        tx.document_delete(TENANT, &DocumentKey::new(SETTING, "b"), &[])?.unwrap();
        tx.document_insert(&setting("c"), &named("n"))?.unwrap();
        let other = Document { tenant_id: OTHER_TENANT, ..setting("a") };
        tx.document_insert(&other, &named("m"))?.unwrap();
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_reference_that_holds_keeps_its_target() {
    let book = Book::new();
    book.write(|tx| {
        let missing = tx.document_insert(&setting("a"), &referring("b", ReferenceStrength::MustExist))?;
        assert!(matches!(missing, Err(DocumentConflict::TargetMissing(_))), "{missing:?}");
        Ok(())
    })
    .unwrap();
    book.write(|tx| {
        tx.document_insert(&setting("a"), &referring("gone", ReferenceStrength::Weak))?.unwrap();
        tx.document_insert(&setting("b"), &DocumentIndex::default())?.unwrap();
        tx.document_insert(&setting("c"), &referring("b", ReferenceStrength::Holds))?.unwrap();
        let held = DocumentConflict::Held { by: DocumentKey::new(SETTING, "c"), property: "x".into() };
        assert_eq!(tx.document_delete(TENANT, &DocumentKey::new(SETTING, "b"), &[])?, Err(held));
        let holders = tx.document_holders(TENANT, SETTING, &["a", "b", "gone"])?;
        assert_eq!(holders, [("b".to_owned(), DocumentKey::new(SETTING, "c"))], "a weak reference does not hold");
        tx.document_update(&setting("c"), &DocumentIndex::default())?.unwrap();
        tx.document_delete(TENANT, &DocumentKey::new(SETTING, "b"), &[])?.unwrap();
        Ok(())
    })
    .unwrap();
}

#[test]
fn a_document_is_replaced_only_in_the_state_in_which_it_was_read() {
    let book = Book::new();
    book.write(|tx| {
        tx.document_insert(&setting("a"), &DocumentIndex::default())?.unwrap();
        assert_eq!(tx.document_insert(&setting("a"), &DocumentIndex::default())?, Err(DocumentConflict::KeyTaken));
        assert_eq!(tx.document_update(&setting("a"), &DocumentIndex::default())?, Ok(2));
        assert_eq!(tx.document_update(&setting("a"), &DocumentIndex::default())?, Err(DocumentConflict::Stale));
        assert!(tx.document_status_put(TENANT, &DocumentKey::new(SETTING, "a"), &Object::new())?);
        assert!(!tx.document_status_put(TENANT, &DocumentKey::new(SETTING, "x"), &Object::new())?);
        Ok(())
    })
    .unwrap();
}

#[test]
fn what_a_document_contains_goes_with_it() {
    let book = Book::new();
    book.write(|tx| {
        for parent in ["a", "b"] {
            tx.document_insert(&setting(parent), &DocumentIndex::default())?.unwrap();
            for id in ["2", "1"] {
                let child = document(DocumentKey::within(ASSIGNMENT, parent, id));
                tx.document_insert(&child, &named("n").clone_for(id))?.unwrap();
            }
        }
        let ids = |rows: Vec<Document>| rows.into_iter().map(|row| row.key.parent + &row.key.id).collect::<Vec<_>>();
        assert_eq!(ids(tx.document_children(TENANT, ASSIGNMENT, &["b", "a", "x"], 9)?), ["a1", "a2", "b1", "b2"]);
        tx.document_delete(TENANT, &DocumentKey::new(SETTING, "a"), &[ASSIGNMENT])?.unwrap();
        assert_eq!(ids(tx.document_children(TENANT, ASSIGNMENT, &["a", "b"], 9)?), ["b1", "b2"]);
        assert_eq!(tx.document_count(TENANT, ASSIGNMENT, "a")?, 0);
        Ok(())
    })
    .unwrap();
}

/// Returns the ids of the assignments to a group, with that of their parent.
fn assigned(book: &Book, group: GroupId) -> Vec<String> {
    let found = book.read(move |reader| reader.document_assignments(TENANT, ASSIGNMENT, &[group]));
    found.into_iter().map(|row| row.key.parent + &row.key.id).collect()
}

#[test]
fn assignments_are_found_by_their_group_however_its_id_is_written() {
    const MIGRATION: &str = include_str!("../../migrations/0026_turns_and_assigned_groups.sql");
    let book = Book::in_file();
    let (group, other) = (GroupId(Uuid::from_u128(0xab)), GroupId(Uuid::from_u128(0xcd)));
    let to = |parent: &str, id: &str, text: &str| {
        let mut assignment = document(DocumentKey::within(ASSIGNMENT, parent, id));
        assignment.body.insert("target".into(), json!({"groupId": text}));
        assignment
    };
    let written = [
        to("a", "1", &group.to_string()),
        to("a", "2", &group.0.simple().to_string().to_uppercase()),
        to("b", "1", &group.0.braced().to_string()),
        to("b", "2", &group.0.urn().to_string()),
        to("b", "3", &other.to_string()),
        to("b", "4", "no group"),
    ];
    book.write(move |tx| {
        written.iter().try_for_each(|row| tx.document_insert(row, &DocumentIndex::default()).map(Result::unwrap))
    })
    .unwrap();
    let again = to("a", "1", &other.to_string());
    let taken = book.write(move |tx| tx.document_insert(&again, &DocumentIndex::default())).unwrap();
    assert_eq!(taken, Err(DocumentConflict::KeyTaken));
    let of_group = ["a1", "a2", "b1", "b2"];
    assert_eq!(assigned(&book, group), of_group);
    assert_eq!(assigned(&book, other), ["b3"]);

    // As a database of an earlier version becomes.
    let sql = book.sql();
    sql.execute_batch("DELETE FROM document_references").unwrap();
    sql.execute_batch(&MIGRATION[MIGRATION.find("INSERT INTO").unwrap()..]).unwrap();
    assert_eq!(assigned(&book, group), of_group);

    let moved = Document { revision: 1, ..to("a", "1", &other.to_string()) };
    book.write(move |tx| {
        tx.document_update(&moved, &DocumentIndex::default())?.unwrap();
        tx.document_delete(TENANT, &DocumentKey::within(ASSIGNMENT, "b", "1"), &[])
    })
    .unwrap()
    .unwrap();
    assert_eq!(assigned(&book, group), ["a2", "b2"]);
    assert_eq!(assigned(&book, other), ["a1", "b3"]);
}

trait CloneFor {
    fn clone_for(&self, id: &str) -> Self;
}

impl CloneFor for DocumentIndex {
    fn clone_for(&self, id: &str) -> Self {
        named(&format!("{} of {id}", self.names[0].name))
    }
}

#[test]
fn plans_and_images_of_an_older_database_become_documents() {
    const BEFORE: i32 = 13;
    let directory = tempfile::tempdir().unwrap();
    drop(Store::open(directory.path(), WriteMode::Inline).unwrap());
    let old = open_sql(directory.path());
    old.execute_batch(BEFORE_WORKERS).unwrap();
    old.execute_batch(BEFORE_ROLLOUTS).unwrap();
    old.execute_batch(BEFORE_LISTS).unwrap();
    old.execute_batch(BEFORE_ENTITLEMENTS).unwrap();
    old.execute_batch(BEFORE_DIRECTORY).unwrap();
    old.execute_batch(BEFORE_DOCUMENTS).unwrap();
    let id = Uuid::from_u128(0xc1);
    let (tenant, text) = (TENANT.0.into_bytes(), |n: u32| {
        format!(
            r#"{{"id":"{id}","display_name":"Large","vcpu_count":{n},"ram_gib":8,"storage_gib":64,"product":"frontline","gpu":true}}"#
        )
    });
    old.execute("INSERT INTO service_plans VALUES (?1, ?2, ?3)", (tenant, id.into_bytes(), text(4))).unwrap();
    let images = [
        ("a_b_c", r#"{"id":"a_b_c","display_name":"Old","size_gib":64,"os_version":"windows10"}"#),
        (
            "A_b_d",
            r#"{"id":"A_b_d","display_name":"New","size_gib":65,"os_version":"windows11","os_version_number":"10.0.22631.1"}"#,
        ),
    ];
    for (id, image) in images {
        old.execute("INSERT INTO gallery_images VALUES (?1, ?2, ?3)", (tenant, id, image)).unwrap();
    }
    old.pragma_update(None, "user_version", BEFORE).unwrap();
    drop(old);
    let book = Book { store: Store::open(directory.path(), WriteMode::Inline).unwrap(), directory };
    book.read(move |reader| {
        let plan = ServicePlan {
            id: ServicePlanId(id),
            display_name: "Large".into(),
            vcpu_count: 4,
            ram_gib: 8,
            storage_gib: 64,
            product: Product::Frontline,
            gpu: true,
        };
        assert_eq!(reader.service_plan_list(TENANT)?, std::slice::from_ref(&plan));
        let key = DocumentKey::new(DocumentType::CloudPcServicePlan, &id.to_string());
        let moved = reader.document(TENANT, &key)?.unwrap();
        assert_eq!((moved.body, moved.status), (plan.document(TENANT).body, plan.document(TENANT).status));
        let image = |id: &str, name: &str, size_gib, os_version, number: Option<&str>| GalleryImage {
            id: ImageId(id.into()),
            display_name: name.into(),
            size_gib,
            os_version,
            os_version_number: number.map(str::to_owned),
        };
        let (new, old) = (
            image("A_b_d", "New", 65, OsVersion::Windows11, Some("10.0.22631.1")),
            image("a_b_c", "Old", 64, OsVersion::Windows10, None),
        );
        assert_eq!(reader.gallery_image_list(TENANT)?, [new, old]);
        Ok(())
    });
}
