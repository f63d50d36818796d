//! Trials of actions on documents: whatever happens, the status of the document tells the end.

use cloudpc_engine::actions::{Step, recipe};
use cloudpc_model::{Action, Document, Kind, Params, State, StepState};
use serde_json::json;

use super::{Disturbance, Trial};
use crate::world::{TestEngine, connection};

/// A trial of an action on a document.
pub(super) struct DocumentCase {
    trial: Trial,
    document: Document,
}

impl DocumentCase {
    pub async fn new(kind: Kind, step: &'static Step, disturbance: Disturbance) -> Self {
        let mut world = TestEngine::new(1).await;
        world.start();
        let document = match kind {
            Kind::CheckConnection => connection(1, "hybridAzureADJoin"),
            _ => unreachable!("{kind:?} has no steps on a document"),
        };
        world.add_document(&document).await;
        Self { trial: Trial { world, kind, step, disturbance }, document }
    }

    fn params(&self) -> Params {
        match self.trial.kind {
            Kind::CheckConnection => Params::CheckConnection,
            kind => unreachable!("{kind:?} has no steps on a document"),
        }
    }

    pub async fn run(mut self) {
        self.trial.add_faults();
        let action = self.trial.world.accept_on_document(&self.document, self.params()).await;
        let ended = self.trial.run(action).await;
        let document = self.trial.world.find_document(&self.document.key).await.unwrap();
        assert_eq!(document.body, self.document.body, "{}: the body is the caller's", self.trial.name());
        assert_eq!(document.modified_at, self.document.modified_at, "{}", self.trial.name());
        match self.trial.kind {
            Kind::CheckConnection => self.check_connection(&ended, &document),
            kind => unreachable!("{kind:?} has no steps on a document"),
        }
    }

    /// Checks that each check has one result, in order, up to the one at which the action ended.
    fn check_connection(&self, ended: &Action, connection: &Document) {
        let name = self.trial.name();
        let detail = &connection.status["healthCheckStatusDetail"];
        let checks = detail["healthChecks"].as_array().unwrap();
        let of = |property: &str| checks.iter().map(|check| check[property].clone()).collect::<Vec<_>>();
        let all = [
            "Azure virtual network readiness",
            "Azure subnet IP address usage",
            "DNS can resolve Active Directory domain",
            "Endpoint connectivity",
            "Active Directory domain join",
        ];
        if ended.state == State::Done {
            assert_eq!(of("displayName"), all, "{name}");
            assert_eq!(of("status"), ["passed"; 5], "{name}");
            assert_eq!(connection.status["healthCheckStatus"], "passed", "{name}");
        } else {
            let place = recipe(ended.kind())
                .steps
                .iter()
                .position(|step| ended.step(step.name).is_none_or(|record| record.state != StepState::Succeeded));
            let count = place.unwrap() + 1;
            assert_eq!(of("displayName"), all[..count], "{name}");
            assert!(of("status")[..count - 1].iter().all(|status| status == "passed"), "{name}: {checks:#?}");
            let last = &checks[count - 1];
            let is_scripted = self.trial.disturbance == Disturbance::Fails;
            let error_type = if is_scripted { "scripted" } else { "internalServerUnknownError" };
            assert_eq!((&last["status"], &last["errorType"]), (&json!("failed"), &json!(error_type)), "{name}");
            assert_eq!(last["additionalDetail"], ended.failure().unwrap().message.as_str(), "{name}");
            assert_eq!(connection.status["healthCheckStatus"], "failed", "{name}");
        }
        assert_eq!(of("correlationId"), vec![json!(ended.id.to_string()); checks.len()], "{name}");
        assert_eq!(detail["startDateTime"], ended.started_at.unwrap_or(ended.requested_at).to_string(), "{name}");
    }
}
