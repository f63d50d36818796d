//! Commands on external partners, and their lookup.

mod allow;
mod cancel;
mod configure;
mod create;
mod delete;
mod deploy;
mod detect;
mod heartbeat;
mod list;
mod reports;
mod results;

use clap::Subcommand;
use serde_json::Value;

use crate::commands::{Session, cloud_pc};
use crate::failure::{CommandError, ExitStatus};
use crate::output::{Column, Format, text, time};

/// Path of the partners.
const PARTNERS: &str = "/beta/deviceManagement/virtualEndpoint/externalPartners";

const EXAMPLES: &str = "\
Examples:
  cloudpc partner list
  cloudpc partner deploy fab00000-0000-4000-8000-000000000fab desk-01 desk-02 --wait
  cloudpc partner results fab00000-0000-4000-8000-000000000fab";

/// Columns of a partner.
const COLUMNS: &[Column] = &[
    ("PARTNER", |row| text(row, "partnerId")),
    ("STATUS", |row| text(row, "connectionStatus")),
    ("AGENT", |row| text(row, "agentSetting/agentUrl")),
    ("AUTOMATIC", |row| text(row, "agentSetting/autoDeploymentEnabled")),
    ("LAST SYNC", |row| time(row, "lastSyncDateTime")),
    ("ID", |row| text(row, "id")),
];

/// Property that holds the name of a result's Cloud PC; Graph sends only its id.
const NAME: &str = "cloudPcName";

/// Columns of a deployment result.
const RESULT_COLUMNS: &[Column] = &[
    ("CLOUD PC", |row| text(row, NAME)),
    ("STATE", |row| text(row, "state")),
    ("STARTED", |row| time(row, "startDateTime")),
    ("UPDATED", |row| time(row, "lastModifiedDateTime")),
    ("ERROR", |row| text(row, "errorCode")),
    ("ACTIVITY", |row| text(row, "activityId")),
    ("MESSAGE", |row| text(row, "errorMessage")),
];

/// Manage external partners and deploy their agents
#[derive(Debug, Subcommand)]
#[command(after_help = EXAMPLES)]
pub enum Command {
    List(list::List),
    Create(create::Create),
    Configure(configure::Configure),
    Detect(detect::Detect),
    Allow(allow::Allow),
    Deploy(deploy::Deploy),
    Results(results::Results),
    Cancel(cancel::Cancel),
    Reports(reports::Reports),
    Heartbeat(heartbeat::Heartbeat),
    Delete(delete::Delete),
}

impl Command {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        match self {
            Self::List(verb) => verb.run(session).await,
            Self::Create(verb) => verb.run(session).await,
            Self::Configure(verb) => verb.run(session).await,
            Self::Detect(verb) => verb.run(session).await,
            Self::Allow(verb) => verb.run(session).await,
            Self::Deploy(verb) => verb.run(session).await,
            Self::Results(verb) => verb.run(session).await,
            Self::Cancel(verb) => verb.run(session).await,
            Self::Reports(verb) => verb.run(session).await,
            Self::Heartbeat(verb) => verb.run(session).await,
            Self::Delete(verb) => verb.run(session).await,
        }
    }
}

/// Prints deployment results; a table shows the names of the Cloud PCs.
async fn show(session: &Session, mut results: Vec<Value>) -> Result<(), CommandError> {
    if session.format == Format::Table {
        let names = cloud_pc::names(session).await?;
        for result in &mut results {
            let id = text(result, "cloudPcId");
            // A Cloud PC that does not exist is shown by its id.
            result[NAME] = names.get(&id).cloned().unwrap_or(id).into();
        }
    }
    session.format.rows(&results, RESULT_COLUMNS)
}

/// The path of a partner, found by its partner id or by its id at this service.
async fn find(session: &Session, name: &str) -> Result<String, CommandError> {
    let partners = session.connection.rows(PARTNERS, &[], None).await?;
    let is_meant = |value: String| value.eq_ignore_ascii_case(name);
    let found = partners.iter().find(|row| is_meant(text(row, "id")) || is_meant(text(row, "partnerId")));
    found.map(|row| format!("{PARTNERS}/{}", text(row, "id"))).ok_or_else(|| {
        CommandError::new(
            ExitStatus::NotFound,
            format!("No partner has the id '{name}'. Run `cloudpc partner list` to see all partners."),
        )
    })
}
