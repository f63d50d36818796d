//! The images of real machines in a data directory, which the command line makes. Needs no running
//! service.

use cloudpc_drivers::qemu::{AcceleratorSetting, Capacity, LimitsSetting, Network, QemuDriver, QemuParts};
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

/// Below the data directory.
const IMAGES: &str = "qemu/images";

/// Machines that only try an image out, apart from those of the service, which may be running.
const TRIALS: &str = "qemu/trials";

/// How long the guest agent of an image that is tried out may usually take to answer. Windows takes
/// minutes under software emulation.
pub const TRIAL_TIME_MAX: Duration = Duration::from_mins(10);

/// How often a trial looks whether the one before it has ended.
const TURN_POLL: Duration = Duration::from_millis(200);

/// The images of a data directory.
///
/// # Errors
/// Their folder cannot be made.
pub fn open(data: &Path) -> io::Result<Images> {
    Images::open(&data.join(IMAGES))
}

/// What came of trying an image out.
#[derive(Debug)]
pub enum Trial {
    /// Its guest agent answers.
    Good,
    /// Somebody did not want to wait.
    CutShort,
    /// It does not, in the time that it had.
    Silent {
        /// What the screen showed at the end, PNG.
        screen: Option<Vec<u8>>,
    },
}

/// Starts a machine from an image of a data directory, to see whether its guest agent answers
/// within `time_max`, and removes it again. Ends early when `stop` does. One trial at a time: it
/// removes what one whose process was killed has left.
///
/// # Errors
/// The machine cannot be made or started.
pub async fn try_out(
    data: &Path,
    id: &ImageId,
    time_max: Duration,
    stop: impl Future<Output = ()>,
) -> Result<Trial, GuestError> {
    let folder = data.join(TRIALS);
    tokio::pin!(stop);
    let _turn = tokio::select! {
        turn = turn(&folder) => turn.map_err(unavailable)?,
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
    let tried = tokio::select! {
        tried = watch(&driver, &spec, time_max) => tried,
        () = stop => Ok(Trial::CutShort),
    };
    driver.ensure_absent(spec.id).await?;
    tried
}

/// Waits for other trials in a folder. The turn ends with the file, or with our process.
async fn turn(folder: &Path) -> io::Result<File> {
    std::fs::create_dir_all(folder)?;
    let file = File::create(folder.join("lock"))?;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(TryLockError::WouldBlock) => tokio::time::sleep(TURN_POLL).await,
            Err(TryLockError::Error(error)) => return Err(error),
        }
    }
}

/// The driver of the machines that are tried out.
fn driver(data: &Path, time_max: Duration) -> io::Result<QemuDriver> {
    QemuDriver::open(QemuParts {
        folder: data.join(TRIALS),
        images: open(data)?,
        accelerator: AcceleratorSetting::Auto,
        capacity: Capacity::of_host()?,
        limits: LimitsSetting::Auto,
        network: Network::Closed,
        stop_time_max: Duration::from_secs(30),
        guest_silence_max: time_max,
        clock: Arc::new(SystemClock),
        rng: Arc::new(SystemRng),
        fetcher: Fetcher::new(None)?,
        runtime: tokio::runtime::Handle::current(),
    })
}

fn unavailable(error: io::Error) -> DriverError {
    DriverError::Unavailable(error.to_string())
}

async fn watch(driver: &QemuDriver, spec: &MachineSpec, time_max: Duration) -> Result<Trial, GuestError> {
    driver.ensure_present(spec).await?;
    driver.ensure_running(spec.id).await?;
    let guest = driver.guest(spec.id).await?;
    match tokio::time::timeout(time_max, guest.wait_ready()).await {
        Ok(ready) => ready.map(|()| Trial::Good),
        Err(_) => Ok(Trial::Silent { screen: driver.screenshot(spec.id).await.ok() }),
    }
}
