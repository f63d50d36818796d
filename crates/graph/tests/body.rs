//! Request bodies: table-driven checks.

#![expect(clippy::unwrap_used, reason = "what cannot be read fails the test")]

use cloudpc_graph::body::{DEPTH_MAX, STRING_BYTES_MAX, parse};
use cloudpc_graph::{Edm, GraphError, Method, Operation, Version};
use serde_json::Value;

const ROOT: &str = "/deviceManagement/virtualEndpoint";

fn operation(version: Version, request: &str) -> &'static Operation {
    let (method, path) = request.split_once(' ').unwrap();
    Edm::of(version).resolve(Method::named(method).unwrap(), &format!("{ROOT}/{path}"), "").unwrap().operation
}

fn described(result: Result<serde_json::Map<String, Value>, GraphError>) -> String {
    match result {
        Ok(object) => Value::Object(object).to_string(),
        Err(error) => format!("{error} [{}]", error.target.as_deref().unwrap_or_default()),
    }
}

fn check_in(version: Version, request: &str, bodies: &[&str]) -> String {
    let operation = operation(version, request);
    let answer =
        |body: &&str| format!("{body}\n    {}\n", described(parse(Edm::of(version), operation, body.as_bytes())));
    bodies.iter().map(answer).collect()
}

fn check(request: &str, bodies: &[&str]) -> String {
    check_in(Version::Beta, request, bodies)
}

#[test]
fn parameters_of_an_action() {
    insta::assert_snapshot!(check("POST cloudPCs/x/reprovision", &[
        "",
        "  \r\n",
        "{}",
        r#"{"osVersion": "windows11", "userAccountType": "standardUser"}"#,
        r#"{"OSVERSION": "Windows11"}"#,
        r#"{"osVersion": null}"#,
        r##"{"@odata.type": "#microsoft.graph.whatever", "osVersion@odata.type": "x", "osVersion": "windows10"}"##,
        r#"{"osVersion": "windows12"}"#,
        r#"{"osVersion": "unknownFutureValue"}"#,
        r#"{"osVersion": ""}"#,
        r#"{"osVersion": 1}"#,
        r#"{"osVersion": ["windows11"]}"#,
        r#"{"colour": "red"}"#,
        r#"{"colour": null}"#,
        r#"{"osVersion": "windows11", "osVersion": "windows10"}"#,
        r#"{"osVersion": "windows11", "OsVersion": "windows10"}"#,
        "[]",
        "null",
        "\"text\"",
        "{\n  \"osVersion\": windows11\n}",
        "{\"osVersion\": \"windows11\"",
        "{\"osVersion\": \"windows11\"} x",
        "{'osVersion': 'windows11'}",
        "\u{feff}{}",
    ]), @r##"
        {}
      

        {}
    {}
        {}
    {"osVersion": "windows11", "userAccountType": "standardUser"}
        {"osVersion":"windows11","userAccountType":"standardUser"}
    {"OSVERSION": "Windows11"}
        {"osVersion":"windows11"}
    {"osVersion": null}
        {}
    {"@odata.type": "#microsoft.graph.whatever", "osVersion@odata.type": "x", "osVersion": "windows10"}
        {"osVersion":"windows10"}
    {"osVersion": "windows12"}
        400 BadRequest: 'windows12' is not a member of cloudPcOperatingSystem; its members are windows10, windows11. [osVersion]
    {"osVersion": "unknownFutureValue"}
        400 BadRequest: 'unknownFutureValue' is a placeholder, and cannot be written; the members of cloudPcOperatingSystem are windows10, windows11. [osVersion]
    {"osVersion": ""}
        400 BadRequest: '' is not a member of cloudPcOperatingSystem; its members are windows10, windows11. [osVersion]
    {"osVersion": 1}
        400 BadRequest: The property 'osVersion' must be a member of microsoft.graph.cloudPcOperatingSystem, but is the number 1. [osVersion]
    {"osVersion": ["windows11"]}
        400 BadRequest: The property 'osVersion' must be a member of microsoft.graph.cloudPcOperatingSystem, but is an array. [osVersion]
    {"colour": "red"}
        400 BadRequest: The property 'colour' does not exist on the parameters of cloudPC.reprovision. [colour]
    {"colour": null}
        400 BadRequest: The property 'colour' does not exist on the parameters of cloudPC.reprovision. [colour]
    {"osVersion": "windows11", "osVersion": "windows10"}
        400 BadRequest: The body cannot be parsed as JSON: duplicate name "osVersion" in an object (names are case-insensitive) at line 1 column 38. []
    {"osVersion": "windows11", "OsVersion": "windows10"}
        400 BadRequest: The body cannot be parsed as JSON: duplicate name "OsVersion" in an object (names are case-insensitive) at line 1 column 38. []
    []
        400 BadRequest: Expected a JSON object as the body, but got an array. []
    null
        400 BadRequest: Expected a JSON object as the body, but got null. []
    "text"
        400 BadRequest: Expected a JSON object as the body, but got a string. []
    {
      "osVersion": windows11
    }
        400 BadRequest: The body cannot be parsed as JSON: expected value at line 2 column 16. []
    {"osVersion": "windows11"
        400 BadRequest: The body cannot be parsed as JSON: EOF while parsing an object at line 1 column 25. []
    {"osVersion": "windows11"} x
        400 BadRequest: The body cannot be parsed as JSON: trailing characters at line 1 column 28. []
    {'osVersion': 'windows11'}
        400 BadRequest: The body cannot be parsed as JSON: key must be a string at line 1 column 2. []
    ﻿{}
        {}
    "##);
}

#[test]
fn actions_without_parameters() {
    insta::assert_snapshot!(check("POST cloudPCs/x/reboot", &["", "{}", r#"{"@odata.context": "x"}"#, r#"{"force": true}"#, "[]"]), @r#"
        {}
    {}
        {}
    {"@odata.context": "x"}
        {}
    {"force": true}
        400 BadRequest: The property 'force' does not exist on the body of cloudPC.reboot, which takes none. [force]
    []
        400 BadRequest: Expected a JSON object as the body, but got an array. []
    "#);
}

#[test]
fn collections_and_nested_values() {
    insta::assert_snapshot!(check("POST externalPartners/p/deployAgent", &[
        r#"{"cloudPcIds": ["a", "b"]}"#,
        r#"{"cloudPcIds": []}"#,
        r#"{"cloudPcIds": null}"#,
        r#"{"cloudPcIds": "a"}"#,
        r#"{"cloudPcIds": ["a", 2]}"#,
        r#"{"cloudPcIds": ["a", null]}"#,
        r#"{"cloudPcIds": ["a", ["b"]]}"#,
        r#"{"cloudPcIds": ["a\u0000"]}"#,
    ]), @r#"
    {"cloudPcIds": ["a", "b"]}
        {"cloudPcIds":["a","b"]}
    {"cloudPcIds": []}
        {"cloudPcIds":[]}
    {"cloudPcIds": null}
        {}
    {"cloudPcIds": "a"}
        400 BadRequest: The property 'cloudPcIds' must be a collection of Edm.String, but is a string. [cloudPcIds]
    {"cloudPcIds": ["a", 2]}
        400 BadRequest: The property 'cloudPcIds/1' must be a string, but is the number 2. [cloudPcIds/1]
    {"cloudPcIds": ["a", null]}
        400 BadRequest: The property 'cloudPcIds/1' must be a string, but is null. [cloudPcIds/1]
    {"cloudPcIds": ["a", ["b"]]}
        400 BadRequest: The property 'cloudPcIds/1' must be a string, but is an array. [cloudPcIds/1]
    {"cloudPcIds": ["a\u0000"]}
        400 BadRequest: The string 'cloudPcIds/0' contains a NUL character. [cloudPcIds/0]
    "#);
    insta::assert_snapshot!(check("POST externalPartners/p/configureAgent", &[
        r#"{"agentSetting": {"agentUrl": "https://a.test/a.exe", "AGENTSHA256": "00", "installParameters": ["/q"], "autoDeploymentEnabled": true}}"#,
        r##"{"agentSetting": {"@odata.type": "#microsoft.graph.cloudPcExternalPartnerAgentSetting", "agentUrl": null}}"##,
        r#"{"agentSetting": {"installParameters": null}}"#,
        r#"{"agentSetting": {"autoDeploymentEnabled": "true"}}"#,
        r#"{"agentSetting": {"installParameters": ["/q", {}]}}"#,
        r#"{"agentSetting": {"colour": "red"}}"#,
        r#"{"agentSetting": []}"#,
        r##"{"agentSetting": {"@odata.type": "#microsoft.graph.cloudPC"}}"##,
        r#"{"agentSetting": {"@odata.type": 1}}"#,
        r#"{"agentSetting": null}"#,
    ]), @r##"
    {"agentSetting": {"agentUrl": "https://a.test/a.exe", "AGENTSHA256": "00", "installParameters": ["/q"], "autoDeploymentEnabled": true}}
        {"agentSetting":{"agentSha256":"00","agentUrl":"https://a.test/a.exe","autoDeploymentEnabled":true,"installParameters":["/q"]}}
    {"agentSetting": {"@odata.type": "#microsoft.graph.cloudPcExternalPartnerAgentSetting", "agentUrl": null}}
        {"agentSetting":{"agentUrl":null}}
    {"agentSetting": {"installParameters": null}}
        {"agentSetting":{"installParameters":null}}
    {"agentSetting": {"autoDeploymentEnabled": "true"}}
        400 BadRequest: The property 'agentSetting/autoDeploymentEnabled' must be true or false, but is a string. [agentSetting/autoDeploymentEnabled]
    {"agentSetting": {"installParameters": ["/q", {}]}}
        400 BadRequest: The property 'agentSetting/installParameters/1' must be a string, but is an object. [agentSetting/installParameters/1]
    {"agentSetting": {"colour": "red"}}
        400 BadRequest: The property 'colour' does not exist on the type microsoft.graph.cloudPcExternalPartnerAgentSetting. [agentSetting/colour]
    {"agentSetting": []}
        400 BadRequest: The property 'agentSetting' must be an object of type microsoft.graph.cloudPcExternalPartnerAgentSetting, but is an array. [agentSetting]
    {"agentSetting": {"@odata.type": "#microsoft.graph.cloudPC"}}
        400 BadRequest: '#microsoft.graph.cloudPC' is not the type microsoft.graph.cloudPcExternalPartnerAgentSetting or one derived from it. [agentSetting/@odata.type]
    {"agentSetting": {"@odata.type": 1}}
        400 BadRequest: The property 'agentSetting/@odata.type' must be the name of a type, but is the number 1. [agentSetting/@odata.type]
    {"agentSetting": null}
        {}
    "##);
}

#[test]
fn entities() {
    insta::assert_snapshot!(check("POST externalPartners", &[
        "",
        "{}",
        r##"{"@odata.type": "#microsoft.graph.cloudPcExternalPartner", "partnerId": "p", "enableConnection": true}"##,
        r#"{"partnerId": null, "id": null}"#,
        r#"{"id": "x", "connectionStatus": "HEALTHY", "lastSyncDateTime": "2025-01-31T08:30:00.1234567Z"}"#,
        r#"{"lastSyncDateTime": "2025-01-31T08:30:00+02:00"}"#,
        r#"{"lastSyncDateTime": "2025-01-31T08:30:00"}"#,
        r#"{"lastSyncDateTime": "2025-02-30T08:30:00Z"}"#,
        r#"{"lastSyncDateTime": "yesterday"}"#,
        r#"{"lastSyncDateTime": "2025-01-31 08:30Z[Etc/UTC]"}"#,
        r#"{"enableConnection": 1}"#,
    ]), @r##"
        400 BadRequest: cloudPcExternalPartner.create requires a body of type microsoft.graph.cloudPcExternalPartner. []
    {}
        {}
    {"@odata.type": "#microsoft.graph.cloudPcExternalPartner", "partnerId": "p", "enableConnection": true}
        {"enableConnection":true,"partnerId":"p"}
    {"partnerId": null, "id": null}
        {"partnerId":null}
    {"id": "x", "connectionStatus": "HEALTHY", "lastSyncDateTime": "2025-01-31T08:30:00.1234567Z"}
        {"connectionStatus":"healthy","id":"x","lastSyncDateTime":"2025-01-31T08:30:00.1234567Z"}
    {"lastSyncDateTime": "2025-01-31T08:30:00+02:00"}
        {"lastSyncDateTime":"2025-01-31T08:30:00+02:00"}
    {"lastSyncDateTime": "2025-01-31T08:30:00"}
        400 BadRequest: The property 'lastSyncDateTime' must be a date and time with a zone, such as 2025-01-31T08:30:00Z, but is '2025-01-31T08:30:00'. [lastSyncDateTime]
    {"lastSyncDateTime": "2025-02-30T08:30:00Z"}
        400 BadRequest: The property 'lastSyncDateTime' must be a date and time with a zone, such as 2025-01-31T08:30:00Z, but is '2025-02-30T08:30:00Z'. [lastSyncDateTime]
    {"lastSyncDateTime": "yesterday"}
        400 BadRequest: The property 'lastSyncDateTime' must be a date and time with a zone, such as 2025-01-31T08:30:00Z, but is 'yesterday'. [lastSyncDateTime]
    {"lastSyncDateTime": "2025-01-31 08:30Z[Etc/UTC]"}
        400 BadRequest: The property 'lastSyncDateTime' must be a date and time with a zone, such as 2025-01-31T08:30:00Z, but is '2025-01-31 08:30Z[Etc/UTC]'. [lastSyncDateTime]
    {"enableConnection": 1}
        400 BadRequest: The property 'enableConnection' must be true or false, but is the number 1. [enableConnection]
    "##);
    insta::assert_snapshot!(check("POST deviceImages", &[
        r#"{"expirationDate": "2026-04-14", "sizeInGB": 64}"#,
        r#"{"expirationDate": "2026-04-14T00:00:00Z"}"#,
        r#"{"expirationDate": "2026-4-14"}"#,
        r#"{"sizeInGB": 64.5}"#,
        r#"{"sizeInGB": 2147483647}"#,
        r#"{"sizeInGB": 2147483648}"#,
        r#"{"sizeInGB": "64"}"#,
        r#"{"sizeInGB": 1e400}"#,
    ]), @r#"
    {"expirationDate": "2026-04-14", "sizeInGB": 64}
        {"expirationDate":"2026-04-14","sizeInGB":64}
    {"expirationDate": "2026-04-14T00:00:00Z"}
        400 BadRequest: The property 'expirationDate' must be a date such as 2025-01-31, but is '2026-04-14T00:00:00Z'. [expirationDate]
    {"expirationDate": "2026-4-14"}
        400 BadRequest: The property 'expirationDate' must be a date such as 2025-01-31, but is '2026-4-14'. [expirationDate]
    {"sizeInGB": 64.5}
        400 BadRequest: The property 'sizeInGB' must be a 32-bit integer, but is the number 64.5. [sizeInGB]
    {"sizeInGB": 2147483647}
        {"sizeInGB":2147483647}
    {"sizeInGB": 2147483648}
        400 BadRequest: The property 'sizeInGB' must be a 32-bit integer, but is the number 2147483648. [sizeInGB]
    {"sizeInGB": "64"}
        400 BadRequest: The property 'sizeInGB' must be a 32-bit integer, but is a string. [sizeInGB]
    {"sizeInGB": 1e400}
        400 BadRequest: The body cannot be parsed as JSON: number out of range at line 1 column 18. []
    "#);
}

#[test]
fn derived_types() {
    let bodies = [
        r##"{"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": "g"}}]}"##,
        r##"{"assignments": [{"target": {"@odata.type": "microsoft.graph.CLOUDPCMANAGEMENTGROUPASSIGNMENTTARGET", "groupId": "g"}}]}"##,
        r##"{"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPcManagementAssignmentTarget"}}]}"##,
        r##"{"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPC"}}]}"##,
        r##"{"assignments": [{"target": {"groupId": "g"}}]}"##,
    ];
    insta::assert_snapshot!(check("POST provisioningPolicies/p/assign", &bodies), @r##"
    {"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": "g"}}]}
        {"assignments":[{"target":{"@odata.type":"#microsoft.graph.cloudPcManagementGroupAssignmentTarget","groupId":"g"}}]}
    {"assignments": [{"target": {"@odata.type": "microsoft.graph.CLOUDPCMANAGEMENTGROUPASSIGNMENTTARGET", "groupId": "g"}}]}
        {"assignments":[{"target":{"@odata.type":"#microsoft.graph.cloudPcManagementGroupAssignmentTarget","groupId":"g"}}]}
    {"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPcManagementAssignmentTarget"}}]}
        {"assignments":[{"target":{}}]}
    {"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPC"}}]}
        400 BadRequest: '#microsoft.graph.cloudPC' is not the type microsoft.graph.cloudPcManagementAssignmentTarget or one derived from it. [assignments/0/target/@odata.type]
    {"assignments": [{"target": {"groupId": "g"}}]}
        {"assignments":[{"target":{"@odata.type":"#microsoft.graph.cloudPcManagementGroupAssignmentTarget","groupId":"g"}}]}
    "##);
    insta::assert_snapshot!(check_in(Version::V1, "POST provisioningPolicies/p/assign", &bodies), @r##"
    {"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPcManagementGroupAssignmentTarget", "groupId": "g"}}]}
        {"assignments":[{"target":{"@odata.type":"#microsoft.graph.cloudPcManagementGroupAssignmentTarget","groupId":"g"}}]}
    {"assignments": [{"target": {"@odata.type": "microsoft.graph.CLOUDPCMANAGEMENTGROUPASSIGNMENTTARGET", "groupId": "g"}}]}
        {"assignments":[{"target":{"@odata.type":"#microsoft.graph.cloudPcManagementGroupAssignmentTarget","groupId":"g"}}]}
    {"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPcManagementAssignmentTarget"}}]}
        400 BadRequest: '@odata.type' must name a type derived from cloudPcManagementAssignmentTarget. [assignments/0/target/@odata.type]
    {"assignments": [{"target": {"@odata.type": "#microsoft.graph.cloudPC"}}]}
        400 BadRequest: '#microsoft.graph.cloudPC' is not the type microsoft.graph.cloudPcManagementAssignmentTarget or one derived from it. [assignments/0/target/@odata.type]
    {"assignments": [{"target": {"groupId": "g"}}]}
        {"assignments":[{"target":{"@odata.type":"#microsoft.graph.cloudPcManagementGroupAssignmentTarget","groupId":"g"}}]}
    "##);
}

#[test]
fn several_members_of_a_flags_enum() {
    insta::assert_snapshot!(check("POST provisioningPolicies", &[
        r#"{"managedBy": "windows365"}"#,
        r#"{"managedBy": "Windows365, DEVBOX"}"#,
        r#"{"managedBy": "windows365,"}"#,
        r#"{"managedBy": ["windows365"]}"#,
        r#"{"provisioningType": "dedicated,shared"}"#,
    ]), @r#"
    {"managedBy": "windows365"}
        {"managedBy":"windows365"}
    {"managedBy": "Windows365, DEVBOX"}
        {"managedBy":"windows365,devBox"}
    {"managedBy": "windows365,"}
        400 BadRequest: '' is not a member of cloudPcManagementService; its members are windows365, devBox, rpaBox, microsoft365Opal, microsoft365BizChat. [managedBy]
    {"managedBy": ["windows365"]}
        400 BadRequest: The property 'managedBy' must be a member of microsoft.graph.cloudPcManagementService, but is an array. [managedBy]
    {"provisioningType": "dedicated,shared"}
        400 BadRequest: 'dedicated,shared' is not a member of cloudPcProvisioningType; its members are dedicated, shared, sharedByUser, sharedByEntraGroup, reserve. [provisioningType]
    "#);
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let reprovision = operation(Version::Beta, "POST cloudPCs/x/reprovision");
    let parsed = |body: &str| described(parse(Edm::of(Version::Beta), reprovision, body.as_bytes()));
    assert_eq!(parsed("\u{feff}{\"osVersion\": \"windows11\"}"), r#"{"osVersion":"windows11"}"#);
    assert_eq!(parsed("\u{feff} "), "{}");
    assert!(parsed("\u{feff}\u{feff}{}").starts_with("400"));
}

/// `null` counts as omitted, but not in a duplicate.
#[test]
fn duplicate_names_are_rejected_ignoring_case() {
    let reprovision = operation(Version::Beta, "POST cloudPCs/x/reprovision");
    for body in [
        r#"{"osVersion": "windows11", "OsVersion": null}"#,
        r#"{"osVersion": null, "OSVERSION": null}"#,
        r##"{"@odata.type": "#x", "@OData.Type": "#x"}"##,
    ] {
        assert!(
            described(parse(Edm::of(Version::Beta), reprovision, body.as_bytes())).contains("duplicate name"),
            "{body}"
        );
    }
}

#[test]
fn body_nesting_is_limited() {
    let partners = operation(Version::Beta, "POST externalPartners");
    let message = |levels: usize| {
        let body = format!("{{\"partnerId\": {}{}}}", "[".repeat(levels - 1), "]".repeat(levels - 1));
        parse(Edm::of(Version::Beta), partners, body.as_bytes()).unwrap_err().message
    };
    insta::assert_snapshot!(message(DEPTH_MAX), @"The property 'partnerId' must be a string, but is an array.");
    insta::assert_snapshot!(message(DEPTH_MAX + 1), @"The body cannot be parsed as JSON: more than 32 levels of arrays and objects at line 1 column 47.");
    insta::assert_snapshot!(message(100_000), @"The body cannot be parsed as JSON: more than 32 levels of arrays and objects at line 1 column 46.");
}

#[test]
fn string_length_is_limited() {
    let partners = operation(Version::Beta, "POST externalPartners");
    let answer = |bytes: usize| {
        let body = format!("{{\"partnerId\": \"{}\"}}", "x".repeat(bytes));
        parse(Edm::of(Version::Beta), partners, body.as_bytes()).map_err(|error| error.target)
    };
    assert!(answer(STRING_BYTES_MAX).is_ok());
    assert_eq!(answer(STRING_BYTES_MAX + 1), Err(Some("partnerId".into())));
}

#[test]
fn own_actions_take_bodies() {
    insta::assert_snapshot!(check("POST externalPartners/p/cloudpc.allowUrls", &[
        r#"{"urls": ["https://a.test/agents/"]}"#,
        r#"{"urls": "https://a.test/agents/"}"#,
        r#"{"url": []}"#,
    ]), @r#"
    {"urls": ["https://a.test/agents/"]}
        {"urls":["https://a.test/agents/"]}
    {"urls": "https://a.test/agents/"}
        400 BadRequest: The property 'urls' must be a collection of Edm.String, but is a string. [urls]
    {"url": []}
        400 BadRequest: The property 'url' does not exist on the parameters of cloudPcExternalPartner.allowUrls. [url]
    "#);
}
