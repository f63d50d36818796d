//! Filters: table-driven checks.

use cloudpc_graph::filter::{DEPTH_MAX, FILTER_BYTES_MAX};
use cloudpc_graph::{Edm, Filter, GraphError, Version};
use proptest::prelude::*;
use serde_json::{Value, json};

fn read(text: &str) -> Result<Filter, GraphError> {
    Filter::parse(Edm::of(Version::Beta), "cloudPC", text)
}

fn ada() -> Value {
    json!({
        "id": "8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19",
        "displayName": "Ada's PC",
        "status": "provisioned",
        "lastModifiedDateTime": "2025-01-31T08:30:00.1234567Z",
        "isDisasterRecoveryActive": false,
        "scopeIds": ["0", "7"],
        "managedDeviceName": null,
        "disasterRecoveryCapability": {"capabilityType": "failover", "primaryRegion": "westeurope"},
        "partnerAgentInstallResults": [
            {"errorMessage": "Contoso", "installStatus": "installFailed", "retriable": true},
            {"errorMessage": "Fabrikam", "installStatus": "installed", "retriable": false},
        ],
    })
}

#[test]
fn matching_filters() {
    for text in [
        "displayName eq 'Ada''s PC'",
        "DISPLAYNAME EQ 'Ada''s PC'",
        "'Ada''s PC' eq displayName",
        "  displayName   ne 'x' ",
        "displayName gt 'Ada'",
        "displayName lt 'B' and displayName ge 'Ada''s PC' and displayName le 'Ada''s PC'",
        "id eq '8F3C1B52-6D0E-4A57-9D5B-0F2A6C7E4B19'",
        "id eq 8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19",
        "id in ('x', '8F3C1B52-6D0E-4A57-9D5B-0F2A6C7E4B19')",
        "status eq 'provisioned'",
        "status eq 'PROVISIONED'",
        "status eq microsoft.graph.cloudPcStatus'provisioned'",
        "status ne 'failed'",
        "status in ('failed','provisioned')",
        "status has 'provisioned'",
        "not (status eq 'failed')",
        "not status eq 'failed'",
        "not not status eq 'provisioned'",
        "managedDeviceName eq null",
        "null eq managedDeviceName",
        "userPrincipalName eq null",
        "managedDeviceName ne 'x'",
        "displayName ne null",
        "managedDeviceName in (null, 'x')",
        "isDisasterRecoveryActive eq false",
        "not isDisasterRecoveryActive",
        "isDisasterRecoveryActive ne true",
        "lastModifiedDateTime eq 2025-01-31T08:30:00.1234567Z",
        "lastModifiedDateTime eq 2025-01-31T09:30:00.1234567+01:00",
        "lastModifiedDateTime gt 2025-01-31T08:30:00Z",
        "lastModifiedDateTime lt '2025-01-31T08:30:01Z'",
        "lastModifiedDateTime ge 2025-01-31",
        "contains(displayName,'''s')",
        "contains(tolower(displayName),'ada')",
        "startswith(toupper(displayName), 'ADA')",
        "endswith(displayName,'PC')",
        "contains(displayName,'PC') eq true",
        "contains(displayName,'XP') eq false",
        "contains(displayName,'XP') ne true",
        "tolower(displayName) eq 'ada''s pc'",
        "contains(status, 'prov')",
        "disasterRecoveryCapability/capabilityType eq 'failover'",
        "disasterrecoverycapability/PRIMARYREGION eq 'westeurope'",
        "disasterRecoveryCapability/secondaryRegion eq null",
        "scopeIds/any(s: s eq '7')",
        "scopeIds/any()",
        "not scopeIds/any(s: s eq '9')",
        "partnerAgentInstallResults/any(r:r/errorMessage eq 'Contoso' and r/installStatus eq 'installFailed')",
        "partnerAgentInstallResults/any(r: r/retriable)",
        "partnerAgentInstallResults/any(r: r/errorMessage eq 'Fabrikam' and scopeIds/any(s: s eq '0' and r/retriable eq false))",
        // Precedence: 'not', then 'and', then 'or'.
        "status eq 'provisioned' or status eq 'failed' and status eq 'unknownFutureValue'",
        "not status eq 'failed' and displayName ne null",
        "1 eq 1.0 and 2 gt 1.5 and -1 lt 0 and 1e2 eq 100",
        "true",
        "'a' eq 'a'",
    ] {
        let filter = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(filter.matches(&ada()), "{text}");
    }
}

#[test]
fn user_names_and_guids_compare_case_insensitively() {
    let id = "8f3c1b52-6d0e-4a57-9d5b-0f2a6c7e4b19";
    let object = json!({"userPrincipalName": "Ada@Contoso.test", "servicePlanId": id, "displayName": "Ada"});
    for text in [
        "userPrincipalName eq 'ADA@contoso.TEST'",
        "'ada@contoso.test' eq userPrincipalName",
        "userPrincipalName in ('x', 'ada@contoso.test')",
        "not (userPrincipalName ne 'ada@contoso.test')",
        "startswith(userPrincipalName,'ADA@')",
        "contains(userPrincipalName,'CONTOSO') and endswith(userPrincipalName,'.TEST')",
        "tolower(userPrincipalName) eq 'ada@contoso.test' and toupper(userPrincipalName) eq 'ADA@CONTOSO.TEST'",
        "contains(tolower(userPrincipalName),'ada')",
        "servicePlanId eq '8F3C1B52-6D0E-4A57-9D5B-0F2A6C7E4B19'",
        "servicePlanId eq 8F3C1B52-6D0E-4A57-9D5B-0F2A6C7E4B19",
        "startswith(servicePlanId,'8F3C1B52')",
        // All other strings compare case-sensitively.
        "displayName ne 'ada' and not contains(displayName,'ADA')",
    ] {
        let filter = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(filter.matches(&object), "{text}");
    }
}

#[test]
fn filters_that_do_not_match() {
    for text in [
        "displayName eq 'ada''s pc'",
        "displayName eq ''",
        "managedDeviceName gt 'a'",
        "managedDeviceName le null",
        "managedDeviceName ge null",
        // A function of null is unknown, and so is its negation.
        "contains(managedDeviceName,'x')",
        "not contains(managedDeviceName,'x')",
        "contains(managedDeviceName,'x') and displayName ne null",
        "not (contains(managedDeviceName,'x') or status eq 'failed')",
        "startswith(tolower(managedDeviceName),'x')",
        "scopeIds/any(s: s eq '9')",
        "partnerAgentInstallResults/any(r:r/errorMessage eq 'Contoso' and r/installStatus eq 'installed')",
        "connectionSettings/enableSingleSignOn",
        "not connectionSettings/enableSingleSignOn",
        "id in ('x')",
        "(status eq 'provisioned' or status eq 'failed') and status eq 'unknownFutureValue'",
        "lastModifiedDateTime lt 2025-01-31",
        "false",
    ] {
        let filter = read(text).unwrap_or_else(|error| panic!("{text}: {error}"));
        assert!(!filter.matches(&ada()), "{text}");
    }
}

#[test]
fn unknown_or_true_is_true() {
    let filter = read("contains(managedDeviceName,'x') or status eq 'provisioned'").unwrap();
    assert!(filter.matches(&ada()));
}

#[test]
fn invalid_filters() {
    let results: Vec<String> = [
        "",
        " ",
        "displayName",
        "displayName eq",
        "eq 'x'",
        "displayName eq 'x",
        "displayName eq x'",
        "displayName eq x",
        "displayName == 'x'",
        "displayName eq 'x' status",
        "displayName eq 'x' and",
        "displayName eq 'x' and or status eq 'failed'",
        "colour eq 'red'",
        "disasterRecoveryCapability/colour eq 'red'",
        "disasterRecoveryCapability eq 'x'",
        "disasterRecoveryCapability/ eq 'x'",
        "displayName/length eq 1",
        "displayName eq 1",
        "displayName eq true",
        "displayName eq 2025-01-31",
        "displayName eq displayName eq displayName",
        "displayName eq status",
        "isDisasterRecoveryActive eq 'false'",
        "lastModifiedDateTime ge 'yesterday'",
        "lastModifiedDateTime ge 2025-13-31T00:00:00Z",
        "lastModifiedDateTime ge 5",
        "status eq 'purple'",
        "status eq provisioned",
        "status gt 'failed'",
        "status in ('failed', 'purple')",
        "status in ()",
        "status in 'failed'",
        "id in (displayName)",
        "displayName has 'x'",
        "status has failed",
        "scopeIds eq '0'",
        "scopeIds/any(s: s eq 0)",
        "scopeIds/any(s s eq '0')",
        "scopeIds/all(s: s eq '0')",
        "scopeIds/length eq 1",
        "displayName/any(s: s eq '0')",
        "scopeIds/any(s: s eq '0') and s eq '0'",
        "(status eq 'failed'",
        "status eq 'failed')",
        "contains(displayName)",
        "contains(displayName, 1)",
        "contains(displayName, contains(displayName,'x'))",
        "contains(displayName,'x') gt true",
        "contains(displayName,'x') eq 'x'",
        "length(displayName) eq 1",
        "displayName eq contains(displayName,'x')",
        "not",
        "nan eq nan",
        "1e999 eq 1",
        "é eq ü",
        "displayName eq '💻' und status eq 'failed'",
        "display\u{7f}Name eq 'x'",
        "displayName eq \"x\"",
    ]
    .iter()
    .map(|text| match read(text) {
        Ok(filter) => format!("{text}\n    {filter:?}\n"),
        Err(error) => format!("{text}\n    {}\n", error.message),
    })
    .collect();
    insta::assert_snapshot!(results.concat(), @r#"
        $filter is invalid at character 1: expected a property, a value or a function.
     
        $filter is invalid at character 2: expected a property, a value or a function.
    displayName
        $filter is invalid at character 1: a string is not a condition; compare it, for example displayName eq 'x'.
    displayName eq
        $filter is invalid at character 15: expected a property, a value or a function.
    eq 'x'
        $filter is invalid at character 1: there is no property 'eq' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    displayName eq 'x
        $filter is invalid at character 16: the quote that opens here is not closed.
    displayName eq x'
        $filter is invalid at character 17: the quote that opens here is not closed.
    displayName eq x
        $filter is invalid at character 16: there is no property 'x' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    displayName == 'x'
        $filter is invalid at character 13: unexpected character '='.
    displayName eq 'x' status
        $filter is invalid at character 20: expected 'and', 'or' or the end.
    displayName eq 'x' and
        $filter is invalid at character 23: expected a property, a value or a function.
    displayName eq 'x' and or status eq 'failed'
        $filter is invalid at character 24: there is no property 'or' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    colour eq 'red'
        $filter is invalid at character 1: there is no property 'colour' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    disasterRecoveryCapability/colour eq 'red'
        $filter is invalid at character 28: there is no property 'colour' on microsoft.graph.cloudPcDisasterRecoveryCapability.
    disasterRecoveryCapability eq 'x'
        $filter is invalid at character 1: 'disasterRecoveryCapability' is a complex value; name one of its properties after a /.
    disasterRecoveryCapability/ eq 'x'
        $filter is invalid at character 29: there is no property 'eq' on microsoft.graph.cloudPcDisasterRecoveryCapability.
    displayName/length eq 1
        $filter is invalid at character 13: there is no property 'length' on Edm.String.
    displayName eq 1
        $filter is invalid at character 16: expected a string, not a number.
    displayName eq true
        $filter is invalid at character 16: expected a string, not a boolean.
    displayName eq 2025-01-31
        $filter is invalid at character 16: expected a string, not a date.
    displayName eq displayName eq displayName
        $filter is invalid at character 28: expected 'and', 'or' or the end.
    displayName eq status
        $filter is invalid at character 16: expected a string, not cloudPcStatus.
    isDisasterRecoveryActive eq 'false'
        $filter is invalid at character 29: expected a boolean, not a string.
    lastModifiedDateTime ge 'yesterday'
        $filter is invalid at character 25: expected a date and time such as 2025-01-31T08:30:00Z.
    lastModifiedDateTime ge 2025-13-31T00:00:00Z
        $filter is invalid at character 25: '2025-13-31T00:00:00Z' is not a number, date or GUID.
    lastModifiedDateTime ge 5
        $filter is invalid at character 25: expected a date and time, not a number.
    status eq 'purple'
        $filter is invalid at character 11: 'purple' is not a member of cloudPcStatus; its members are notProvisioned, provisioning, provisioned, inGracePeriod, deprovisioning, failed, provisionedWithWarnings, resizing, restoring, pendingProvision, unknownFutureValue, movingRegion, resizePendingLicense, updatingSingleSignOn, modifyingSingleSignOn, refreshPolicyConfiguration, preparing, failoverInProgress, failbackInProgress.
    status eq provisioned
        $filter is invalid at character 11: there is no property 'provisioned' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    status gt 'failed'
        $filter is invalid at character 8: members of cloudPcStatus can only be compared with eq and ne.
    status in ('failed', 'purple')
        $filter is invalid at character 22: 'purple' is not a member of cloudPcStatus; its members are notProvisioned, provisioning, provisioned, inGracePeriod, deprovisioning, failed, provisionedWithWarnings, resizing, restoring, pendingProvision, unknownFutureValue, movingRegion, resizePendingLicense, updatingSingleSignOn, modifyingSingleSignOn, refreshPolicyConfiguration, preparing, failoverInProgress, failbackInProgress.
    status in ()
        $filter is invalid at character 12: expected a property, a value or a function.
    status in 'failed'
        $filter is invalid at character 11: expected '('.
    id in (displayName)
        $filter is invalid at character 8: the list after 'in' may contain only values.
    displayName has 'x'
        $filter is invalid at character 13: 'has' needs an enum property, not a string.
    status has failed
        $filter is invalid at character 12: expected quoted enum members.
    scopeIds eq '0'
        $filter is invalid at character 1: 'scopeIds' is a collection; test its elements with any(x: …).
    scopeIds/any(s: s eq 0)
        $filter is invalid at character 22: expected a string, not a number.
    scopeIds/any(s s eq '0')
        $filter is invalid at character 16: expected ':'.
    scopeIds/all(s: s eq '0')
        $filter is invalid at character 10: 'all' is not supported here; use any.
    scopeIds/length eq 1
        $filter is invalid at character 10: test the elements of a collection with any(x: …).
    displayName/any(s: s eq '0')
        $filter is invalid at character 13: any needs a collection.
    scopeIds/any(s: s eq '0') and s eq '0'
        $filter is invalid at character 31: there is no property 's' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    (status eq 'failed'
        $filter is invalid at character 20: expected ')'.
    status eq 'failed')
        $filter is invalid at character 19: expected 'and', 'or' or the end.
    contains(displayName)
        $filter is invalid at character 21: expected ','.
    contains(displayName, 1)
        $filter is invalid at character 23: expected a string, not a number.
    contains(displayName, contains(displayName,'x'))
        $filter is invalid at character 23: expected a string, not a condition.
    contains(displayName,'x') gt true
        $filter is invalid at character 30: conditions can only be compared with eq and ne.
    contains(displayName,'x') eq 'x'
        $filter is invalid at character 30: expected true or false.
    length(displayName) eq 1
        $filter is invalid at character 1: unknown function 'length'; supported are contains, startswith, endswith, tolower, toupper.
    displayName eq contains(displayName,'x')
        $filter is invalid at character 16: a condition cannot be compared.
    not
        $filter is invalid at character 4: expected a property, a value or a function.
    nan eq nan
        $filter is invalid at character 1: there is no property 'nan' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    1e999 eq 1
        $filter is invalid at character 1: '1e999' is not a number, date or GUID.
    é eq ü
        $filter is invalid at character 1: there is no property 'é' on microsoft.graph.cloudPC (strings and enum members must be quoted).
    displayName eq '💻' und status eq 'failed'
        $filter is invalid at character 20: expected 'and', 'or' or the end.
    displayName eq 'x'
        $filter is invalid at character 8: unexpected character '\u{7f}'.
    displayName eq "x"
        $filter is invalid at character 16: unexpected character '"'.
    "#);
}

#[test]
fn error_is_a_400_with_the_option_as_target() {
    let error = read("colour eq 'red'").unwrap_err();
    assert_eq!((error.status, error.code.as_str(), error.target.as_deref()), (400, "BadRequest", Some("$filter")));
}

#[test]
fn filter_length_is_limited() {
    let of_length = |bytes: usize| format!("displayName eq '{}'", "x".repeat(bytes - "displayName eq ''".len()));
    assert!(read(&of_length(FILTER_BYTES_MAX)).is_ok());
    assert!(read(&of_length(FILTER_BYTES_MAX + 1)).is_err());
}

#[test]
fn filter_nesting_is_limited() {
    let nested = |open: &str, levels: usize, close: &str| {
        read(&format!("{}true{}", open.repeat(levels), close.repeat(levels))).is_ok()
    };
    // The whole filter is the first level.
    for (open, close) in [("(", ")"), ("not ", "")] {
        assert!(nested(open, DEPTH_MAX - 1, close), "{open}");
        assert!(!nested(open, DEPTH_MAX, close), "{open}");
    }
    assert!(!nested("(", 2000, ")"));
    let lowered = |levels: usize| {
        let text = format!("{}displayName{} eq 'x'", "tolower(".repeat(levels), ")".repeat(levels));
        read(&text).is_ok()
    };
    assert!(lowered(DEPTH_MAX - 1));
    assert!(!lowered(DEPTH_MAX));
}

#[test]
fn every_collection_has_a_type() {
    let edm = Edm::of(Version::Beta);
    for operation in &edm.operations {
        let Some(name) = &operation.item_type else { continue };
        if edm.type_named(name).is_some_and(|declared| declared.property("id").is_some()) {
            assert!(Filter::parse(edm, name, "id eq 'x'").is_ok(), "{name}");
        }
    }
    assert!(Filter::parse(edm, "Edm.String", "id eq 'x'").is_err());
}

proptest! {
    #[test]
    fn every_string_equals_its_literal(text in "\\PC{0,20}") {
        let quoted = text.replace('\'', "''");
        let filter = read(&format!("displayName eq '{quoted}' and contains(displayName,'{quoted}')")).unwrap();
        let object = json!({"displayName": text});
        prop_assert!(filter.matches(&object));
    }

    #[test]
    fn condition_and_its_negation_never_both_match(name in proptest::option::of("[a-c]{0,2}"), part in "[a-c]{0,1}") {
        let object = json!({"displayName": name});
        for text in [format!("contains(displayName,'{part}')"), format!("displayName gt '{part}'"), format!("displayName eq '{part}'")] {
            let holds = read(&text).unwrap().matches(&object);
            let contrary = read(&format!("not {text}")).unwrap().matches(&object);
            prop_assert!(!(holds && contrary));
            prop_assert!(name.is_none() || holds || contrary);
        }
    }
}
