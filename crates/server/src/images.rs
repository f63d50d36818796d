//! The images of real machines in a data directory, which the command line builds and tests. No
//! running service is needed.

use cloudpc_drivers::qemu::{
    AcceleratorSetting, Capacity, LimitsSetting, Network, QemuDriver, QemuParts, SourceSettings,
};
use cloudpc_drivers::{Driver, DriverError, Fetcher, GuestError, MachineSpec, SystemClock, SystemRng};
use cloudpc_model::{CloudPcId, Rng as _};
use std::fs::{File, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub use cloudpc_drivers::GuestOs;
pub use cloudpc_drivers::qemu::{Downloads, Firmware, ImageProgress, ImageRecipe, Images, Import};
pub use cloudpc_model::{ImageId, OsVersion};

/// Folder of images, below the data directory.
const IMAGES: &str = "qemu/images";

/// Folder of test machines, apart from those of the service, which may be running.
const TRIALS: &str = "qemu/trials";

pub use cloudpc_drivers::qemu::PROBE_TIME_MAX as TRIAL_TIME_MAX;

/// How often a trial polls the lock that another trial holds.
const LOCK_POLL: Duration = Duration::from_millis(200);

/// The images of a data directory.
///
/// # Errors
/// The folder cannot be created.
pub fn open(data: &Path) -> io::Result<Images> {
    Images::open(&data.join(IMAGES))
}

/// The result of testing an image.
#[derive(Debug)]
pub enum Trial {
    /// The guest agent answered.
    Good,
    /// The trial was interrupted.
    CutShort,
    /// The guest agent did not answer in time.
    Silent {
        /// The screen at the end, as PNG.
        screen: Option<Vec<u8>>,
    },
}

/// Starts a machine from an image, checks that its guest agent answers within `time_max`, and
/// removes the machine. Ends early when `stop` completes. Trials run one at a time; each first
/// removes the machines that a killed trial left.
///
/// # Errors
/// The machine cannot be created or started.
pub async fn try_out(
    data: &Path,
    id: &ImageId,
    time_max: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Trial, GuestError> {
    let folder = data.join(TRIALS);
    tokio::pin!(stop);
    let _lock = tokio::select! {
    lock = lock(&folder) => lock.map_err(unavailable)?,
            () = &mut stop => return Ok(Trial::CutShort),
        };
    let driver = driver(data, time_max).map_err(unavailable)?;
    for left in driver.list().await? {
        driver.ensure_absent(left).await?;
    }
    let spec = MachineSpec {
        id: CloudPcId(SystemRng.uuid()),
        hostname: "CPC-TRIAL".into(),
        vcpu_count: 2,
        ram_gib: 4,
        storage_gib: 1,
        gpu: false,
        image: id.clone(),
    };
    let result = tokio::select! {
    result = boot(&driver, &spec, time_max) => result,
    () = stop => Ok(Trial::CutShort),
    };
    driver.ensure_absent(spec.id).await?;
    result
}

/// Waits for the lock of a folder. The lock is released when the file is dropped or the process
/// ends.
async fn lock(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(LOCK_POLL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// Opens the driver of test machines.
fn driver(data: &Path, time_max: Duration) -> io::Result<QemuDriver> {
    QemuDriver::open(QemuParts {
        folder: data.join(TRIALS),
        images: open(data)?,
        sources: SourceSettings::default(),
        accelerator: AcceleratorSetting::Auto,
        capacity: Capacity::of_host()?,
        limits: LimitsSetting::Auto,
        network: Network::Closed,
        stop_time_max: Duration::from_secs(30),
        guest_silence_max: time_max,
        probe_time_max: time_max,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        fetcher: Fetcher::new(None)?,
        runtime: tokio::runtime::Handle::current(),
    })
}

fn unavailable(error: io::Error) -> DriverError {
    DriverError::Unavailable(error.to_string())
}

/// Boots a machine and waits for its guest agent.
async fn boot(driver: &QemuDriver, spec: &MachineSpec, time_max: Duration) -> Result<Trial, GuestError> {
    driver.ensure_present(spec).await?;
    driver.ensure_running(spec.id).await?;
    let guest = driver.guest(spec.id).await?;
    match tokio::time::timeout(time_max, guest.wait_ready()).await {
        Ok(ready) => ready.map(|()| Trial::Good),
        Err(_) => Ok(Trial::Silent { screen: driver.screenshot(spec.id).await.ok() }),
    }
}
