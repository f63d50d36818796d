//! Deploy a partner's agent: find the Cloud PC, check that it is usable, then inside the guest:
//! check disk and network, download, check format and checksum, install, detect.
//!
//! Each step has the error code that the contract defines for it, in the contract's order.

use cloudpc_drivers::{FetchPolicy, Fetcher, FileFormat, GuestError, GuestOs, ProgramExit};
use cloudpc_model::{AgentSetting, CloudPcStatus, Kind, Params, PartnerId, Power, Product, State};
use std::time::Duration;
use url::Url;

use crate::mask::masked;

use super::step::StepFuture;
use super::{
    OnTimeout, Recipe, Step, StepContext, StepError, StepOutput, Subject, TimeMax, minutes, nothing, unchanged,
};

/// Members of `cloudPcExternalPartnerActionErrorCode`, the only error codes of deployments.
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

/// Timeout of a download.
const FETCH_TIME_MAX: Duration = minutes(10);

/// Timeout of stopping an installer.
const KILL_TIME_MAX: Duration = minutes(1);

/// Maximum length of the installer output in a message, taken from its end, characters.
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
            on_timeout: OnTimeout::Fail("executeActionTimeout", "The guest did not respond"),
            ..Step::new("waitForGuest", "executeActionTimeout", minutes(10), super::machine::wait_for_guest)
        },
        Step::new("checkDiskSpace", "checkDiskSpaceFailed", minutes(1), check_disk_space),
        Step {
            attempts_max: 3,
            ..Step::new("checkNetwork", "checkNetworkConnectionFailed", minutes(1), check_network)
        },
        Step { attempts_max: 3, ..Step::new("fetchAgent", "agentNotFound", minutes(11), fetch_agent) }
            .undone_by(try_clean),
        Step::new("checkFormat", "invalidAgentFormat", minutes(1), check_format),
        Step::new("checkChecksum", "invalidAgentChecksum", minutes(5), check_checksum),
        Step {
            time_max: TimeMax::Install,
            on_timeout: OnTimeout::Fail("executeActionTimeout", "The installer did not finish"),
            ..Step::new("runInstaller", "executeActionFailed", minutes(60), run_installer)
        }
        .undone_by(kill),
        // The agent is installed from here on, whatever happens to the file.
        Step { no_return: true, ..Step::new("cleanUp", "executeActionFailed", minutes(1), clean_up) },
        Step { attempts_max: 3, ..Step::new("detectAgent", "executeActionFailed", minutes(2), detect_agent) },
    ],
    time_max: minutes(12 * 60),
    subject: Subject::CloudPc { status: None, complete: nothing, after_failure: unchanged },
};

fn deployment(context: &StepContext) -> Result<(PartnerId, &AgentSetting), StepError> {
    match &context.action.params {
        Params::DeployAgent { partner_id, agent, .. } => Ok((*partner_id, agent)),
        _ => Err(StepError::failed("Internal error: the action is not a deployment.")),
    }
}

fn look_up(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let Some(cloud_pc) = context.target.cloud_pc() else {
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
        use CloudPcStatus::{Preparing, Provisioned, ProvisionedWithWarnings, ResizePendingLicense};
        if !matches!(cloud_pc.status, Provisioned | ProvisionedWithWarnings | ResizePendingLicense | Preparing) {
            let status: &str = cloud_pc.status.into();
            return Err(StepError::failed(format!(
                "The Cloud PC's status is '{status}'. Retry when it is 'provisioned'."
            )));
        }
        let observed = context.parts.driver.observe(cloud_pc.id).await?;
        match observed.power {
            Power::Running => Ok(StepOutput::power(Power::Running)),
            Power::PoweredOff => Err(StepError::failed("The Cloud PC is powered off. Power it on, then retry.")),
            Power::Unknown => Err(StepError::Transient("The machine's power state is unknown.".into())),
        }
    })
}

fn check_disk_space(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (free, needed) =
            (context.guest().await?.free_disk_bytes().await?, context.parts.settings.agent_disk_bytes_min);
        if free < needed {
            return Err(StepError::failed(format!(
                "The system disk has {} MiB free; the agent needs {} MiB. Free some space or resize the Cloud PC.",
                free >> 20,
                needed >> 20
            )));
        }
        Ok(StepOutput::nothing())
    })
}

/// A URL that the policy forbids fails in the download step, so this step passes.
fn check_network(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let Ok((url, policy)) = source(context).await else { return Ok(StepOutput::nothing()) };
        match context.guest().await?.reach(&url, &policy).await {
            Ok(()) => Ok(StepOutput::nothing()),
            Err(GuestError::Unreachable(why)) => Err(StepError::Transient(format!(
                "The Cloud PC cannot reach {host}: {why}",
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
            Ok(size_bytes) => Ok(StepOutput::message(format!("Downloaded {size_bytes} bytes."))),
            Err(GuestError::Unreachable(why)) => Err(StepError::Transient(format!("The agent download failed: {why}"))),
            Err(GuestError::DiskFull(why)) => {
                Err(StepError::Permanent { outcome: None, code: Some("checkDiskSpaceFailed".into()), message: why })
            }
            Err(GuestError::FileNotFound(why)) => {
                Err(StepError::failed(format!("The agent was not found at its URL: {why}")))
            }
            Err(error) => Err(error.into()),
        }
    })
}

/// Returns the agent's URL and the fetch policy, if its partner allows the URL.
async fn source(context: &StepContext) -> Result<(Url, FetchPolicy), StepError> {
    let (partner_id, agent) = deployment(context)?;
    let tenant = context.action.tenant_id;
    let partner = context.parts.store.read(move |reader| reader.partner(tenant, partner_id)).await?;
    let partner = partner.ok_or_else(|| {
        StepError::failed("The external partner was deleted, so the agent can no longer be downloaded.")
    })?;
    let policy = FetchPolicy {
        allowed_urls: partner.allowed_urls,
        size_bytes_max: context.parts.settings.agent_bytes_max,
        time_max: FETCH_TIME_MAX,
    };
    let refused = |why: String| {
        StepError::failed(format!("The agent's URL is not allowed: {why}. Configure the agent with another URL."))
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
                "The content of '{}' is {}. The server may have returned an error page; check the URL.",
                agent.agent_name(),
                format_name(found)
            )));
        }
        Ok(StepOutput::nothing())
    })
}

/// Returns the format that an installer of this name must have on this operating system.
fn expected_format(os: GuestOs, name: &str) -> Result<FileFormat, String> {
    let extension = name.rsplit_once('.').map(|(_, end)| end.to_ascii_lowercase());
    match (os, extension.as_deref()) {
        (GuestOs::Windows, Some("exe")) => Ok(FileFormat::Exe),
        (GuestOs::Windows, Some("msi")) => Ok(FileFormat::Msi),
        (GuestOs::Windows, _) => {
            Err(format!("'{name}' is not a Windows installer. The agent's URL must end in .exe or .msi."))
        }
        (GuestOs::Linux, Some("deb")) => Ok(FileFormat::Deb),
        (GuestOs::Linux, Some("sh")) => Ok(FileFormat::Script),
        (GuestOs::Linux, Some("exe" | "msi")) => Err(format!(
            "'{name}' is for Windows, but this Cloud PC runs Linux. Use a .deb package, a .sh script or a Linux program."
        )),
        (GuestOs::Linux, _) => Ok(FileFormat::Elf),
    }
}

fn format_name(format: FileFormat) -> &'static str {
    match format {
        FileFormat::Exe => "a Windows program (.exe)",
        FileFormat::Msi => "a Windows installer (.msi)",
        FileFormat::Deb => "a Debian package",
        FileFormat::Script => "a script",
        FileFormat::Elf => "a Linux program",
        FileFormat::Unknown => "not an installer",
    }
}

fn check_checksum(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (_, agent) = deployment(context)?;
        let digest = context.guest().await?.sha256(&context.tag()).await?;
        let found: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        if !found.eq_ignore_ascii_case(&agent.sha256) {
            return Err(StepError::failed(format!(
                "The file's SHA-256 is {found}; the agent is configured with {}. The file was changed, or the agent was configured for another file.",
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
            0 => Ok(StepOutput::message("Exit code 0.")),
            _ => Err(StepError::failed(exit_message("The installer", &exit, &agent.install_parameters))),
        }
    })
}

/// Detection is retried, because an agent may need some time after its installer has ended.
fn detect_agent(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        let (_, agent) = deployment(context)?;
        let Some(command) = &agent.detection else { return Ok(StepOutput::nothing()) };
        let exit = context.guest().await?.detect(command).await?;
        match exit.code {
            0 => Ok(StepOutput::message("Agent detected.")),
            _ => Err(StepError::Transient(format!(
                "The installer succeeded, but {}",
                exit_message("the detection command", &exit, &agent.install_parameters)
            ))),
        }
    })
}

fn exit_message(what: &str, exit: &ProgramExit, parameters: &[String]) -> String {
    // Both are sanitized first, so that parameters match the output.
    let parameters: Vec<_> = parameters.iter().map(|parameter| sanitized(parameter)).collect();
    let output = masked(&sanitized(&exit.output), &parameters);
    let output = output.trim();
    let skipped = output.chars().count().saturating_sub(OUTPUT_CHARS_MAX);
    let tail: String = output.chars().skip(skipped).collect();
    match (tail.is_empty(), skipped) {
        (true, _) => format!("{what} failed with exit code {} without output.", exit.code),
        (false, 0) => format!("{what} failed with exit code {}: {tail}", exit.code),
        (false, _) => format!("{what} failed with exit code {}: …{tail}", exit.code),
    }
}

/// Replaces control characters, which could steer a terminal.
fn sanitized(text: &str) -> String {
    let shown = |letter: char| matches!(letter, '\n' | '\t') || !letter.is_control();
    text.replace("\r\n", "\n").replace(|letter| !shown(letter), "\u{FFFD}")
}

/// Kills the installer. A guest that does not respond, or is off, is ignored: the machine is not
/// held for it.
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

/// Deletes a download if the guest responds; a leftover file does not need an operator.
fn try_clean(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move { Ok(clean(context).await.unwrap_or_default()) })
}

/// Deletes the installer's file, which is no longer needed. A leftover file is reported, but does
/// not fail the deployment.
fn clean_up(context: &StepContext) -> StepFuture<'_> {
    Box::pin(async move {
        match clean(context).await {
            Err(StepError::Permanent { message, .. }) => {
                Ok(StepOutput::message(format!("The installer's file was not deleted: {message}")))
            }
            other => other,
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn installer_output_is_truncated_and_masked() {
        let parameters = ["/p token=hunter22 /q".to_owned(), "abc".to_owned()];
        let exit = ProgramExit { code: 7, output: "bad hunter22 abc /p token=hunter22 /q\n".into() };
        assert_eq!(
            exit_message("The installer", &exit, &parameters),
            "The installer failed with exit code 7: bad *** *** ***"
        );
        let exit = ProgramExit { code: 1, output: "a\r\nb\tc\u{1b}]52;c;eA==\u{7}\u{9b}2J".into() };
        let text = exit_message("It", &exit, &[]);
        assert_eq!(text, "It failed with exit code 1: a\nb\tc\u{FFFD}]52;c;eA==\u{FFFD}\u{FFFD}2J");
        let exit = ProgramExit { code: 1, output: format!("{}end", "é".repeat(OUTPUT_CHARS_MAX)) };
        let text = exit_message("The installer", &exit, &[]);
        assert!(text.ends_with("éend") && text.contains(": …é"), "{text}");
        assert_eq!(text.chars().filter(|c| *c == 'é').count(), OUTPUT_CHARS_MAX - 3);
        assert_eq!(
            exit_message("The installer", &ProgramExit { code: 2, output: "  ".into() }, &[]),
            "The installer failed with exit code 2 without output."
        );
    }

    #[test]
    fn installer_formats_depend_on_the_operating_system() {
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
    fn every_step_has_a_code_of_the_contract() {
        for step in RECIPE.steps {
            assert!(ERROR_CODES.contains(&step.code), "{}", step.name);
            if let OnTimeout::Fail(code, _) = step.on_timeout {
                assert!(ERROR_CODES.contains(&code), "{}", step.name);
            }
        }
    }
}
