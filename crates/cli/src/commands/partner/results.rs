//! `cloudpc partner results`

use clap::Args;

use crate::commands::partner::{find, show};
use crate::commands::{Session, cloud_pc};
use crate::failure::CommandError;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner results fab00000-0000-4000-8000-000000000fab
  cloudpc partner results fab00000-0000-4000-8000-000000000fab --cloud-pc desk-07
  cloudpc partner results fab00000-0000-4000-8000-000000000fab -o json | jq -r '.[] | select(.state == \"failed\").errorCode'";

/// Show the results of a partner's deployments, oldest first
///
/// Reads all pages.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Results {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Only results of this activity
    #[arg(long, value_name = "ACTIVITY", default_value = "", hide_default_value = true)]
    activity: String,
    /// Only results of this Cloud PC
    #[arg(long, value_name = "CLOUD_PC")]
    cloud_pc: Option<String>,
    /// Maximum number of rows
    #[arg(long, value_name = "NUMBER")]
    top: Option<usize>,
}

impl Results {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let partner = find(session, &self.partner).await?;
        let cloud_pc = match &self.cloud_pc {
            Some(name) => cloud_pc::find(session, name).await?.id,
            None => String::new(),
        };
        let activity = self.activity.replace('\'', "''");
        let path =
            format!("{partner}/retrieveDeployAgentActionResults(activityId='{activity}',cloudPcId='{cloud_pc}')");
        show(session, session.connection.rows(&path, &[], self.top).await?).await
    }
}
