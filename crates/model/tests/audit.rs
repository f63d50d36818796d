//! Audit rows: derived texts and limits.

use cloudpc_model::{
    AUDIT_CHANGES_MAX, AUDIT_TEXT_CHARS_MAX, Actor, AuditEntry, AuditResource, AuditResult, AuditVerb, ResourceType,
    TenantId, Timestamp,
};
use strum::IntoEnumIterator;

fn entry(verb: AuditVerb) -> AuditEntry {
    let resource = AuditResource::new(ResourceType::CloudPc, 7).named("desk");
    AuditEntry::new(TenantId::INSTALLATION, Timestamp(1), Actor::system(), verb, resource)
}

#[test]
fn every_verb_has_an_activity_and_an_operation_type_and_round_trips() {
    let mut operations = String::new();
    for verb in AuditVerb::iter() {
        let stored: &str = verb.into();
        assert_eq!(stored.parse(), Ok(verb));
        operations += &format!("{}: {:?}\n", entry(verb).activity(), verb.operation_type());
    }
    insta::assert_snapshot!(operations);
    for kind in ResourceType::iter() {
        assert_eq!(kind.name().parse(), Ok(kind));
    }
}

#[test]
fn row_without_a_result_is_a_success() {
    let entry = entry(AuditVerb::Reboot);
    assert_eq!((entry.result, entry.changes.len(), &*entry.request_id), (AuditResult::Success, 0, ""));
    let failed = entry.ended(AuditResult::Timeout, Some("actionTimeout"));
    assert_eq!((failed.result, &*failed.changes[0].name), (AuditResult::Timeout, "errorCode"));
}

#[test]
fn unchanged_values_and_secrets_are_omitted() {
    let entry = entry(AuditVerb::Update)
        .changed("enableConnection", Some("true"), "true")
        .changed("agentUrl", Some("a"), "b")
        .secret_changed("installParameters");
    let changes: Vec<_> =
        entry.changes.iter().map(|change| (&*change.name, change.old.as_deref(), &*change.new)).collect();
    assert_eq!(changes, [("agentUrl", Some("a"), "b"), ("installParameters", None, "changed")]);
}

#[test]
fn texts_and_changes_are_limited() {
    let long = |chars: usize| entry(AuditVerb::Update).detail("name", &"é".repeat(chars)).changes[0].new.clone();
    assert_eq!(long(AUDIT_TEXT_CHARS_MAX), "é".repeat(AUDIT_TEXT_CHARS_MAX));
    let cut = long(AUDIT_TEXT_CHARS_MAX + 1);
    assert_eq!((cut.chars().count(), cut.chars().last()), (AUDIT_TEXT_CHARS_MAX, Some('…')));
    let many = (0..=AUDIT_CHANGES_MAX).fold(entry(AuditVerb::Update), |entry, n| entry.detail("name", &n.to_string()));
    assert_eq!(many.changes.len(), AUDIT_CHANGES_MAX);
}
