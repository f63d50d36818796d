//! `cloudpc open`

use clap::Args;
use std::process::{Command, Stdio};

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, find};
use crate::failure::CommandError;
use crate::output::{Format, print, tell, text};

const EXAMPLES: &str = "\
Examples:
  cloudpc open desk-07
  cloudpc open desk-07 --print";

/// Open the desktop of a Cloud PC in the browser, and print its single-use URL, valid for one
/// minute
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Open {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Print the URL without opening a browser
    #[arg(long)]
    print: bool,
}

impl Open {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let found = find(session, &self.cloud_pc).await?;
        let path = format!("{CLOUD_PCS}/{}/retrieveCloudPcLaunchDetail", found.id);
        let detail = session.connection.get(&path).await?;
        let url = text(&detail, "cloudPcLaunchUrl");
        match session.format {
            Format::Json => session.format.row(&detail, &[])?,
            Format::Table => print(&format!("{url}\n"))?,
        }
        if !self.print && has_screen() {
            browse(&url);
        }
        Ok(())
    }
}

/// Whether this session has a graphical display.
fn has_screen() -> bool {
    ["DISPLAY", "WAYLAND_DISPLAY"].iter().any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()))
}

fn browse(url: &str) {
    let mut command = Command::new("xdg-open");
    command.arg(url).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    if let Err(error) = command.spawn() {
        tell(&format!("Cannot open a browser (xdg-open: {error}). Open the URL yourself."));
    }
}
