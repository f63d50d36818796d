//! The conformance checks of every driver.

use async_trait::async_trait;
use cloudpc_drivers::conformance::{self, CallMode, CallPhase, DriverUnderTest, Program};
use cloudpc_drivers::qemu::{PROBE_TIME_MAX, SourceSettings};
use cloudpc_drivers::{Driver, FetchPolicy, FileFormat, Incident, MachineSpec};
use cloudpc_model::CloudPcId;
use sha2::{Digest, Sha256};
use std::sync::Arc;
use std::time::Duration;

use crate::test_bed::{TestBed, warm_spec};
use crate::web;

const SCRIPT: &[u8] = b"#!/bin/sh\n[ \"$1\" = /quiet ] && touch /var/lib/installed\n";

struct OnQemu {
    bed: TestBed,
    program: String,
}

impl OnQemu {
    async fn new() -> Self {
        Self::on(TestBed::new()).await
    }

    async fn on(bed: TestBed) -> Self {
        Self { bed, program: web::serve(SCRIPT.to_vec()).await }
    }
}

#[async_trait]
impl DriverUnderTest for OnQemu {
    fn driver(&self) -> Arc<dyn Driver> {
        Arc::new(self.bed.driver.clone())
    }

    async fn restart(&mut self) {
        self.bed.restart();
    }

    async fn inject(&self, id: CloudPcId, incident: Incident) {
        match incident {
            Incident::Crash => self.bed.signal_id(id, "-KILL"),
            Incident::Panic => self.bed.sysrq(id, "c").await,
            Incident::ShutDown => self.bed.sysrq(id, "o").await,
        }
    }

    fn spec(&self, number: u32) -> MachineSpec {
        warm_spec(number)
    }

    fn program(&self) -> Program {
        Program {
            url: self.program.parse().unwrap(),
            policy: FetchPolicy {
                allowed_urls: vec![self.program.clone()],
                size_bytes_max: 1 << 20,
                time_max: Duration::from_secs(10),
            },
            size_bytes: SCRIPT.len() as u64,
            sha256: Sha256::digest(SCRIPT).into(),
            format: FileFormat::Script,
            arguments: vec!["/quiet".into()],
            detection: "test -e /var/lib/installed".into(),
        }
    }

    fn image_source(&self) -> String {
        crate::images::source(crate::images::DISK)
    }

    fn path(&self, name: &str) -> String {
        format!("/var/lib/{name}")
    }
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn verbs_called_concurrently_or_dropped() {
    let modes = [CallMode::AtOnce, CallMode::Dropped(CallPhase::Elapsed(Duration::from_millis(5)))];
    conformance::check_verbs_in_turn(&mut OnQemu::new().await, &modes).await.must_be_clean();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn verbs_with_a_driver_crash() {
    let modes = [25, 100, 400].map(|ms| CallMode::Crashed(CallPhase::Elapsed(Duration::from_millis(ms))));
    conformance::check_verbs_in_turn(&mut OnQemu::new().await, &modes).await.must_be_clean();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn imported_images() {
    let folder = crate::images::folder_of_sources();
    let sources = SourceSettings { folder: Some(folder.path().to_owned()), allowed_urls: Vec::new() };
    let bed = TestBed::with_sources(sources, PROBE_TIME_MAX);
    let phase = |ms| CallPhase::Elapsed(Duration::from_millis(ms));
    let modes = [CallMode::AtOnce, CallMode::Dropped(phase(5)), CallMode::Crashed(phase(100))];
    conformance::check_images(&mut OnQemu::on(bed).await, &modes).await.must_be_clean();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn refusals() {
    conformance::check_refusals(&mut OnQemu::new().await).await.must_be_clean();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn incidents() {
    conformance::check_incidents(&mut OnQemu::new().await).await.must_be_clean();
}

#[tokio::test]
#[ignore = "needs QEMU: make test-vm"]
async fn guests() {
    conformance::check_guests(&mut OnQemu::new().await).await.must_be_clean();
}
