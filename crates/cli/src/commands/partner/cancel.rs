//! `cloudpc partner cancel`

use clap::Args;
use serde_json::Value;

use crate::commands::Session;
use crate::commands::partner::find;
use crate::failure::CommandError;
use crate::output::{tell, text};

const EXAMPLES: &str = "\
Examples:
  cloudpc partner cancel fab00000-0000-4000-8000-000000000fab 4e1c2f0a-8c51-4b3e-9d8e-0a5b7a1f6c22";

/// Cancel the deployments of an activity that are still cancelable
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Cancel {
    /// Partner id, or id of the partner at this service
    #[arg(value_name = "PARTNER")]
    partner: String,
    /// Id of the activity, from `cloudpc partner deploy`
    #[arg(value_name = "ACTIVITY")]
    activity: String,
}

impl Cancel {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let partner = find(session, &self.partner).await?;
        let path = format!("{partner}/cloudpc.activities/{}/cloudpc.cancel", self.activity);
        let answer = session.connection.post(&path, &Value::Null).await?;
        tell(&format!("Canceling {} deployments.", text(&answer, "value")));
        Ok(())
    }
}
