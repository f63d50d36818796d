//! `cloudpc completions`

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use crate::cli::Cli;
use crate::failure::CommandError;
use crate::output::print;

const EXAMPLES: &str = "\
Examples:
  cloudpc completions bash > ~/.local/share/bash-completion/completions/cloudpc
  cloudpc completions zsh > ~/.zfunc/_cloudpc
  cloudpc completions fish > ~/.config/fish/completions/cloudpc.fish";

/// Print a shell completion script
#[derive(Debug, Args)]
#[command(after_help = EXAMPLES)]
pub struct Completions {
    /// Shell
    #[arg(value_enum)]
    shell: Shell,
}

impl Completions {
    pub fn run(self) -> Result<(), CommandError> {
        print(&script(self.shell))
    }
}

fn script(shell: Shell) -> String {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "cloudpc", &mut script);
    String::from_utf8_lossy(&script).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;

    #[test]
    fn every_shell_completes_commands() {
        for shell in Shell::value_variants() {
            assert!(script(*shell).contains("reprovision"), "{shell}");
        }
    }
}
