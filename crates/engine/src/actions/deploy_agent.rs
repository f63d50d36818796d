//! Deploy a partner's agent: look the Cloud PC up, see that it is usable, then inside it: disk,
//! network, download, format, checksum, run, detection.
//!
//! Each step yields the error code that the contract has for it, in the order in which the contract
//! lists them.

use cloudpc_drivers::{FetchPolicy, Fetcher, FileFormat, GuestError, GuestOs, ProgramExit};
use cloudpc_model::{AgentSetting, CloudPcStatus, Kind, Params, PartnerId, Power, Product, State};
use std::time::Duration;
use url::Url;

use crate::mask::masked;

use super::step::StepFuture;
use super::{OnTimeout, Recipe, Step, StepContext, StepError, StepOutput, TimeMax, minutes, nothing, unchanged};

/// Members of `cloudPcExternalPartnerActionErrorCode`; a deployment's failure has no other code.
pub const ERROR_CODES: [&str; 10] = [
    "none",
    "executeActionFailed",
    "executeActionTimeout",
    "deviceNotFound",
    "deviceNotAvailable",
    "checkDiskSpaceFailed",
    "checkNetworkConnectionFailed",
    "agentNotFound",
    "invalidAgentFormat",
    "invalidAgentChecksum",
];

/// The longest download.
const FETCH_TIME_MAX: Duration = minutes(10);

/// How long a guest may take to answer when an installer has to be ended.
const KILL_TIME_MAX: Duration = minutes(1);

/// How much of the end of an installer's output is shown, characters.
const OUTPUT_CHARS_MAX: usize = 400;

pub(super) static RECIPE: Recipe = Recipe {
    kind: Kind::DeployAgent,
    steps: &[
        Step { fails_as: State::Canceled, ..Step::new("lookUp", "deviceNotFound", minutes(1), look_up) },
        Step {
            fails_as: State::Canceled,
            ..Step::new("checkAvailable", "deviceNotAvailable", minutes(1), check_available)
        },
        Step {
            on_timeout: OnTimeout::Fail("executeActionTimeout", "The guest did not answer"),
            ..Step::new("waitForGuest", "executeActionTimeout", minutes(10), super::machine::wait_for_guest)
        },
        Step::new("checkDiskSpace", "checkDiskSpaceFailed", minutes(1), check_disk_space),
        Step {
            attempts_max: 3,
            ..Step::new("checkNetwork", "checkNetworkConnectionFailed", minutes(1), check_network)
        },
        Step { attempts_max: 3, ..Step::new("fetchAgent", "agentNotFound", minutes(11), fetch_agent) }
            .undone_by(try_to_clean),
        Step::new("checkFormat", "invalidAgentFormat", minutes(1), check_format),
        Step::new("checkChecksum", "invalidAgentChecksum", minutes(5), check_checksum),
        Step {
            time_max: TimeMax::Install,
            on_timeout: OnTimeout::Fail("executeActionTimeout", "The installer did not end"),
            ..Step::new("runInstaller", "executeActionFailed", minutes(60), run_installer)
        }
        .undone_by(kill),
        // The agent is installed now, whatever becomes of the file.
        Step { no_return: true, ..Step::new("cleanUp", "executeActionFailed", minutes(1), clean_up) },
        Step { attempts_max: 3, ..Step::new("detectAgent", "executeActionFailed", minutes(2), detect_agent) },
    ],
    time_max: minutes(12 * 60),
    status: None,
    complete: nothing,
    after_failure: unchanged,
};

fn deployment(context: &StepContext) -> Result<(PartnerId, &AgentSetting), StepError> {
    match &context.action.params {
        Params::DeployAgent { partner_id, agent, .. } => Ok((*partner_id, agent)),
        _ => Err(StepError::failed("This action deploys no agent.")),
    }
}

fn look_up(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let Some(cloud_pc) = &context.cloud_pc else {
            return Err(StepError::failed("Cloud PC not found or invalid"));
        };
        if context.parts.settings.business_only && cloud_pc.product != Product::Business {
            return Err(StepError::failed(
                "Cloud PC not found or invalid: partners deploy to Business Cloud PCs only (fidelity is strict).",
            ));
        }
        Ok(StepOutput::nothing())
    })
}

fn check_available(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let cloud_pc = context.cloud_pc()?;
        if !matches!(cloud_pc.status, CloudPcStatus::Provisioned | CloudPcStatus::ProvisionedWithWarnings) {
            let status: &str = cloud_pc.status.into();
            return Err(StepError::failed(format!(
                "The Cloud PC's status is '{status}'. Deploy again when it is 'provisioned'."
            )));
        }
        let observed = context.parts.driver.observe(cloud_pc.id).await?;
        match observed.power {
            Power::Running => Ok(StepOutput::power(Power::Running)),
            Power::PoweredOff => {
                Err(StepError::failed("The Cloud PC is powered off. Power it on, then deploy the agent again."))
            }
            Power::Unknown => Err(StepError::Transient("The machine's power state is not known yet.".into())),
        }
    })
}

fn check_disk_space(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (free, needed) =
            (context.guest().await?.free_disk_bytes().await?, context.parts.settings.agent_disk_bytes_min);
        if free < needed {
            return Err(StepError::failed(format!(
                "The system disk has {} MiB free and the agent needs {}. Free some space or resize the Cloud PC.",
                free >> 20,
                needed >> 20
            )));
        }
        Ok(StepOutput::nothing())
    })
}

/// A URL that may not be fetched at all is the download's failure, not the network's: this step
/// then lets it pass.
fn check_network(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let Ok((url, policy)) = source(context).await else { return Ok(StepOutput::nothing()) };
        match context.guest().await?.reach(&url, &policy).await {
            Ok(()) => Ok(StepOutput::nothing()),
            Err(GuestError::Unreachable(why)) => Err(StepError::Transient(format!(
                "The Cloud PC does not reach {host}: {why}",
                host = url.host_str().unwrap_or("the agent's host")
            ))),
            Err(GuestError::FileNotFound(_)) => Ok(StepOutput::nothing()),
            Err(error) => Err(error.into()),
        }
    })
}

fn fetch_agent(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (url, policy) = source(context).await?;
        match context.guest().await?.fetch(&context.tag(), &url, &policy).await {
            Ok(size_bytes) => Ok(StepOutput::message(format!("{size_bytes} bytes"))),
            Err(GuestError::Unreachable(why)) => {
                Err(StepError::Transient(format!("The agent could not be downloaded: {why}")))
            }
            Err(GuestError::DiskFull(why)) => {
                Err(StepError::Permanent { outcome: None, code: Some("checkDiskSpaceFailed".into()), message: why })
            }
            Err(GuestError::FileNotFound(why)) => {
                Err(StepError::failed(format!("There is no agent at its address: {why}")))
            }
            Err(error) => Err(error.into()),
        }
    })
}

/// Where the agent is fetched from, if its partner may fetch from there.
async fn source(context: &StepContext) -> Result<(Url, FetchPolicy), StepError> {
    let (partner_id, agent) = deployment(context)?;
    let tenant = context.action.tenant_id;
    let partner = context.parts.store.read(move |reader| reader.partner(tenant, partner_id)).await?;
    let partner = partner.ok_or_else(|| StepError::failed("The partner was deleted, and its allowed URLs with it."))?;
    let policy = FetchPolicy {
        allowed_urls: partner.allowed_urls,
        size_bytes_max: context.parts.settings.agent_bytes_max,
        time_max: FETCH_TIME_MAX,
    };
    let refused = |why: String| {
        StepError::failed(format!("The agent's address is refused: {why}. Configure the agent with another one."))
    };
    let url = Url::parse(&agent.url).map_err(|error| refused(error.to_string()))?;
    Fetcher::check(&url, &policy).map_err(refused)?;
    Ok((url, policy))
}

fn check_format(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (_, agent) = deployment(context)?;
        let guest = context.guest().await?;
        let expected = expected_format(guest.os(), agent.agent_name()).map_err(StepError::failed)?;
        let found = guest.format(&context.tag()).await?;
        if found != expected {
            return Err(StepError::failed(format!(
                "'{}' is by its content {}. Often that is an error page; look at what the address serves.",
                agent.agent_name(),
                described(found)
            )));
        }
        Ok(StepOutput::nothing())
    })
}

/// What an installer of this name has to be on this system.
fn expected_format(os: GuestOs, name: &str) -> Result<FileFormat, String> {
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    match (os, extension.as_deref()) {
        (GuestOs::Windows, Some("exe")) => Ok(FileFormat::Exe),
        (GuestOs::Windows, Some("msi")) => Ok(FileFormat::Msi),
        (GuestOs::Windows, _) => Err(format!("The agent's address has to end in .exe or .msi, and '{name}' does not.")),
        (GuestOs::Linux, Some("deb")) => Ok(FileFormat::Deb),
        (GuestOs::Linux, Some("sh")) => Ok(FileFormat::Script),
        (GuestOs::Linux, Some("exe" | "msi")) => {
            Err(format!("'{name}' is for Windows, and this Cloud PC runs Linux: .deb, .sh or a Linux program."))
        }
        (GuestOs::Linux, _) => Ok(FileFormat::Elf),
    }
}

fn described(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Exe => "a Windows program (.exe)",
        FileFormat::Msi => "a Windows installer (.msi)",
        FileFormat::Deb => "a Debian package",
        FileFormat::Script => "a script",
        FileFormat::Elf => "a Linux program",
        FileFormat::Unknown => "no installer",
    }
}

fn check_checksum(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (_, agent) = deployment(context)?;
        let digest = context.guest().await?.sha256(&context.tag()).await?;
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if !found.eq_ignore_ascii_case(&agent.sha256) {
            return Err(StepError::failed(format!(
                "The file's SHA-256 is {found}, configured is {}. The file was changed, or the agent was configured for another one.",
                agent.sha256
            )));
        }
        Ok(StepOutput::nothing())
    })
}

fn run_installer(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (_, agent) = deployment(context)?;
        let exit = context.guest().await?.run(&context.tag(), &agent.install_parameters).await?;
        match exit.code {
            0 => Ok(StepOutput::message("exit code 0")),
            _ => Err(StepError::failed(exited("The installer", &exit, &agent.install_parameters))),
        }
    })
}

/// An agent may need a moment after its installer has ended, so a detection that finds nothing is
/// tried again.
fn detect_agent(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (_, agent) = deployment(context)?;
        let Some(command) = &agent.detection else { return Ok(StepOutput::nothing()) };
        let exit = context.guest().await?.detect(command).await?;
        match exit.code {
            0 => Ok(StepOutput::message("the agent was detected")),
            _ => Err(StepError::Transient(format!(
                "The installer ended well, but {}",
                exited("the detection command", &exit, &agent.install_parameters)
            ))),
        }
    })
}

fn exited(what: &str, exit: &ProgramExit, parameters: &[String]) -> String {
    // Both are made readable first, so that what was replaced in the one is found in the other.
    let parameters: Vec<_> = parameters.iter().map(|parameter| readable(parameter)).collect();
    let output = masked(&readable(&exit.output), &parameters);
    let output = output.trim();
    let skipped = output.chars().count().saturating_sub(OUTPUT_CHARS_MAX);
    let tail: String = output.chars().skip(skipped).collect();
    match (tail.is_empty(), skipped) {
        (true, _) => format!("{what} ended with exit code {} and printed nothing.", exit.code),
        (false, 0) => format!("{what} ended with exit code {}: {tail}", exit.code),
        (false, _) => format!("{what} ended with exit code {}: …{tail}", exit.code),
    }
}

/// The text without what would tell a terminal to do something else than show it.
fn readable(text: &str) -> String {
    let shown = |letter: char| matches!(letter, '\n' | '\t') || !letter.is_control();
    text.replace("\r\n", "\n").replace(|letter| !shown(letter), "\u{FFFD}")
}

/// Ends the installer. A guest that does not answer, or is off, cannot be told and has no one to
/// tell: the machine is not held for it.
fn kill(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let guest = context.guest().await?;
        let killed = async {
            guest.wait_ready().await?;
            guest.kill(&context.tag()).await
        };
        let until = context.parts.clock.now() + KILL_TIME_MAX;
        tokio::select! {
            biased;
            killed = killed => Ok(killed.map(|()| StepOutput::nothing())?),
            () = context.parts.clock.sleep_until(until) => Ok(StepOutput::nothing()),
        }
    })
}

fn clean(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        context.guest().await?.clean(&context.tag()).await?;
        Ok(StepOutput::nothing())
    })
}

/// Takes a download back, if the guest answers; a file that stays is not worth a person's time.
fn try_to_clean(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move { Ok(clean(context).await.unwrap_or_default()) })
}

/// The installer's file is of no more use. That it stays is worth a word, not a failed deployment.
fn clean_up(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match clean(context).await {
            Err(StepError::Permanent { message, .. }) => {
                Ok(StepOutput::message(format!("The installer's file stays: {message}")))
            }
            other => other,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_installers_output_is_cut_and_shows_no_parameter() {
        let parameters = ["/p token=hunter22 /q".to_owned(), "abc".to_owned()];
        let exit = ProgramExit { code: 7, output: "bad hunter22 abc /p token=hunter22 /q\n".into() };
        assert_eq!(
            exited("The installer", &exit, &parameters),
            "The installer ended with exit code 7: bad *** *** ***"
        );
        let exit = ProgramExit { code: 1, output: "a\r\nb\tc\u{1b}]52;c;eA==\u{7}\u{9b}2J".into() };
        let text = exited("It", &exit, &[]);
        assert_eq!(text, "It ended with exit code 1: a\nb\tc\u{FFFD}]52;c;eA==\u{FFFD}\u{FFFD}2J");
        let exit = ProgramExit { code: 1, output: format!("{}end", "é".repeat(OUTPUT_CHARS_MAX)) };
        let text = exited("The installer", &exit, &[]);
        assert!(text.ends_with("éend") && text.contains(": …é"), "{text}");
        assert_eq!(text.chars().filter(|c| *c == 'é').count(), OUTPUT_CHARS_MAX - 3);
        assert_eq!(
            exited("The installer", &ProgramExit { code: 2, output: "  ".into() }, &[]),
            "The installer ended with exit code 2 and printed nothing."
        );
    }

    #[test]
    fn each_system_has_installers_of_its_own() {
        use FileFormat::{Deb, Elf, Exe, Msi, Script};
        for (os, name, expected) in [
            (GuestOs::Windows, "a.EXE", Some(Exe)),
            (GuestOs::Windows, "a.b.msi", Some(Msi)),
            (GuestOs::Windows, "a.sh", None),
            (GuestOs::Windows, "a", None),
            (GuestOs::Linux, "a.deb", Some(Deb)),
            (GuestOs::Linux, "a.sh", Some(Script)),
            (GuestOs::Linux, "agent-4.2", Some(Elf)),
            (GuestOs::Linux, "a.msi", None),
        ] {
            assert_eq!(expected_format(os, name).ok(), expected, "{name} on {os:?}");
        }
    }

    #[test]
    fn no_step_has_a_code_that_is_not_in_the_contract() {
        for step in RECIPE.steps {
            assert!(ERROR_CODES.contains(&step.code), "{}", step.name);
            if let OnTimeout::Fail(code, _) = step.on_timeout {
                assert!(ERROR_CODES.contains(&code), "{}", step.name);
            }
        }
    }
}
