//! `cloudpc partner deploy`

use clap::Args;
use serde_json::{Value, json};

use crate::commands::partner::{find, show};
use crate::commands::{Session, cloud_pc};
use crate::failure::{CommandError, ExitStatus};
use crate::output::{Column, tell, text};
use crate::wait;

const EXAMPLES: &str = "\
Examples:
  cloudpc partner deploy fab00000-0000-4000-8000-000000000fab desk-01 desk-02
  cloudpc partner deploy fab00000-0000-4000-8000-000000000fab desk-01 desk-02 --wait
  cloudpc partner deploy fab00000-0000-4000-8000-000000000fab $(cloudpc list --top 50 -o json | jq -r '.[].id') --wait";

const ACTIVITY_COLUMNS: &[Column] = &[("ACTIVITY", |row| text(row, "value"))];

/// Deploy a partner's agent to Cloud PCs
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Deploy {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Display names, device names or ids of up to 50 Cloud PCs
    #[arg(value_name = "CLOUD_PC", required = true)]
    cloud_pcs: Vec<String>,
    /// Wait until all deployments have ended; the exit code tells the result
    #[arg(long)]
    wait: bool,
}

impl Deploy {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let partner = find(session, &self.partner).await?;
        let mut ids = Vec::new();
        for name in &self.cloud_pcs {
            ids.push(cloud_pc::find(session, name).await?.id);
        }
        let body = json!({ "cloudPcIds": ids });
        let accepted = session.connection.post(&format!("{partner}/deployAgent"), &body).await?;
        let activity = text(&accepted, "value");
        if activity.is_empty() {
            return Err(CommandError::new(
                ExitStatus::Unreachable,
                "The service accepted the deployment but returned no activity id.",
            ));
        }
        if !self.wait {
            session.format.row(&accepted, ACTIVITY_COLUMNS)?;
            tell(&format!(
                "Accepted. Follow it with `cloudpc partner results {} --activity {activity}`.",
                self.partner
            ));
            return Ok(());
        }
        let results = wait::activity(session, &partner, &activity).await?;
        let verdict = judge(&results);
        show(session, results).await?;
        verdict
    }
}

/// Fails if any deployment did not succeed.
fn judge(results: &[Value]) -> Result<(), CommandError> {
    match results.iter().filter(|result| text(result, "state") != "succeeded").count() {
        0 => Ok(()),
        bad => Err(CommandError::local(format!("{bad} of {} deployments did not succeed.", results.len()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_failed_deployment_fails_the_command() {
        let (good, bad) = (json!({"state": "succeeded"}), json!({"state": "canceled"}));
        assert_eq!(judge(std::slice::from_ref(&good)), Ok(()));
        insta::assert_snapshot!(judge(&[good, bad]).unwrap_err(), @"1 of 2 deployments did not succeed.");
    }
}
