//! The grammar of the command line. The commands themselves are in [`crate::commands`].

use clap::{Args, Parser};
use std::path::PathBuf;

use crate::commands::Command;
use crate::failure::EXIT_CODES;
use crate::output::Format;

const ABOUT: &str = "A Cloud PC service that speaks Microsoft Graph, and its command line";

const EXAMPLES: &str = "\
Examples:
  cloudpc serve --demo                          Run the service with a simulated fleet
  cloudpc list                                  List the Cloud PCs
  cloudpc reprovision desk-07 --wait            Reprovision one and watch it
  cloudpc results desk-07 -o json               Show the results of its actions, as JSON

Client commands find the service by its data directory (--data, CLOUDPC_DATA, ./cloudpc-data) or by
CLOUDPC_URL and CLOUDPC_TOKEN. CLOUDPC_CA names the file of its certificate authority.";

/// The command line.
#[derive(Debug, Parser)]
#[command(name = "cloudpc", version, about = ABOUT, after_help = format!("{EXAMPLES}\n\n{EXIT_CODES}"))]
#[command(subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Options of every command.
#[derive(Debug, Args)]
pub struct Global {
    /// Data directory of the service [default: ./cloudpc-data, unless CLOUDPC_URL is set]
    #[arg(long, global = true, value_name = "DIR", env = "CLOUDPC_DATA", help_heading = "Global options")]
    pub data: Option<PathBuf>,
    /// Output format
    #[arg(short, long, global = true, value_enum, default_value_t, help_heading = "Global options")]
    pub output: Format,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::{Command, CommandFactory};

    fn leaves(command: &Command, path: &str, visit: &mut dyn FnMut(&str, &Command)) {
        let path = format!("{path}{}", command.get_name());
        visit(&path, command);
        for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
            leaves(sub, &format!("{path} "), visit);
        }
    }

    fn built() -> Command {
        let mut command = Cli::command().term_width(110);
        command.build();
        command
    }

    #[test]
    fn command_line_definition_is_valid() {
        Cli::command().debug_assert();
    }

    #[test]
    fn every_command_shows_examples() {
        leaves(&built(), "", &mut |path, command| {
            let help = command.clone().render_long_help().to_string();
            assert!(help.contains("Examples:\n  "), "{path} shows no example");
        });
    }

    #[test]
    fn help_of_every_command() {
        let mut all = String::new();
        leaves(&built(), "", &mut |path, command| {
            let help = command.clone().term_width(110).render_long_help().to_string();
            all.push_str(&format!("$ {path} --help\n{}\n", help.trim_end()));
            all.push('\n');
        });
        insta::assert_snapshot!("help", all);
    }
}
