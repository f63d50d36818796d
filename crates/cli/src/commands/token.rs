//! `cloudpc token`

use clap::Args;
use serde_json::json;

use crate::commands::Session;
use crate::failure::CommandError;
use crate::output::{print, text};

const EXAMPLES: &str = "\
Examples:
  export CLOUDPC_TOKEN=$(cloudpc token)
  cloudpc token --user ada@contoso.test
  cloudpc token --user ada@contoso.test --permission CloudPC.Read.All
  curl -H \"Authorization: Bearer $(cloudpc token)\" http://127.0.0.1:8365/beta/deviceManagement/virtualEndpoint/cloudPCs";

/// Print an access token
///
/// Without options, prints the token that this command line uses. With --app or --user, the service
/// issues one for them, which requires the permission Cloudpc.Administer.All.
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Token {
    /// Client id of an application
    #[arg(long, value_name = "CLIENT_ID", conflicts_with = "user")]
    app: Option<String>,
    /// User principal name of a user
    #[arg(long, value_name = "NAME")]
    user: Option<String>,
    /// Limit the token to this permission of the user; repeatable
    #[arg(long = "permission", value_name = "PERMISSION", requires = "user")]
    permissions: Vec<String>,
}

impl Token {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let body = match (self.app, self.user) {
            (Some(app), _) => json!({ "app": app }),
            (None, Some(user)) if self.permissions.is_empty() => json!({ "user": user }),
            (None, Some(user)) => json!({ "user": user, "permissions": self.permissions }),
            (None, None) => return print(&format!("{}\n", session.connection.token())),
        };
        let answer = session.connection.post("/_cloudpc/tokens", &body).await?;
        print(&format!("{}\n", text(&answer, "accessToken")))
    }
}
