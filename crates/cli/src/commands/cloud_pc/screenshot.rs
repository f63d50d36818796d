//! `cloudpc screenshot`

use clap::Args;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use crate::commands::Session;
use crate::commands::cloud_pc::{CLOUD_PCS, find};
use crate::failure::{CommandError, ExitStatus};
use crate::output::tell;

const EXAMPLES: &str = "\
Examples:
  cloudpc screenshot desk-07
  cloudpc screenshot desk-07 screens/desk-07.png
  cloudpc screenshot desk-07 - | file -";

/// Save a screenshot of a Cloud PC as PNG
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Screenshot {
    /// Display name, device name or id of the Cloud PC
    #[arg(value_name = "CLOUD_PC")]
    cloud_pc: String,
    /// Output file, or - for standard output [default: CLOUD_PC.png]
    #[arg(value_name = "FILE")]
    file: Option<PathBuf>,
}

impl Screenshot {
    pub async fn run(self, session: &Session) -> Result<(), CommandError> {
        let file = self.file.unwrap_or_else(|| format!("{}.png", self.cloud_pc.replace('/', "_")).into());
        let to_standard_output = file == Path::new("-");
        if to_standard_output && std::io::stdout().is_terminal() {
            return Err(CommandError::new(
                ExitStatus::Usage,
                "Standard output is a terminal. Name a file, or pipe the picture to a program.",
            ));
        }
        let found = find(session, &self.cloud_pc).await?;
        let picture = session.connection.get_bytes(&format!("{CLOUD_PCS}/{}/cloudpc.screenshot", found.id)).await?;
        let written = match to_standard_output {
            true => std::io::stdout().lock().write_all(&picture),
            false => std::fs::write(&file, &picture),
        };
        written.map_err(|error| CommandError::local(format!("Cannot write {}: {error}.", file.display())))?;
        if !to_standard_output {
            tell(&format!("Saved the screen of {} to {}.", found.name, file.display()));
        }
        Ok(())
    }
}
