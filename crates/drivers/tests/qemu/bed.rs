//! What the tests on real machines stand on: the test image, and a driver with a folder of its own.

use cloudpc_drivers::qemu::{
    self, AcceleratorSetting, Capacity, Images, LimitsSetting, Network, QemuDriver, QemuParts,
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

/// An image that boots.
pub fn image() -> ImageId {
    ImageId("cloudpc_test_guest".into())
}

/// The same, which need not boot the first time. The boots of a test under software emulation are
/// most of its time.
pub fn warm_image() -> ImageId {
    ImageId("cloudpc_test_guest-warm".into())
}

/// Another name for an image.
pub fn next(image: &ImageId) -> ImageId {
    ImageId(format!("{image}-next"))
}

/// The images that all tests share. `make test-vm` builds them; see `build_images`.
pub fn images() -> Images {
    let images = Images::open(&folder().join("images")).unwrap();
    assert!(images.has(&image()), "the test image is missing; `make test-vm` builds it first");
    images
}

/// Says that a test, or a part of one, cannot run on this machine. Written past the capture of the
/// test runner, since the test passes; and to the file of `scripts/test`, which lists all of these
/// at its end.
pub fn not_run(why: &str) {
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let line = format!("NOT RUN: {test}: {why}\n");
    std::io::stderr().write_all(line.as_bytes()).unwrap();
    if let Some(path) = std::env::var_os("CLOUDPC_TEST_NOT_RUN") {
        let mut file = std::fs::OpenOptions::new().create(true).append(true).open(path).unwrap();
        file.write_all(line.as_bytes()).unwrap();
    }
}

/// Outlives a test run, so that images need not be built for each.
pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("qemu")
}

/// A driver with a folder of its own, whose machines end with it.
pub struct Bed {
    folder: tempfile::TempDir,
    /// Where the driver's work is done: what ends with its process ends with this.
    process: Option<Runtime>,
    pub driver: QemuDriver,
    settings: Settings,
    /// How many processes [`Bed::kill_if_running`] has killed.
    pub killed: AtomicU32,
}

/// What a driver may be told.
#[derive(Clone)]
pub struct Settings {
    pub guest_silence_max: Duration,
    pub network: Network,
    pub limits: LimitsSetting,
}

impl Default for Settings {
    fn default() -> Self {
        Self { guest_silence_max: qemu::GUEST_SILENCE_MAX, network: Network::Closed, limits: LimitsSetting::Off }
    }
}

/// How long a guest may take to shut down.
pub const STOP_TIME_MAX: Duration = Duration::from_secs(15);

impl Bed {
    pub fn new() -> Self {
        Self::in_folder(tempfile::tempdir_in(folder()).unwrap())
    }

    /// On another file system, say.
    pub fn in_folder(folder: tempfile::TempDir) -> Self {
        Self::with(folder, Settings::default())
    }

    /// One whose guests may be silent for so long.
    pub fn impatient(guest_silence_max: Duration) -> Self {
        let settings = Settings { guest_silence_max, ..Settings::default() };
        Self::with(tempfile::tempdir_in(folder()).unwrap(), settings)
    }

    /// One whose machines may not take more of the host than they were promised.
    pub fn limited(folder: tempfile::TempDir) -> Self {
        Self::with(folder, Settings { limits: LimitsSetting::Systemd, ..Settings::default() })
    }

    /// One whose machines are on a network.
    pub fn on(network: Network) -> Self {
        let settings = Settings { network, ..Settings::default() };
        Self::with(tempfile::tempdir_in(folder()).unwrap(), settings)
    }

    fn with(folder: tempfile::TempDir, settings: Settings) -> Self {
        let (process, driver) = open(folder.path(), settings.clone());
        Self { folder, process: Some(process), driver, settings, killed: AtomicU32::new(0) }
    }

    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder of a machine.
    pub fn machine(&self, spec: &MachineSpec) -> PathBuf {
        self.machine_of(spec.id)
    }

    fn machine_of(&self, id: CloudPcId) -> PathBuf {
        self.path().join("machines").join(id.to_string())
    }

    /// The driver's process dies, with whatever it was doing, and another takes over.
    pub fn restart(&mut self) {
        if let Some(process) = self.process.take() {
            // Work on files that a process has begun dies with it, but a runtime's goes on: it is
            // waited for. Waiting is not done in a runtime.
            let ended = std::thread::spawn(move || process.shutdown_timeout(Duration::from_secs(60)));
            ended.join().unwrap();
        }
        let (process, driver) = open(self.folder.path(), self.settings.clone());
        (self.process, self.driver) = (Some(process), driver);
    }

    /// The same, and the next one knows another network.
    pub fn restart_on(&mut self, network: Network) {
        self.settings.network = network;
        self.restart();
    }

    /// The process of a machine, by the file that it writes.
    pub fn pid(&self, spec: &MachineSpec) -> String {
        std::fs::read_to_string(self.machine(spec).join("pid")).unwrap()
    }

    /// A signal to the process of a machine.
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
            assert!(killed || !running(), "process {pid} cannot be killed, but has not ended by itself either");
            self.killed.fetch_add(killed.into(), Relaxed);
        }
    }

    /// Has the kernel of a guest do what a key of the magic System Request stands for. It may not
    /// live to answer.
    pub async fn sysrq(&self, id: CloudPcId, key: &str) {
        let guest = self.driver.guest(id).await.unwrap();
        let press = guest.write_file("/proc/sysrq-trigger", key.as_bytes());
        let _ = tokio::time::timeout(Duration::from_secs(20), press).await;
    }

    /// What QEMU says of a machine.
    pub fn status(&self, spec: &MachineSpec) -> String {
        // The address of a socket is short; the path is not.
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

    /// A machine that runs, with a guest that answers.
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

/// Waits until a driver says that this is wrong with a machine, or that nothing is.
pub async fn wait_for_trouble(driver: &QemuDriver, spec: &MachineSpec, condition: Option<MachineCondition>) {
    let found = async {
        while driver.observe(spec.id).await.unwrap().condition != condition {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), found)
        .await
        .unwrap_or_else(|_| panic!("{condition:?} was never observed"));
}

/// Fails with a word to say about it if the guest does not come up at all.
pub async fn wait_ready(guest: &dyn Guest) {
    let limit = Duration::from_mins(10);
    tokio::time::timeout(limit, guest.wait_ready()).await.expect("the guest answers at last").unwrap();
}

fn open(folder: &Path, Settings { guest_silence_max, network, limits }: Settings) -> (Runtime, QemuDriver) {
    let process = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let driver = QemuDriver::open(QemuParts {
        folder: folder.to_owned(),
        images: images(),
        accelerator: AcceleratorSetting::Tcg,
        capacity: Capacity { ram_gib: 8, free_disk_bytes_min: 1 << 20, ..Capacity::of_host().unwrap() },
        limits,
        network,
        stop_time_max: STOP_TIME_MAX,
        guest_silence_max,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        fetcher: Fetcher::new(None).unwrap(),
        runtime: process.handle().clone(),
    });
    (process, driver.unwrap())
}

impl Drop for Bed {
    fn drop(&mut self) {
        if let Some(process) = self.process.take() {
            process.shutdown_background();
        }
        // Whatever the test has left running.
        for machine in std::fs::read_dir(self.path().join("machines")).into_iter().flatten().flatten() {
            let pid = std::fs::read_to_string(machine.path().join("pid")).unwrap_or_default();
            if runs(&machine.file_name().to_string_lossy(), &pid) {
                send("-KILL", &pid);
            }
        }
    }
}

/// Whether a process is the machine's: a pid may be another's by now.
fn runs(machine: &str, pid: &str) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.contains(machine))
}

/// Whether there was a process to take the signal.
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

/// A machine that is up in a moment when it is started for the first time.
pub fn warm_spec(number: u32) -> MachineSpec {
    MachineSpec { image: warm_image(), ..spec(number) }
}
