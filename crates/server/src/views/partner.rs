//! `cloudPcExternalPartner`, its agent, its deployments and its reports.

use cloudpc_model::{
    ActivityId, ActorKind, AgentSetting, ConnectionStatus, Failure, Partner, PartnerId, State, Timestamp,
};
use cloudpc_store::{Deployment, ListValue, Report, ReportType, deployment_columns as column};
use serde::{Serialize, Serializer};
use serde_json::{Value, json};
use std::time::Duration;
use strum::IntoEnumIterator as _;

use super::{Shown, Time};
use crate::pipeline::list::ListProperty;

/// `cloudPcExternalPartner`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct PartnerView<'a> {
    id: Shown<PartnerId>,
    partner_id: &'a str,
    enable_connection: bool,
    connection_status: &'static str,
    last_sync_date_time: Option<Time>,
    status_details: &'static str,
    agent_setting: Option<AgentSettingView<'a>>,
}

/// Returns the view of a partner at `now`.
pub fn partner(partner: &Partner, now: Timestamp, silence_max: Duration) -> PartnerView<'_> {
    let (connection_status, status_details) = match partner.connection_status(now, silence_max) {
        ConnectionStatus::NotAvailable => ("notAvailable", "The connection to the external partner is disabled"),
        ConnectionStatus::Available => ("available", "The external partner is available"),
        ConnectionStatus::Healthy => ("healthy", "The external partner is healthy"),
        ConnectionStatus::Unhealthy => ("unhealthy", "The external partner has stopped sending heartbeats"),
    };
    PartnerView {
        id: Shown(partner.id),
        partner_id: &partner.partner_id,
        enable_connection: partner.enable_connection,
        connection_status,
        last_sync_date_time: partner.last_sync_at.map(Time),
        status_details,
        agent_setting: partner.agent.as_ref().map(agent_setting),
    }
}

/// `cloudPcExternalPartnerAgentSetting`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct AgentSettingView<'a> {
    agent_url: &'a str,
    agent_sha256: &'a str,
    install_parameters: Masked<'a>,
    auto_deployment_enabled: bool,
}

/// Returns the view of an agent, with install parameters masked.
fn agent_setting(agent: &AgentSetting) -> AgentSettingView<'_> {
    AgentSettingView {
        agent_url: &agent.url,
        agent_sha256: &agent.sha256,
        install_parameters: Masked(&agent.install_parameters),
        auto_deployment_enabled: agent.auto_deploy,
    }
}

/// The value sent in place of each install parameter.
pub const MASK: &str = "***";

#[derive(Debug)]
struct Masked<'a>(&'a [String]);

impl Serialize for Masked<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.0.iter().map(|_| MASK))
    }
}

/// `cloudPcExternalPartnerActionResult`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct DeploymentView<'a> {
    activity_id: Shown<ActivityId>,
    cloud_pc_id: &'a str,
    state: &'static str,
    start_date_time: Time,
    last_modified_date_time: Time,
    error_code: &'static str,
    error_message: &'a str,
}

/// The format version of [`finished_page`]. Increment it whenever [`deployment`] changes for ended
/// deployments, because finished pages are stored.
pub const DEPLOYMENT_FORMAT: u32 = 2;

/// Writes the rows of a finished page: JSON objects separated by commas.
pub fn finished_page(deployments: &[Deployment]) -> Vec<u8> {
    let mut rows =
        serde_json::to_vec(&deployments.iter().map(deployment).collect::<Vec<_>>()).expect("a view is plain data");
    // Remove the brackets of the array.
    rows.pop();
    rows.remove(0);
    rows
}

/// Returns how the store holds a property of deployments that a filter names; none if it cannot
/// select by it.
pub fn deployment_property(path: &str) -> Option<ListProperty> {
    let text = |text: &str| ListValue::Text(text.to_owned());
    Some(match path {
        "activityId" => ListProperty::Guid(column::ACTIVITY_ID),
        "cloudPcId" => ListProperty::AnyCase { column: column::TARGET, nullable: false },
        "state" => {
            let shown = |state: State| (text(state.into()), json!(deployment_state(state, false)));
            let at_front = (text(""), json!(deployment_state(State::Pending, true)));
            let shown = State::iter().map(shown).chain([at_front]).collect();
            ListProperty::Choice { column: column::STATE, shown, others: Value::Null }
        }
        "startDateTime" => ListProperty::Time { column: column::STARTED_AT, nullable: false },
        "lastModifiedDateTime" => ListProperty::Time { column: column::MODIFIED_AT, nullable: false },
        _ => return None,
    })
}

/// Returns a `cloudPcExternalPartnerActionState`.
fn deployment_state(state: State, at_front: bool) -> &'static str {
    match state {
        State::Pending if at_front => "created",
        State::Pending => "pending",
        State::Running | State::Undoing | State::Stuck => "running",
        State::Done => "succeeded",
        State::Failed => "failed",
        State::Canceled | State::NotSupported => "canceled",
    }
}

/// Returns the view of a deployment.
pub fn deployment(deployment: &Deployment) -> DeploymentView<'_> {
    let failure = deployment.failure.as_ref().filter(|_| deployment.state.is_final());
    DeploymentView {
        activity_id: Shown(deployment.activity_id),
        cloud_pc_id: &deployment.target,
        state: deployment_state(deployment.state, deployment.at_front),
        start_date_time: Time(deployment.started_at),
        last_modified_date_time: Time(deployment.modified_at),
        error_code: failure.map_or("none", error_code),
        error_message: failure.map_or("", |failure| &failure.message),
    }
}

/// Returns a `cloudPcExternalPartnerActionErrorCode`: `none` for a canceled deployment,
/// `executeActionFailed` for a failure that the enumeration lacks.
fn error_code(failure: &Failure) -> &'static str {
    const CODES: [&str; 10] = [
        "none",
        "executeActionFailed",
        "executeActionTimeout",
        "deviceNotFound",
        "deviceNotAvailable",
        "checkDiskSpaceFailed",
        "checkNetworkConnectionFailed",
        "agentNotFound",
        "invalidAgentFormat",
        "invalidAgentChecksum",
    ];
    CODES.into_iter().find(|code| *code == failure.code).unwrap_or("executeActionFailed")
}

/// `cloudPcExternalPartnerActionReport`
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ReportView<'a> {
    action_type: &'static str,
    authenticated_method: &'static str,
    authenticated_app_id: Option<Shown<cloudpc_model::AppId>>,
    authenticated_app_name: &'a str,
    authenticated_user_principal_name: &'a str,
    created_date_time: Time,
    cloud_pc_id: &'a str,
    cloud_pc_name: &'a str,
    agent_name: &'a str,
    activity_id: Option<Shown<ActivityId>>,
    activity_message: &'a str,
    agent_setting: Option<AgentSettingView<'a>>,
}

/// Returns the view of a report.
pub fn report(report: &Report) -> ReportView<'_> {
    ReportView {
        action_type: match report.report_type {
            ReportType::ConfigureAgent => "configureAgent",
            ReportType::DeployAgent => "deployAgent",
        },
        authenticated_method: match report.actor.kind {
            ActorKind::User => "normalUser",
            ActorKind::Application | ActorKind::System => "appOnly",
        },
        authenticated_app_id: report.actor.app_id.map(Shown),
        authenticated_app_name: &report.actor.app_name,
        authenticated_user_principal_name: &report.actor.user_principal_name,
        created_date_time: Time(report.created_at),
        cloud_pc_id: &report.target,
        cloud_pc_name: &report.cloud_pc_name,
        agent_name: &report.agent_name,
        activity_id: report.activity_id.map(Shown),
        activity_message: &report.message,
        agent_setting: report.agent.as_ref().map(agent_setting),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cloudpc_model::ActionId;
    use uuid::Uuid;

    #[test]
    fn finished_page_has_the_declared_format() {
        let done = Deployment {
            action_id: ActionId(7),
            activity_id: ActivityId(Uuid::from_u128(1)),
            target: "a \"PC\"".into(),
            state: State::Done,
            at_front: false,
            failure: None,
            started_at: Timestamp(0),
            modified_at: Timestamp(1_500_000),
        };
        let failure = Failure { code: "invalidAgentChecksum".into(), message: "Another file.".into() };
        let failed = Deployment { state: State::Failed, failure: Some(failure), ..done.clone() };
        let canceled = Failure { code: "none".into(), message: "It was canceled on request.".into() };
        let ended = [
            done.clone(),
            failed.clone(),
            Deployment { state: State::Canceled, failure: Some(canceled), ..done.clone() },
            Deployment { state: State::NotSupported, ..failed },
        ];
        // If this changes, increment the format; stored pages are then written again.
        assert_eq!(DEPLOYMENT_FORMAT, 2);
        insta::assert_snapshot!(String::from_utf8(finished_page(&ended)).unwrap().replace("},{", "},\n{"), @r#"
        {"activityId":"00000000-0000-0000-0000-000000000001","cloudPcId":"a \"PC\"","state":"succeeded","startDateTime":"1970-01-01T00:00:00.0000000Z","lastModifiedDateTime":"1970-01-01T00:00:01.5000000Z","errorCode":"none","errorMessage":""},
        {"activityId":"00000000-0000-0000-0000-000000000001","cloudPcId":"a \"PC\"","state":"failed","startDateTime":"1970-01-01T00:00:00.0000000Z","lastModifiedDateTime":"1970-01-01T00:00:01.5000000Z","errorCode":"invalidAgentChecksum","errorMessage":"Another file."},
        {"activityId":"00000000-0000-0000-0000-000000000001","cloudPcId":"a \"PC\"","state":"canceled","startDateTime":"1970-01-01T00:00:00.0000000Z","lastModifiedDateTime":"1970-01-01T00:00:01.5000000Z","errorCode":"none","errorMessage":"It was canceled on request."},
        {"activityId":"00000000-0000-0000-0000-000000000001","cloudPcId":"a \"PC\"","state":"canceled","startDateTime":"1970-01-01T00:00:00.0000000Z","lastModifiedDateTime":"1970-01-01T00:00:01.5000000Z","errorCode":"invalidAgentChecksum","errorMessage":"Another file."}
        "#);
    }
}
