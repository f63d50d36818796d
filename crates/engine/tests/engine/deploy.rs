//! Deployments: every error code of the real pipeline, the order of the checks, waiting in line,
//! and deployments that follow a reprovision automatically.

use cloudpc_drivers::sim::{Artifact, Pace, ScriptedCondition};
use cloudpc_engine::FaultRule;
use cloudpc_model::{
    ActionId, ActorKind, AgentSetting, Clock, CloudPcId, CloudPcStatus, ErrorKind, Kind, Params, PartnerId, Power,
    Product, State, TenantId,
};
use cloudpc_store::{ActionFilter, Deployment, DeploymentFilter, ReportType};
use std::fmt::Write;
use std::time::Duration;
use uuid::Uuid;

use crate::world::{AGENT_URL, TestEngine, agent, artifact, asked, fail, rule, settings, tenant};

const REPROVISION: Params = Params::Reprovision { os_version: None, user_account_type: None, image_id: None };

/// Returns all results of the partner, in order.
async fn results(world: &TestEngine) -> Vec<Deployment> {
    let (partner, filter) = (world.partner, DeploymentFilter::default());
    let (first, last) = (ActionId(0), ActionId(i64::MAX));
    world.change(move |tx| tx.deployment_list(tenant(), partner, &filter, first, last, 1000)).await
}

/// Deploys to `target` and returns how the deployment ends.
async fn ends(world: &mut TestEngine, target: &str) -> String {
    let id = world.deploy(target).await;
    let ended = world.end(id).await;
    world.check_log(id).await;
    let result = results(world).await.pop().unwrap();
    assert_eq!((result.action_id, result.state, result.failure.as_ref()), (id, ended.state, ended.failure()));
    assert_eq!(result.target, target, "as the caller named it");
    let state: &str = ended.state.into();
    match ended.failure() {
        Some(failure) => format!("{state} {}: {}", failure.code, failure.message),
        None => state.to_owned(),
    }
}

#[tokio::test]
async fn every_error_code_comes_from_the_pipeline() {
    let mut world =
        TestEngine::with(1, cloudpc_engine::EngineSettings { agent_bytes_max: 10_000_000, ..settings() }).await;
    let mut table = String::new();
    let mut conditions = vec![
        ("healthy", ScriptedCondition::default()),
        ("a full disk", ScriptedCondition { disk_full: true, ..ScriptedCondition::default() }),
        ("no network", ScriptedCondition { no_network: true, ..ScriptedCondition::default() }),
        ("a guest that hangs", ScriptedCondition { guest_hangs: true, ..ScriptedCondition::default() }),
        (
            "an installer that fails",
            ScriptedCondition { install_exit_code: Some(1603), ..ScriptedCondition::default() },
        ),
        ("an installer that hangs", ScriptedCondition { install_hangs: true, ..ScriptedCondition::default() }),
    ];
    let mut ids = Vec::new();
    for (number, (_, scripted_condition)) in (1..).zip(&conditions) {
        ids.push(world.add(number, scripted_condition.clone()).await);
    }
    world.start();
    for ((what, _), id) in conditions.drain(..).zip(&ids) {
        writeln!(table, "{what}\n  {}", ends(&mut world, &id.to_string()).await).unwrap();
    }
    let healthy = ids[0];

    for (what, target) in [("an unknown id", Uuid::from_u128(404).to_string()), ("no id", "desk 4'; --".into())] {
        writeln!(table, "{what}\n  {}", ends(&mut world, &target).await).unwrap();
    }
    world.update(healthy, |cloud_pc| cloud_pc.status = CloudPcStatus::InGracePeriod).await;
    writeln!(table, "in its grace period\n  {}", ends(&mut world, &healthy.to_string()).await).unwrap();
    world.update(healthy, |cloud_pc| cloud_pc.status = CloudPcStatus::Provisioned).await;
    let off = world.engine.request(&asked(), healthy, Params::PowerOff).await.unwrap();
    assert_eq!(world.end(off).await.state, State::Done);
    writeln!(table, "powered off\n  {}", ends(&mut world, &healthy.to_string()).await).unwrap();
    let on = world.engine.request(&asked(), healthy, Params::PowerOn).await.unwrap();
    assert_eq!(world.end(on).await.state, State::Done);

    for (what, url) in [
        ("a plain http address", "http://agents.partner.test/files/agent.msi"),
        ("an address of this host", "https://127.0.0.1/agent.msi"),
        ("a local file", "file:///etc/agent.msi"),
        ("no address", "agent.msi"),
    ] {
        world.update_partner(move |partner| partner.agent = Some(AgentSetting { url: url.into(), ..agent() })).await;
        writeln!(table, "{what}\n  {}", ends(&mut world, &healthy.to_string()).await).unwrap();
    }
    let exe = "https://agents.partner.test/files/agent.EXE";
    for (what, url, sha256, served) in [
        ("a huge file", AGENT_URL, "ab", Artifact { size_bytes: 10_000_001, ..artifact() }),
        ("another extension", "https://agents.partner.test/a.zip", "ab", artifact()),
        ("an error page", AGENT_URL, "ab", Artifact { format: "html".into(), ..artifact() }),
        ("an msi named exe", exe, "ab", artifact()),
        ("another checksum", AGENT_URL, "cd", artifact()),
        ("an exe", exe, "AB", Artifact { format: "exe".into(), ..artifact() }),
    ] {
        let url = url.to_owned();
        world.driver.configure(Pace::default(), vec![Artifact { url: url.clone(), ..served }]);
        let sha256 = sha256.repeat(32);
        world.update_partner(move |partner| partner.agent = Some(AgentSetting { url, sha256, ..agent() })).await;
        writeln!(table, "{what}\n  {}", ends(&mut world, &healthy.to_string()).await).unwrap();
    }
    world.driver.configure(Pace::default(), vec![artifact()]);
    let held = world.deploy(&healthy.to_string()).await;
    let partner = world.partner;
    world.change(move |tx| tx.partner_delete(tenant(), partner)).await;
    let ended = world.end(held).await;
    let failure = ended.failure().unwrap();
    writeln!(table, "a partner that was deleted\n  {} {}", failure.code, failure.message).unwrap();
    insta::assert_snapshot!(table, @"
    healthy
      done
    a full disk
      failed checkDiskSpaceFailed: The system disk has 16 MiB free; the agent needs 1024 MiB. Free some space or resize the Cloud PC.
    no network
      failed checkNetworkConnectionFailed: The Cloud PC cannot reach agents.partner.test: agents.partner.test cannot be reached: no network (after 3 attempts).
    a guest that hangs
      failed executeActionTimeout: The guest did not respond within 600 seconds.
    an installer that fails
      failed executeActionFailed: The installer failed with exit code 1603: Installation failed: error 1603.
    an installer that hangs
      failed executeActionTimeout: The installer did not finish within 1800 seconds.
    an unknown id
      canceled deviceNotFound: Cloud PC not found or invalid
    no id
      canceled deviceNotFound: Cloud PC not found or invalid
    in its grace period
      canceled deviceNotAvailable: The Cloud PC's status is 'inGracePeriod'. Retry when it is 'provisioned'.
    powered off
      canceled deviceNotAvailable: The Cloud PC is powered off. Power it on, then retry.
    a plain http address
      failed agentNotFound: The agent's URL is not allowed: http://agents.partner.test/files/agent.msi: http is allowed only under an allowed URL prefix that names the host; use https. Configure the agent with another URL.
    an address of this host
      failed agentNotFound: The agent's URL is not allowed: https://127.0.0.1/agent.msi: 127.0.0.1 is not a public address; to allow the host, add a URL prefix that names it to the allowed URLs. Configure the agent with another URL.
    a local file
      failed agentNotFound: The agent's URL is not allowed: file:///etc/agent.msi: only https URLs can be fetched. Configure the agent with another URL.
    no address
      failed agentNotFound: The agent's URL is not allowed: relative URL without a base. Configure the agent with another URL.
    a huge file
      failed agentNotFound: The agent was not found at its URL: https://agents.partner.test/files/agent.msi has 10000001 bytes; the limit is 10000000
    another extension
      failed invalidAgentFormat: 'a.zip' is not a Windows installer. The agent's URL must end in .exe or .msi.
    an error page
      failed invalidAgentFormat: The content of 'agent.msi' is not an installer. The server may have returned an error page; check the URL.
    an msi named exe
      failed invalidAgentFormat: The content of 'agent.EXE' is a Windows installer (.msi). The server may have returned an error page; check the URL.
    another checksum
      failed invalidAgentChecksum: The file's SHA-256 is abababababababababababababababababababababababababababababababab; the agent is configured with cdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcdcd. The file was changed, or the agent was configured for another file.
    an exe
      done
    a partner that was deleted
      agentNotFound The external partner was deleted, so the agent can no longer be downloaded.
    ");
    for code in cloudpc_engine::actions::DEPLOY_ERROR_CODES {
        assert!(code == "none" || table.contains(&format!(" {code}")), "{code}");
    }
}

#[tokio::test]
async fn checks_run_in_the_order_of_the_contract() {
    let mut world = TestEngine::new(1).await;
    let conditions = [
        ScriptedCondition {
            disk_full: true,
            no_network: true,
            install_exit_code: Some(1),
            ..ScriptedCondition::default()
        },
        ScriptedCondition { no_network: true, install_exit_code: Some(1), ..ScriptedCondition::default() },
        ScriptedCondition { install_exit_code: Some(1), ..ScriptedCondition::default() },
    ];
    let mut ids = Vec::new();
    for (number, scripted_condition) in (1..).zip(conditions) {
        ids.push(world.add(number, scripted_condition).await);
    }
    world.start();
    let mut codes = Vec::new();
    let mut serve = async |world: &mut TestEngine, id: CloudPcId, format: &str, sha256: &str| {
        world.driver.configure(Pace::default(), vec![Artifact { format: format.into(), ..artifact() }]);
        let sha256 = sha256.repeat(32);
        world.update_partner(move |partner| partner.agent = Some(AgentSetting { sha256, ..agent() })).await;
        let deployment = world.deploy(&id.to_string()).await;
        codes.push(world.end(deployment).await.failure().unwrap().code.clone());
    };
    // Everything is wrong at first; each round fixes one thing.
    world.update(ids[0], |cloud_pc| cloud_pc.status = CloudPcStatus::NotProvisioned).await;
    serve(&mut world, CloudPcId(Uuid::nil()), "html", "cd").await;
    serve(&mut world, ids[0], "html", "cd").await;
    world.update(ids[0], |cloud_pc| cloud_pc.status = CloudPcStatus::Provisioned).await;
    serve(&mut world, ids[0], "html", "cd").await;
    serve(&mut world, ids[1], "html", "cd").await;
    serve(&mut world, ids[2], "html", "cd").await;
    serve(&mut world, ids[2], "msi", "cd").await;
    serve(&mut world, ids[2], "msi", "ab").await;
    assert_eq!(
        codes,
        [
            "deviceNotFound",
            "deviceNotAvailable",
            "checkDiskSpaceFailed",
            "checkNetworkConnectionFailed",
            "invalidAgentFormat",
            "invalidAgentChecksum",
            "executeActionFailed"
        ]
    );
}

#[tokio::test]
async fn hanging_installer_is_killed_at_its_timeout() {
    let mut world = TestEngine::new(1).await;
    let id = world.add(1, ScriptedCondition { install_hangs: true, ..ScriptedCondition::default() }).await;
    world.start();
    let deployment = world.deploy(&id.to_string()).await;
    let begun = world.until(deployment, |action| action.step("runInstaller").is_some()).await;
    let begun = begun.step("runInstaller").unwrap().started_at;
    world.end(deployment).await;
    let took = world.clock.now().since(begun);
    assert_eq!(took, world.settings.install_time_max);
    assert_eq!(world.driver.installed_agents(id), [""; 0]);
}

#[tokio::test]
async fn deployment_succeeds_only_if_its_agent_is_detected() {
    let (mut world, id) = TestEngine::started(1).await;
    let detection = Some("agent --version".to_owned());
    world.update_partner(move |partner| partner.agent = Some(AgentSetting { detection, ..agent() })).await;

    let deployment = world.deploy(&id.to_string()).await;
    let found = world.end(deployment).await;
    assert_eq!(found.step("detectAgent").unwrap().message.as_deref(), Some("Agent detected."));

    world.driver.configure(Pace::default(), vec![Artifact { detection_exit_code: 3, ..artifact() }]);
    let deployment = world.deploy(&id.to_string()).await;
    let not_found = world.end(deployment).await;
    assert_eq!(not_found.step("detectAgent").unwrap().attempts, 3);
    let failure = not_found.failure().unwrap();
    assert_eq!(failure.code, "executeActionFailed");
    assert!(
        failure
            .message
            .contains("The installer succeeded, but the detection command failed with exit code 3: Not found"),
        "{}",
        failure.message
    );
}

#[tokio::test]
async fn deployments_queue_and_are_never_rejected() {
    let (mut world, id) = TestEngine::started(1).await;
    let reprovision = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    world.until(reprovision, |action| action.state == State::Running).await;
    let target = id.to_string();
    let (first, second, third) =
        (world.deploy(&target).await, world.deploy(&target).await, world.deploy(&target).await);
    for (ahead, deployment) in [(1, first), (2, second), (3, third)] {
        let action = world.action(deployment).await;
        let place = world.change(move |tx| tx.action_place(&action)).await;
        assert_eq!((place.ahead, place.behind), (ahead, Some(reprovision)));
    }
    world.engine.cancel(&asked(), second).await.unwrap();
    assert_eq!(world.end(third).await.state, State::Done);
    let ended = [world.action(reprovision).await, world.action(first).await, world.action(third).await];
    assert!(ended.iter().all(|action| action.state == State::Done));
    assert!(ended.is_sorted_by_key(|action| action.started_at));
    assert!(ended[1].started_at >= Some(ended[0].updated_at) && ended[2].started_at >= Some(ended[1].updated_at));
    let canceled = world.action(second).await;
    assert_eq!((canceled.state, canceled.started_at), (State::Canceled, None));
}

#[tokio::test]
async fn deployment_that_waits_too_long_times_out() {
    let (mut world, id) = TestEngine::started(1).await;
    world.faults.add(FaultRule { step: Some("enrol".into()), ..rule(fail()) });
    world.faults.add(FaultRule { step: Some("start".into()), undo: true, ..rule(fail()) });
    let stuck = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    assert_eq!(world.end(stuck).await.state, State::Stuck);
    let asked_at = world.clock.now();
    let mut waiting = Vec::new();
    for _ in 0..3 {
        waiting.push(world.deploy(&id.to_string()).await);
    }
    for deployment in waiting {
        let ended = world.end(deployment).await;
        assert_eq!((ended.state, &*ended.failure().unwrap().code), (State::Failed, "executeActionTimeout"));
        assert_eq!(ended.updated_at, ended.deadline_at, "neither sooner nor later");
        assert!(ended.deadline_at > asked_at);
        world.check_log(deployment).await;
    }
    assert_eq!(world.action(stuck).await.state, State::Stuck);
    assert_eq!(results(&world).await[0].state, State::Failed);
}

#[tokio::test]
async fn machines_deploy_in_parallel() {
    let mut world = TestEngine::new(1).await;
    let mut ids = Vec::new();
    for number in 1..=100 {
        ids.push(world.add(number, ScriptedCondition::default()).await.to_string());
    }
    world.start();
    let begun = world.clock.now();
    for fifty in ids.chunks(50) {
        world.engine.deploy(&asked(), world.partner, fifty.to_vec()).await.unwrap();
    }
    world.idle().await;
    assert!(results(&world).await.iter().all(|result| result.state == State::Done));
    // 30 s of download and 2 min of installation, each with jitter.
    assert!(world.clock.now().since(begun) < Duration::from_secs(38 + 151));
}

#[tokio::test]
async fn deploy_writes_one_action_result_and_report_per_target() {
    let (mut world, id) = TestEngine::started(1).await;
    let unknown = Uuid::from_u128(404).to_string();
    let names = [id.to_string(), id.to_string().to_uppercase(), unknown.clone(), unknown.clone()];
    let deployed = world.engine.deploy(&asked(), world.partner, names.to_vec()).await.unwrap();
    world.idle().await;
    let results = results(&world).await;
    let ended: Vec<_> = results.iter().map(|result| (result.target.as_str(), result.state)).collect();
    assert_eq!(ended, [(names[0].as_str(), State::Done), (unknown.as_str(), State::Canceled)]);
    assert!(results.iter().all(|result| result.activity_id == deployed.activity_id));
    let partner = world.partner;
    let reports = world.change(move |tx| tx.report_list(tenant(), partner, None, 100)).await;
    assert!(reports.iter().all(|report| report.report_type == ReportType::DeployAgent
        && report.activity_id == Some(deployed.activity_id)
        && report.agent_name == "agent.msi"
        && report.agent.is_none()));
    let said: Vec<_> = reports.iter().rev().map(|report| (&*report.cloud_pc_name, &*report.message)).collect();
    insta::assert_debug_snapshot!(said, @r#"
    [
        (
            "CPC-1",
            "Requested deployment of agent.msi to CPC-1.",
        ),
        (
            "",
            "Requested deployment of agent.msi to '00000000-0000-0000-0000-000000000194', which is not a known Cloud PC.",
        ),
    ]
    "#);
    assert_eq!(world.audit().await.iter().filter(|row| **row == "DeployAgent CloudPcExternalPartner").count(), 1);
}

#[tokio::test]
async fn deploy_rejects_unusable_partners_and_targets() {
    let (world, id) = TestEngine::started(1).await;
    let deploy = async |partner, targets: usize| {
        let targets = (0..targets).map(|n| if n == 0 { id.to_string() } else { n.to_string() }).collect();
        let error = world.engine.deploy(&asked(), partner, targets).await.unwrap_err();
        (error.kind, error.code)
    };
    assert_eq!(deploy(PartnerId(Uuid::nil()), 1).await, (ErrorKind::NotFound, "ResourceNotFound"));
    assert_eq!(deploy(world.partner, 0).await, (ErrorKind::Invalid, "BadRequest"));
    assert_eq!(deploy(world.partner, 51).await, (ErrorKind::Invalid, "BadRequest"));
    world.update_partner(|partner| partner.agent = None).await;
    assert_eq!(deploy(world.partner, 1).await, (ErrorKind::Conflict, "agentNotConfigured"));
    world.update_partner(|partner| partner.enable_connection = false).await;
    assert_eq!(deploy(world.partner, 1).await, (ErrorKind::Conflict, "partnerConnectionDisabled"));
    assert_eq!(results(&world).await, []);
}

#[tokio::test]
async fn business_only_limits_deployments_to_business_cloud_pcs() {
    let mut world = TestEngine::with(1, cloudpc_engine::EngineSettings { business_only: true, ..settings() }).await;
    let (enterprise, business) =
        (world.add(1, ScriptedCondition::default()).await, world.add(2, ScriptedCondition::default()).await);
    world.update(business, |cloud_pc| cloud_pc.product = Product::Business).await;
    world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
    world.start();
    for (id, state) in [(enterprise, State::Canceled), (business, State::Done)] {
        let deployment = world.deploy(&id.to_string()).await;
        assert_eq!(world.end(deployment).await.state, state);
        let reprovision = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
        assert_eq!(world.end(reprovision).await.state, State::Done);
    }
    assert_eq!(results(&world).await.len(), 3, "automatically to the second one only");
}

#[tokio::test]
async fn deployment_to_another_tenants_cloud_pc_is_not_found() {
    let (mut world, id) = TestEngine::started(1).await;
    let stranger = TenantId(Uuid::from_u128(666));
    world
        .change(move |tx| {
            let mut partner = tx.partner_list(tenant(), None, 1)?.remove(0);
            partner.tenant_id = stranger;
            tx.partner_insert(&partner)
        })
        .await;
    let asked = cloudpc_engine::RequestContext { tenant_id: stranger, ..asked() };
    world.engine.deploy(&asked, world.partner, vec![id.to_string()]).await.unwrap();
    world.idle().await;
    let target = id.to_string();
    let theirs = world.change(move |tx| tx.action_list(stranger, &target, ActionFilter::All, None, 10)).await;
    assert_eq!(theirs.len(), 1);
    assert_eq!(theirs[0].failure().unwrap().code, "deviceNotFound");
    assert_eq!(world.driver.installed_agents(id), [""; 0]);
}

#[tokio::test]
async fn reprovision_queues_automatic_deployments() {
    let (mut world, id) = TestEngine::started(1).await;
    world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
    world
        .change(|tx| {
            let template = tx.partner_list(tenant(), None, 1)?.remove(0);
            for (number, enable_connection) in [(10, true), (11, false)] {
                let id = PartnerId(Uuid::from_u128(number));
                let url = format!("https://agents.partner.test/files/{number}.msi");
                let agent = Some(AgentSetting { url, ..template.agent.clone().unwrap() });
                let partner_id = format!("partner-{number}");
                tx.partner_insert(&cloudpc_model::Partner {
                    id,
                    partner_id,
                    agent,
                    enable_connection,
                    ..template.clone()
                })?;
            }
            Ok(())
        })
        .await;
    let other = Artifact { url: "https://agents.partner.test/files/10.msi".into(), ..artifact() };
    world.driver.configure(Pace::default(), vec![artifact(), other]);
    let reprovision = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    let asked_by = world.end(reprovision).await;
    let message = asked_by.step("deployAgents").unwrap().message.as_deref().unwrap_or_default();
    insta::assert_snapshot!(message, @"Queued agent deployments of these partners: partner, partner-10.");
    world.idle().await;
    let mut installed = world.driver.installed_agents(id);
    installed.sort();
    assert_eq!(installed, ["10.msi", "agent.msi"]);
    let target = id.to_string();
    let actions = world.change(move |tx| tx.action_list(tenant(), &target, ActionFilter::All, None, 10)).await;
    assert_eq!(actions.len(), 3);
    assert!(actions[..2].iter().all(|action| action.requested_by.kind == ActorKind::System));
    let activities: Vec<_> = actions[..2].iter().map(|action| &action.params).collect();
    assert_ne!(activities[0], activities[1], "each partner sees its own activity");
}

#[tokio::test]
async fn undone_reprovision_cancels_its_deployments() {
    let (mut world, id) = TestEngine::started(1).await;
    world.update_partner(|partner| partner.agent = Some(AgentSetting { auto_deploy: true, ..agent() })).await;
    world.faults.add(FaultRule { step: Some("deployAgents".into()), ..rule(cloudpc_engine::Effect::LoseOutcome) });
    let reprovision = world.engine.request(&asked(), id, REPROVISION).await.unwrap();
    assert_eq!(world.end(reprovision).await.state, State::Failed);
    let results = results(&world).await;
    assert_eq!(results.iter().map(|result| result.state).collect::<Vec<_>>(), [State::Canceled]);
    world.idle().await;
    assert_eq!(world.driver.installed_agents(id), [""; 0]);
    assert_eq!(world.cloud_pc(id).await.power_observed, Power::Running);
}

#[tokio::test]
async fn a_retry_deploys_what_failed_last_and_nothing_else() {
    let (mut world, id) = TestEngine::started(1).await;
    let retry = async |world: &TestEngine| {
        let find = move |reader: &cloudpc_store::Reader<'_>| {
            Ok::<_, cloudpc_model::Error>(reader.cloud_pc(tenant(), id)?.unwrap())
        };
        world.engine.retry_deployments(&asked(), find).await.unwrap()
    };
    assert_eq!(retry(&world).await, 0, "nothing was deployed");
    let step = Some("runInstaller".into());
    world.faults.add(FaultRule { kind: Some(Kind::DeployAgent), step, nth: Some(1), ..rule(fail()) });
    let failed = world.deploy(&id.to_string()).await;
    assert_eq!(retry(&world).await, 0, "it is still open");
    assert_eq!(world.end(failed).await.state, State::Failed);
    assert_eq!(retry(&world).await, 1);
    let again = world.latest_action(&id.to_string()).await;
    assert_eq!(world.end(again).await.state, State::Done);
    assert_eq!(retry(&world).await, 0, "it was deployed");
}
