//! Trials of actions on documents: whatever happens, the status of the document tells the end.

use cloudpc_drivers::Driver;
use cloudpc_engine::actions::{Step, recipe};
use cloudpc_model::{
    Action, Document, DocumentKey, DocumentType, ImageId, Kind, Object, Params, State, StepState, Timestamp,
};
use serde_json::json;
use std::time::Duration;

use super::{Disturbance, Trial};
use crate::world::{TestEngine, connection, tenant};

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
            Kind::ImportImage | Kind::RemoveImage => device_image(),
            _ => unreachable!("{kind:?} works on a Cloud PC"),
        };
        world.add_document(&document).await;
        if kind == Kind::RemoveImage {
            let params = Params::ImportImage { source: SOURCE.into() };
            let imported = world.accept_on_document(&document, params).await;
            assert_eq!(world.end(imported).await.state, State::Done);
        }
        Self { trial: Trial { world, kind, step, disturbance }, document }
    }

    fn params(&self) -> Params {
        match self.trial.kind {
            Kind::CheckConnection => Params::CheckConnection,
            Kind::ImportImage => Params::ImportImage { source: SOURCE.into() },
            Kind::RemoveImage => Params::RemoveImage,
            kind => unreachable!("{kind:?} works on a Cloud PC"),
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
            Kind::ImportImage => self.check_import(&ended, &document).await,
            Kind::RemoveImage if ended.state == State::Done => {
                assert!(!self.is_on_host().await, "{}", self.trial.name());
            }
            Kind::RemoveImage => {}
            kind => unreachable!("{kind:?} works on a Cloud PC"),
        }
    }

    /// Returns whether the host has the image: only then it can be booted.
    async fn is_on_host(&mut self) -> bool {
        let image = ImageId(self.document.key.id.clone());
        let driver = self.trial.world.driver.clone();
        let probe = tokio::spawn(async move { driver.probe_image(&image).await });
        self.trial.world.advance(Duration::from_secs(3600)).await;
        probe.await.unwrap().is_ok()
    }

    /// Checks that the image is ready and on the host, or failed and removed from it.
    async fn check_import(&mut self, ended: &Action, image: &Document) {
        let name = self.trial.name();
        let is_done = ended.state == State::Done;
        assert_eq!(image.status["status"], if is_done { "ready" } else { "failed" }, "{name}");
        assert_eq!(image.status["errorCode"].is_null(), is_done, "{name}: {:#?}", image.status);
        assert_eq!(image.status.contains_key("osBuildNumber"), is_done, "{name}");
        self.trial.world.idle().await;
        assert_eq!(self.is_on_host().await, is_done, "{name}");
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

const SOURCE: &str = "/subscriptions/s/resourceGroups/g/providers/Microsoft.Compute/images/office";

fn device_image() -> Document {
    let mut body = Object::new();
    body.insert("displayName".into(), json!("Office"));
    Document {
        tenant_id: tenant(),
        key: DocumentKey::new(DocumentType::CloudPcDeviceImage, "00000000-0000-4000-8000-0000000001a6"),
        revision: 1,
        body,
        status: Object::new(),
        secret_counts: Object::new(),
        created_at: Timestamp(0),
        modified_at: Timestamp(0),
    }
}
