//! The test bed on real machines: the test image, and a driver with its own folder.

use cloudpc_drivers::qemu::{
    self, AcceleratorSetting, Capacity, Images, LimitsSetting, Network, QemuDriver, QemuParts, SourceSettings,
};
use cloudpc_drivers::{Driver, Fetcher, Guest, MachineCondition, MachineSpec, StopMode, SystemClock, SystemRng};
use cloudpc_model::{CloudPcId, ImageId};
use std::io::{BufRead, BufReader, Write};
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;
use tokio::runtime::Runtime;
use uuid::Uuid;

/// Returns an image that boots.
pub fn image() -> ImageId {
    ImageId("cloudpc_test_guest".into())
}

/// Returns the warm variant, which does not boot on the first start. Under software emulation,
/// boots are most of a test's time.
pub fn warm_image() -> ImageId {
    ImageId("cloudpc_test_guest-warm".into())
}

/// Returns another name for an image.
pub fn next(image: &ImageId) -> ImageId {
    ImageId(format!("{image}-next"))
}

/// Opens the images that all tests share. `make test-vm` builds them; see `build_images`.
pub fn images() -> Images {
    let images = Images::open(&folder().join("images")).unwrap();
    assert!(images.has(&image()), "the test image is missing; `make test-vm` builds it first");
    images
}

/// Reports that a test, or a part of one, cannot run on this machine. Writes past the output
/// capture of the test runner, because the test passes, and to the file of `scripts/test`, which
/// lists all of these at the end.
pub fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("NOT RUN: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("CLOUDPC_TEST_NOT_RUN") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Returns the folder that outlives a test run, so that images are not rebuilt for each.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu")
}

/// A driver with its own folder, whose machines are killed when it is dropped.
pub struct TestBed {
    folder: tempfile::TempDir,
    /// The runtime of the driver's work, which stands for the service's process.
    process: Option<Runtime>,
    pub driver: QemuDriver,
    settings: Settings,
    /// Number of processes that [`TestBed::kill_if_running`] has killed.
    pub kills: AtomicU32,
}

/// Settings of the driver that tests vary.
#[derive(Clone)]
pub struct Settings {
    pub guest_silence_max: Duration,
    pub network: Network,
    pub limits: LimitsSetting,
    pub sources: SourceSettings,
    pub probe_time_max: Duration,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            guest_silence_max: qemu::GUEST_SILENCE_MAX,
            network: Network::Closed,
            limits: LimitsSetting::Off,
            sources: SourceSettings::default(),
            probe_time_max: qemu::PROBE_TIME_MAX,
        }
    }
}

/// Timeout of a guest shutdown.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(15);

impl TestBed {
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir_in(folder()).unwrap())
    }

    /// Uses an existing folder, for example on another file system.
    pub fn in_folder(folder: tempfile::TempDir) -> Self {
        Self::with(folder, Settings::default())
    }

    /// Sets the time that guests may be silent.
    pub fn with_guest_silence_max(guest_silence_max: Duration) -> Self {
        let settings = Settings { guest_silence_max, ..Settings::default() };
        Self::with(tempfile::tempdir_in(folder()).unwrap(), settings)
    }

    /// Enforces resource limits with systemd.
    pub fn with_limits(folder: tempfile::TempDir) -> Self {
        Self::with(folder, Settings { limits: LimitsSetting::Systemd, ..Settings::default() })
    }

    /// Connects the machines to a network.
    pub fn with_network(network: Network) -> Self {
        let settings = Settings { network, ..Settings::default() };
        Self::with(tempfile::tempdir_in(folder()).unwrap(), settings)
    }

    /// Imports images from these sources.
    pub fn with_sources(sources: SourceSettings, probe_time_max: Duration) -> Self {
        let settings = Settings { sources, probe_time_max, ..Settings::default() };
        Self::with(tempfile::tempdir_in(folder()).unwrap(), settings)
    }

    fn with(folder: tempfile::TempDir, settings: Settings) -> Self {
        let (process, driver) = open(folder.path(), settings.clone());
        Self { folder, process: Some(process), driver, settings, kills: AtomicU32::new(0) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Returns the folder of a machine.
    pub fn machine(&self, spec: &MachineSpec) -> PathBuf {
        self.machine_of(spec.id)
    }

    fn machine_of(&self, id: CloudPcId) -> PathBuf {
        self.path().join("machines").join(id.to_string())
    }

    /// Crashes the driver's process, with whatever it was doing, and starts another one.
    pub fn restart(&mut self) {
        if let Some(process) = self.process.take() {
            // File work of a real process stops with it, but that of a runtime continues and must
            // be awaited. Blocking is not allowed on a runtime's own threads.
            let stopped = std::thread::spawn(move || process.shutdown_timeout(Duration::from_secs(60)));
            stopped.join().unwrap();
        }
        let (process, driver) = open(self.folder.path(), self.settings.clone());
        (self.process, self.driver) = (Some(process), driver);
    }

    /// Restarts the driver with another network.
    pub fn restart_on(&mut self, network: Network) {
        self.settings.network = network;
        self.restart();
    }

    /// Returns the process id of a machine, from its file.
    pub fn pid(&self, spec: &MachineSpec) -> String {
        std::fs::read_to_string(self.machine(spec).join("pid")).unwrap()
    }

    /// Sends a signal to the process of a machine.
    pub fn signal(&self, spec: &MachineSpec, signal: &str) {
        self.signal_id(spec.id, signal);
    }

    pub fn signal_id(&self, id: CloudPcId, signal: &str) {
        let pid = std::fs::read_to_string(self.machine_of(id).join("pid")).unwrap();
        assert!(send(signal, &pid), "{signal} to the machine of {id}, process {pid}");
    }

    /// Kills the process of a machine, if it has one, and counts it.
    pub fn kill_if_running(&self, spec: &MachineSpec) {
        let pid = std::fs::read_to_string(self.machine(spec).join("pid")).unwrap_or_default();
        let running = || runs(&spec.id.to_string(), &pid);
        if running() {
            let killed = send("-KILL", &pid);
            assert!(killed || !running(), "process {pid} is still running but cannot be killed");
            self.kills.fetch_add(killed.into(), Relaxed);
        }
    }

    /// Triggers a magic SysRq command in a guest's kernel. The guest may not survive to respond.
    pub async fn sysrq(&self, id: CloudPcId, key: &str) {
        let guest = self.driver.guest(id).await.unwrap();
        let press = guest.write_file("/proc/sysrq-trigger", key.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(20), press).await;
    }

    /// Returns QEMU's status of a machine.
    pub fn status(&self, spec: &MachineSpec) -> String {
        // A socket address must be short; the path is not.
        let folder = std::fs::File::open(self.machine(spec).join("run")).unwrap();
        let socket = format!("/proc/self/fd/{}/qmp.sock", folder.as_raw_fd());
        let stream = std::os::unix::net::UnixStream::connect(socket).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        (&stream).write_all(b"{\"execute\":\"qmp_capabilities\"}{\"execute\":\"query-status\"}\n").unwrap();
        let lines = BufReader::new(&stream).lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap());
        let mut statuses =
            lines.filter_map(|line: serde_json::Value| Some(line["return"]["status"].as_str()?.to_owned()));
        statuses.next().unwrap()
    }

    pub async fn guest(&self, spec: &MachineSpec) -> Box<dyn Guest> {
        self.driver.guest(spec.id).await.unwrap()
    }

    /// Creates and boots a machine and waits until its guest responds.
    pub async fn ready(&self, spec: &MachineSpec) -> Box<dyn Guest> {
        self.driver.ensure_present(spec).await.unwrap();
        self.boot(spec).await
    }

    pub async fn boot(&self, spec: &MachineSpec) -> Box<dyn Guest> {
        self.driver.ensure_running(spec.id).await.unwrap();
        let guest = self.guest(spec).await;
        wait_ready(&*guest).await;
        guest
    }

    pub async fn stop(&self, spec: &MachineSpec, how: StopMode) {
        self.driver.ensure_stopped(spec.id, how).await.unwrap();
    }
}

/// Waits until the driver reports this condition of a machine, or none.
pub async fn wait_for_condition(driver: &QemuDriver, spec: &MachineSpec, condition: Option<MachineCondition>) {
    let found = async {
        while driver.observe(spec.id).await.unwrap().condition != condition {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap_or_else(|_| panic!("{condition:?} was never observed"));
}

/// Waits for the guest, with a message if it never responds.
pub async fn wait_ready(guest: &dyn Guest) {
    let limit = Duration::from_mins(10);
    tokio::time::timeout(limit, guest.wait_ready()).await.expect("the guest responds within the limit").unwrap();
}

fn open(folder: &Path, settings: Settings) -> (Runtime, QemuDriver) {
    let Settings { guest_silence_max, network, limits, sources, probe_time_max } = settings;
    let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let driver = QemuDriver::open(QemuParts {
        folder: folder.to_owned(),
        images: images(),
        sources,
        accelerator: AcceleratorSetting::Tcg,
        capacity: Capacity { ram_gib: 8, free_disk_bytes_min: 1 << 20, ..Capacity::of_host().unwrap() },
        limits,
        network,
        stop_time_max: STOP_TIME_MAX,
        guest_silence_max,
        probe_time_max,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        fetcher: Fetcher::new(None).unwrap(),
        runtime: process.handle().clone(),
    });
    (process, driver.unwrap())
}

impl Drop for TestBed {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
        // Machines that the test has left running.
        for machine in std::fs::read_dir(self.path().join("machines")).into_iter().flatten().flatten() {
            let pid = std::fs::read_to_string(machine.path().join("pid")).unwrap_or_default();
            if runs(&machine.file_name().to_string_lossy(), &pid) {
                send("-KILL", &pid);
            }
        }
    }
}

/// Returns whether the process belongs to the machine: the pid may have been reused.
fn runs(machine: &str, pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(machine))
}

/// Sends a signal; returns whether the process existed.
fn send(signal: &str, pid: &str) -> bool {
    std::process::Command::new("kill").args([signal, pid]).status().unwrap().success()
}

pub fn spec(number: u32) -> MachineSpec {
    MachineSpec {
        id: CloudPcId(Uuid::from_u128(0x0c10_0d9c << 96 | u128::from(number))),
        hostname: format!("CPC-test-{number}"),
        vcpu_count: 1,
        ram_gib: 1,
        storage_gib: 2,
        gpu: false,
        image: image(),
    }
}

/// Returns a machine whose first start takes only a moment.
pub fn warm_spec(number: u32) -> MachineSpec {
    MachineSpec { image: warm_image(), ..spec(number) }
}
