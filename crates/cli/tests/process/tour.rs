//! The tour of the demo with client verbs alone, and the program's error messages.

use serde_json::Value;

use crate::service::{NO_AUTHORITIES, Run, Service, run};

const PARTNER: &str = "fab00000-0000-4000-8000-000000000fab";

fn texts<'a>(rows: &'a Value, name: &str) -> Vec<&'a str> {
    rows.as_array().unwrap().iter().map(|row| row[name].as_str().unwrap()).collect()
}

#[test]
fn the_tour_of_the_demo() {
    let mut service = Service::start(&["--demo"]);

    let machines = service.json(&["list"]);
    assert_eq!(machines.as_array().unwrap().len(), 60);
    assert!(texts(&machines, "status").iter().all(|status| *status == "provisioned"));
    let table = service.run(&["list", "--top", "2"]).out;
    assert_eq!(table.lines().count(), 3, "{table}");
    assert!(table.starts_with("NAME"), "{table}");

    let reprovisioned = service.run(&["reprovision", "desk-07", "--wait"]);
    assert_eq!(reprovisioned.exit, 0, "{}", reprovisioned.err);
    let results = service.json(&["results", "desk-07"]);
    assert_eq!((texts(&results, "actionName"), texts(&results, "actionState")), (vec!["Reprovision"], vec!["done"]));

    let ten: Vec<_> = (1..=10).map(|number| format!("desk-{number:02}")).collect();
    let deploy: Vec<_> =
        ["partner", "deploy", PARTNER, "--wait"].into_iter().chain(ten.iter().map(String::as_str)).collect();
    let deployed = service.json(&deploy);
    assert_eq!(texts(&deployed, "state"), ["succeeded"; 10]);
    assert_eq!(service.json(&["partner", "results", PARTNER]), deployed);
    assert_eq!(texts(&service.json(&["partner", "reports", PARTNER]), "actionType"), ["deployAgent"; 10]);

    let failing = service.run(&["partner", "deploy", PARTNER, "desk-59", "desk-60", "--wait", "-o", "json"]);
    assert_eq!((failing.exit, failing.err.trim_end()), (1, "error: 2 of 2 deployments did not succeed."));
    let codes = serde_json::from_str(&failing.out).unwrap();
    assert_eq!(texts(&codes, "errorCode"), ["checkDiskSpaceFailed", "checkNetworkConnectionFailed"]);

    assert_eq!(service.stop(), Some(0));
    assert_eq!(service.run(&["list"]).exit, 6, "the service has stopped");
    service.start_again(&["--demo"]);
    assert_eq!(service.json(&["partner", "results", PARTNER]).as_array().unwrap().len(), 12, "no result was lost");
}

#[test]
fn demo_users_have_generated_passwords_in_an_owner_only_file() {
    let mut service = Service::start(&["--demo"]);
    let path = service.data().join("passwords.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let passwords: Value = serde_json::from_str(&text).unwrap();
    let names = texts(&passwords, "userPrincipalName");
    assert_eq!(names, ["ada@contoso.test", "grace@contoso.test", "alan@contoso.test"]);
    let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
    assert_eq!(mode & 0o077, 0);
    service.stop();
    service.start_again(&["--demo"]);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), text, "a restart keeps the passwords");
    let other = Service::start(&["--demo"]);
    let others = std::fs::read_to_string(other.data().join("passwords.json")).unwrap();
    assert_ne!(others, text, "each installation has its own passwords");
}

#[test]
fn a_demo_machine_can_be_resized() {
    let service = Service::start(&["--demo"]);
    let resized = service.run(&["resize", "desk-07", "Cloud PC Business 4vCPU/16GB/256GB", "--wait"]);
    assert_eq!(resized.exit, 0, "{}", resized.err);
    let listed = service.json(&["list", "--filter", "displayName eq 'desk-07'"]);
    assert_eq!(listed[0]["servicePlanName"], "Cloud PC Business 4vCPU/16GB/256GB");
}

#[test]
fn a_host_without_certificate_authorities_serves_and_reports_the_missing_package() {
    let service = Service::start_without_authorities(&["--demo"]);
    let data = service.data();
    // The server accepts connections, but serves nothing.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let agent = &format!("https://{}/agent.exe", listener.local_addr().unwrap());
    for arguments in [
        &["list"][..],
        &["partner", "allow", PARTNER, agent],
        &["partner", "configure", PARTNER, "--agent-url", agent, "--agent-sha256", &"a".repeat(64)],
    ] {
        let run = run(&[arguments, &["--data", data.to_str().unwrap()]].concat(), &NO_AUTHORITIES);
        assert_eq!((run.exit, run.err.contains("certificate")), (0, false), "{arguments:?}: {}", run.err);
    }
    let deployed = service.run(&["partner", "deploy", PARTNER, "desk-01", "--wait"]);
    assert!(deployed.exit == 1 && deployed.out.contains("ca-certificates"), "{}{}", deployed.out, deployed.err);
    let elsewhere = [("CLOUDPC_URL", "https://127.0.0.1:1"), ("CLOUDPC_TOKEN", "x")];
    let outside = run(&["list"], &[NO_AUTHORITIES, elsewhere].concat());
    assert!(outside.err.contains("ca-certificates"), "{}", outside.err);
}

#[test]
fn simulation_controls() {
    let service = Service::start(&["--demo"]);
    service.json(&["sim", "clock", "pause"]);
    service.json(&["sim", "fault", "add", "--cloud-pc", "desk-05", "--kind", "reprovision", "--fail", "imageGone"]);
    service.json(&["reprovision", "desk-05"]);
    service.json(&["reprovision", "desk-06"]);

    let again = service.run(&["reboot", "desk-06"]);
    assert_eq!(again.exit, 4, "{}", again.err);
    assert!(again.err.contains("(remoteActionInProgress)"), "{}", again.err);
    let waiting = service.json(&["actions", "desk-06"]);
    assert!(["pending", "running"].contains(&texts(&waiting, "state")[0]), "{waiting}");
    assert_eq!(service.run(&["cancel", "desk-06"]).exit, 0);

    let idle = service.json(&["sim", "clock", "idle"]);
    assert_eq!(idle["openActions"], 0, "{idle}");
    let failed = service.json(&["actions", "desk-05"]);
    assert_eq!((texts(&failed, "state"), texts(&failed, "errorCode")), (vec!["failed"], vec!["imageGone"]));
    assert_eq!(texts(&service.json(&["actions", "desk-06"]), "state"), ["canceled"]);
    assert_eq!(service.json(&["sim", "fault", "list"])[0]["matches"], 1);

    let saved = service.run(&["sim", "scenario", "save"]).out;
    let file = service.data().join("saved.toml");
    std::fs::write(&file, &saved).unwrap();
    assert_eq!(service.run(&["sim", "reset"]).exit, 0);
    assert_eq!(service.json(&["list"]), serde_json::json!([]));
    let loaded = service.run(&["sim", "scenario", "load", file.to_str().unwrap()]);
    assert_eq!(loaded.exit, 0, "{}", loaded.err);
    assert_eq!(service.run(&["sim", "scenario", "save"]).out, saved);
    assert_eq!(service.json(&["list"]).as_array().unwrap().len(), 60);
}

#[test]
fn an_injected_incident_is_handled() {
    let service = Service::start(&["--demo"]);
    service.json(&["sim", "clock", "pause"]);
    for (name, incident) in [("desk-07", "crash"), ("desk-08", "shut-down")] {
        let injected = service.run(&["sim", "incident", name, incident]);
        assert_eq!(injected.exit, 0, "{}", injected.err);
    }
    service.json(&["sim", "clock", "advance", "1m"]);
    service.json(&["sim", "clock", "idle"]);
    let started = service.json(&["actions", "desk-07"]);
    assert_eq!((texts(&started, "kind"), texts(&started, "state")), (vec!["powerOn"], vec!["done"]));
    assert_eq!(service.json(&["actions", "desk-08"]), Value::Array(vec![]), "a shutdown by the user is not undone");
    let unknown = service.run(&["sim", "incident", "desk-99", "panic"]);
    assert_eq!(unknown.exit, 3, "{}", unknown.err);
}

#[test]
fn an_undo_works_within_its_window_only() {
    let service = Service::start(&["--demo"]);
    let refused = |code: &str| {
        let undo = service.run(&["undo", "desk-07"]);
        assert_eq!(undo.exit, 4, "{}", undo.err);
        assert!(undo.err.contains(code), "{}", undo.err);
    };
    refused("(nothingToUndo)");
    service.json(&["partner", "deploy", PARTNER, "desk-07", "--wait"]);
    assert_eq!(agents_on(&service, "desk-07"), ["agent-4.2.msi"], "the agent marks the disk");

    service.json(&["reprovision", "desk-07", "--wait"]);
    assert_eq!(agents_on(&service, "desk-07"), [""; 0], "the new disk has no agent");
    let undone = service.json(&["undo", "desk-07", "--wait"]);
    assert_eq!((&undone["kind"], &undone["state"]), (&"undo".into(), &"done".into()));
    assert_eq!(agents_on(&service, "desk-07"), ["agent-4.2.msi"], "the marker is back");
    let results = service.json(&["results", "desk-07"]);
    assert_eq!(texts(&results, "actionName"), ["Undo", "Reprovision"]);

    service.json(&["sim", "clock", "advance", "7d"]);
    refused("(undoWindowPassed)");
}

/// Returns the agents on the disk of a simulated machine, as last recorded.
fn agents_on(service: &Service, name: &str) -> Vec<String> {
    let listed = service.json(&["list", "--filter", &format!("displayName eq '{name}'")]);
    let machines = std::fs::read_to_string(service.data().join("sim/machines.jsonl")).unwrap();
    let mut lines = machines.lines().rev().map(|line| serde_json::from_str::<Value>(line).unwrap()["is"].take());
    let machine = lines.find(|machine| machine["spec"]["id"] == listed[0]["id"]).unwrap();
    machine["disk"]["agents"]
        .as_array()
        .map_or_else(Vec::new, |agents| agents.iter().map(|agent| agent.as_str().unwrap().to_owned()).collect())
}

#[test]
fn disabled_apps_and_rotated_keys_reject_tokens() {
    let service = Service::start(&["--demo"]);
    let app = service.json(&["app", "create", "--name", "ci", "--permission", "CloudPC.Read.All"]);
    let id = app["clientId"].as_str().unwrap();
    let token = service.run(&["token", "--app", id]).out;
    let authority = service.data().join("ca.pem");
    let list = || {
        let environment = [
            ("CLOUDPC_URL", service.https()),
            ("CLOUDPC_TOKEN", token.trim()),
            ("CLOUDPC_CA", authority.to_str().unwrap()),
        ];
        run(&["list"], &environment).exit
    };
    assert_eq!(list(), 0);
    assert_eq!(service.json(&["app", "disable", id])["enabled"], false);
    assert_eq!(list(), 5);
    assert_eq!(service.json(&["app", "enable", id])["enabled"], true);
    assert_eq!(list(), 0);
    assert_eq!((service.run(&["keys", "rotate"]).exit, list()), (0, 0));
    assert_eq!((service.run(&["keys", "rotate", "--drop-old"]).exit, list()), (0, 5));
    assert_eq!(service.run(&["list"]).exit, 0, "a new sign-in is not affected");
    assert_eq!(service.run(&["app", "disable", "nobody"]).exit, 3);
}

#[test]
fn errors_say_what_is_wrong_and_what_to_do() {
    let service = Service::start(&["--demo"]);
    let token = service.run(&["token", "--user", "alan@contoso.test"]);
    assert_eq!((token.exit, token.out.lines().count()), (0, 1), "{}", token.err);
    let authority = service.data().join("ca.pem");
    let reader = [
        ("CLOUDPC_URL", service.https()),
        ("CLOUDPC_TOKEN", token.out.trim()),
        ("CLOUDPC_CA", authority.to_str().unwrap()),
    ];
    assert_eq!(run(&["list"], &reader).exit, 0, "the environment is used, over TLS");

    let message = |run: Run| format!("{}: {}", run.exit, run.err);
    let message = [
        message(run(&["reprovision", "desk-07"], &reader)),
        message(run(&["list"], &[("CLOUDPC_URL", "http://127.0.0.1:1"), ("CLOUDPC_TOKEN", "x")])),
        message(run(&["list"], &[("CLOUDPC_URL", "nonsense"), ("CLOUDPC_TOKEN", "x")])),
        message(run(&["list"], &[("CLOUDPC_URL", "http://127.0.0.1:1")])),
        message(run(&["list", "--data", "/nowhere"], &[])),
        message(service.run(&["results", "desk-99"])),
        message(service.run(&["results", "00000000-0000-4000-8000-000000000000"])),
        message(service.run(&["cancel", "desk-08"])),
        message(service.run(&["partner", "results", "nobody"])),
        message(service.run(&["resize", "desk-08", "huge"])),
        message(service.run(&["app", "create", "--name", "x", "--permission", "y"])),
        message(service.run(&["sim", "clock", "advance", "soon"])),
        message(service.run(&["sim", "scenario", "load", "/nowhere.toml"])),
        message(service.run(&["list", "--filter", "displayName eq"])),
        message(run(&["serve", "--scenario", "/nowhere.toml"], &[])),
        message(run(&["serve", "--listen", "localhost"], &[])),
    ];
    insta::assert_snapshot!(message.concat(), @"
    5: error: The token lacks the delegated permission CloudPC.ReadWrite.All. (Forbidden)
    6: error: Cannot reach the service: no answer from http://127.0.0.1:1: Connection refused (os error 111). Is it running?
    2: error: Invalid service URL: 'nonsense' is not a service URL; expected a URL such as https://127.0.0.1:8366.
    5: error: CLOUDPC_URL is set but CLOUDPC_TOKEN is not. Set it to an access token of that service, or pass its data directory with --data.
    6: error: No service found: cannot read /nowhere/admin.json (No such file or directory (os error 2)). Start one with `cloudpc serve --demo`, pass its data directory with --data, or set CLOUDPC_URL and CLOUDPC_TOKEN.
    3: error: No Cloud PC is named 'desk-99'. Run `cloudpc list` to see all names.
    3: error: There is no Cloud PC with the id '00000000-0000-4000-8000-000000000000'. (ResourceNotFound)
    3: error: No action is in progress on desk-08.
    3: error: No partner has the id 'nobody'. Run `cloudpc partner list` to see all partners.
    3: error: No service plan is named 'huge'. Available plans:
      Cloud PC Business 2vCPU/8GB/128GB
      Cloud PC Business 4vCPU/16GB/256GB
      Cloud PC Enterprise 4vCPU/16GB/256GB
    4: error: Unknown permission 'y'. Available permissions: CloudPC.Read.All, CloudPC.ReadWrite.All, Cloudpc.Administer.All, Cloudpc.Simulate.All, DeviceManagementManagedDevices.Read.All, DeviceManagementManagedDevices.ReadWrite.All, DeviceManagementRBAC.Read.All, DeviceManagementRBAC.ReadWrite.All, Directory.Read.All, Directory.ReadWrite.All, Group.Read.All, Group.ReadWrite.All, GroupMember.Read.All, GroupMember.ReadWrite.All, LicenseAssignment.ReadWrite.All, Organization.Read.All, RoleManagement.Read.All, RoleManagement.Read.CloudPC, RoleManagement.ReadWrite.CloudPC, User.Read, User.Read.All, User.ReadBasic.All, User.ReadWrite.All. (BadRequest)
    4: error: Invalid duration 'soon'. Expected a duration such as 90s, 1h30m, 7d or PT1H30M. (BadRequest)
    3: error: Cannot read /nowhere.toml: No such file or directory (os error 2).
    4: error: $filter is invalid at character 15: expected a property, a value or a function. (BadRequest)
    3: error: Cannot read the scenario /nowhere.toml: No such file or directory (os error 2).
    2: error: invalid value 'localhost' for '--listen <ADDR>': Invalid listen address 'localhost'. Expected HOST:PORT, for example 127.0.0.1:8365 (port 0: any free port), or off.

    For more information, try '--help'.
    ");
}
