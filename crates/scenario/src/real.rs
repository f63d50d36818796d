//! Scenarios of real machines: the same file format, without the entries that only a simulation
//! supports. The engine makes their machines.

use cloudpc_model::Error;

use super::resolve::ResolvedScenario;

/// Refuses a scenario with entries that only simulated machines support.
pub(super) fn check(resolved: &ResolvedScenario) -> Result<(), Error> {
    let has_conditions = resolved.tenants.iter().any(|tenant| !tenant.scripted_conditions.is_empty());
    if has_conditions || !resolved.faults.is_empty() || !resolved.artifacts.is_empty() {
        return Err(Error::invalid(
            "The scenario has artifacts, faults or scripted conditions, which only simulated machines support. Remove them, or start with --driver sim.",
        ));
    }
    Ok(())
}
