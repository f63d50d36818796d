//! `cloudpc resize`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::commands::cloud_pc::{Request, is_guid};
use crate::failure::{CommandError, ExitStatus};
use crate::output::text;

const SERVICE_PLANS: &str = "/beta/deviceManagement/virtualEndpoint/servicePlans";

const EXAMPLES: &str = "\
Examples:
  cloudpc resize desk-07 \"Cloud PC Business 4vCPU/16GB/256GB\" --wait
  cloudpc resize desk-07 7c0e3c9e-5d1b-4b0c-9a61-2f5f3b1d9a10";

/// Change the size of a Cloud PC, keeping its disk
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Resize {
    #[command(flatten)]
    request: Request,
    /// Id or name of the new service plan
    #[arg(value_name = "SERVICE_PLAN")]
    service_plan: String,
}

impl Resize {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let plan = find_service_plan(session, &self.service_plan).await?;
        self.request.make(session, "resize", &json!({ "targetServicePlanId": plan })).await
    }
}

async fn find_service_plan(session: &Session, name: &str) -> Result<String, CommandError> {
    if is_guid(name) {
        return Ok(name.to_owned());
    }
    let plans = session.connection.rows(SERVICE_PLANS, &[], None).await?;
    let found = plans.iter().find(|plan| text(plan, "displayName") == name);
    found.map(|plan| text(plan, "id")).ok_or_else(|| {
        let names: String = plans.iter().map(|plan| format!("\n  {}", text(plan, "displayName"))).collect();
        CommandError::new(ExitStatus::NotFound, format!("No service plan is named '{name}'. Available plans:{names}"))
    })
}
