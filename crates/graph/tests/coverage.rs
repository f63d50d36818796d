//! Coverage: every operation of the contract is reached by every path that the contract has for it.

use std::collections::{BTreeMap, BTreeSet};

use cloudpc_graph::{Edm, Method, Operation, OperationKind, Scope, Version};
use serde_json::Value;

const OBSERVED: &str = include_str!("../../../contract/observed.json");
const MONITORING: &str = include_str!("../../../contract/monitoring.json");
const FILES: [(Version, &str); 6] = [
    (Version::V1, include_str!("../../../contract/operations.v1.json")),
    (Version::Beta, include_str!("../../../contract/operations.beta.json")),
    (Version::V1, MONITORING),
    (Version::Beta, MONITORING),
    (Version::V1, OBSERVED),
    (Version::Beta, OBSERVED),
];

/// Returns a path with every `{…}` filled in.
fn filled(path: &str) -> String {
    let mut filled = String::new();
    for part in path.split_inclusive(['{', '}']) {
        match part.strip_suffix('}') {
            Some(_) => filled.push_str("x1"),
            None => filled.push_str(part.trim_end_matches('{')),
        }
    }
    // The only argument that is not a string has no quotes.
    filled.replace("transitive=x1", "transitive=true")
}

#[test]
fn every_documented_path_leads_to_its_operation() {
    for (version, text) in FILES {
        let edm = Edm::of(version);
        let file: Value = serde_json::from_str(text).unwrap();
        for raw in file["operations"].as_array().unwrap() {
            // Only the files of both versions say which of them have the operation.
            let apis = raw["api"].as_array();
            if apis.is_some_and(|apis| !apis.iter().any(|api| api == version.segment())) {
                continue;
            }
            let documented = raw["path"].as_str().unwrap();
            let method = Method::named(raw["method"].as_str().unwrap()).unwrap();
            let mut paths = vec![documented.to_owned(), documented.trim_end_matches("()").to_owned()];
            paths.extend(raw["sdk_path"].as_str().map(str::to_owned));
            // The Python SDK omits the commas between arguments.
            paths.extend(paths.clone().iter().map(|path| path.replace(',', "")));
            for path in paths.iter().map(|path| filled(path)) {
                for path in [path.clone(), path.to_uppercase(), format!("/{path}/"), path.replace('\'', "%27")] {
                    let target = edm.resolve(method, &path, "").unwrap_or_else(|error| panic!("{path}: {error}"));
                    assert_eq!(target.operation.path, documented, "{path}");
                }
            }
        }
    }
}

#[test]
fn key_and_method_identify_an_operation_across_roots() {
    for version in [Version::V1, Version::Beta] {
        let mut paths: BTreeMap<(&str, Method), BTreeSet<&str>> = BTreeMap::new();
        // An alternate key leads to the same entity.
        let is_alternate = |own: &&Operation| own.kind == OperationKind::Get && own.path.ends_with("')");
        for operation in Edm::of(version).operations.iter().filter(|own| !is_alternate(own)) {
            let roots = ["/deviceManagement/virtualEndpoint", "/users/{user-id}"];
            let below = roots.iter().find_map(|root| operation.path.strip_prefix(root)).unwrap_or(&operation.path);
            paths.entry((&operation.key, operation.method)).or_default().insert(below);
        }
        for (key, paths) in paths {
            assert_eq!(paths.len(), 1, "{key:?} names {paths:?}");
        }
    }
}

#[test]
fn keys_are_the_same_in_both_versions() {
    let keys = |version| -> BTreeMap<(&'static str, Method), &'static str> {
        let operations = Edm::of(version).operations.iter();
        operations.map(|operation| ((operation.path.as_str(), operation.method), operation.key.as_str())).collect()
    };
    let beta = keys(Version::Beta);
    for (path, key) in keys(Version::V1) {
        if let Some(beta_key) = beta.get(&path) {
            assert_eq!(*beta_key, key, "{path:?}");
        }
    }
}

#[test]
fn keys_are_as_documented() {
    let paths = |version| -> BTreeSet<&'static str> {
        Edm::of(version).operations.iter().map(|operation| operation.key.as_str()).collect()
    };
    let beta = paths(Version::Beta);
    for key in [
        "cloudPC.list",
        "cloudPC.get",
        "cloudPC.count",
        "cloudPC.reprovision",
        "cloudPC.retrieveCloudPCRemoteActionResults",
        "cloudPC.getProvisionedCloudPCs",
        "managedDevice.reprovisionCloudPc",
        "managedDevice.getCloudPcRemoteActionResults",
        "managedDevice.bulkReprovisionCloudPc",
        "virtualEndpoint.get",
        "virtualEndpoint.getEffectivePermissions",
        "cloudPcExternalPartner.list",
        "cloudPcExternalPartner.get",
        "cloudPcExternalPartner.create",
        "cloudPcExternalPartner.update",
        "cloudPcExternalPartner.delete",
        "cloudPcExternalPartner.count",
        "cloudPcExternalPartner.configureAgent",
        "cloudPcExternalPartner.deployAgent",
        "cloudPcExternalPartner.retrieveDeployAgentActionResults",
        "cloudPcExternalPartner.retrieveActionReports",
        "cloudPcExternalPartner.heartbeat",
        "cloudPcExternalPartner.setDetection",
        "cloudPcExternalPartner.allowUrls",
        "activity.actions",
        "activity.cancel",
        "principals.list",
        "directoryScopes.list",
        "rbacApplicationMultiple.get",
        "users.get",
        "users.assignLicense",
        "groups.create",
        "members.list",
        "members.create",
        "members.delete",
        "memberOf.list",
        "licenseDetails.list",
        "subscribedSku.list",
        "assignedUsers.list",
    ] {
        assert!(beta.contains(key), "{key}");
    }
    let v1 = paths(Version::V1);
    for key in ["cloudPC.actions", "action.get", "action.cancel", "action.settle"] {
        assert!(beta.contains(key) && v1.contains(key), "{key}");
    }
    assert!(!v1.contains("cloudPcExternalPartner.heartbeat"));
    assert!(!v1.contains("managedDevice.reprovisionCloudPc"));
}

#[test]
fn every_root_reaches_the_same_operation() {
    let edm = Edm::of(Version::Beta);
    for (path, scope) in [
        ("/deviceManagement/virtualEndpoint/cloudPCs/x1/reprovision", Scope::Tenant),
        ("/me/cloudPCs/x1/reprovision", Scope::Me),
        ("/users/ada@contoso.test/cloudPCs/x1/reprovision", Scope::User("ada@contoso.test".into())),
    ] {
        let target = edm.resolve(Method::Post, path, "").unwrap();
        assert_eq!((target.operation.key.as_str(), &target.scope), ("cloudPC.reprovision", &scope));
        assert_eq!(target.keys, ["x1"]);
    }
}

#[test]
fn every_type_of_an_operation_is_declared() {
    for version in [Version::V1, Version::Beta] {
        let edm = Edm::of(version);
        for operation in &edm.operations {
            let Some(name) = &operation.item_type else { continue };
            let known = name.starts_with("Edm.") || edm.type_named(name).is_some() || edm.enum_named(name).is_some();
            assert!(known, "{} of {}", name, operation.path);
        }
    }
}
