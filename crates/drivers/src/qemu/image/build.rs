//! Builds images from Debian packages. The scripts in `guests/` define their content.

use cloudpc_model::ImageId;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Firmware, ImageInfo, Images};
use crate::GuestOs;
use crate::guest::Downloads;

/// The kernel parameters of built guests. Most of them skip work that takes a second under software
/// emulation.
const KERNEL_PARAMETERS: &str = "console=ttyS0 console=tty0 quiet cryptomgr.notests no_timer_check mitigations=off nokaslr audit=0 ipv6.disable=1 lsm= rodata=off \
     i8042.noaux random.trust_cpu=on initcall_blacklist=init_kprobe_trace,load_system_certificate_list";

const SCRIPT: &str = "build.sh";

/// The files in `guests/`: the build script, the script for each recipe, and the files it puts on
/// the disk.
const FILES: [(&str, &str); 13] = [
    (SCRIPT, include_str!("guests/build.sh")),
    ("guest-init", include_str!("guests/guest-init")),
    ("disk-init", include_str!("guests/disk-init")),
    ("shutdown", include_str!("guests/shutdown")),
    ("test.sh", include_str!("guests/test.sh")),
    ("desktop.sh", include_str!("guests/desktop.sh")),
    ("desktop/desktop-session", include_str!("guests/desktop/desktop-session")),
    ("desktop/x-resources", include_str!("guests/desktop/x-resources")),
    ("desktop/xorg.conf", include_str!("guests/desktop/xorg.conf")),
    ("desktop/icewm/menu", include_str!("guests/desktop/icewm/menu")),
    ("desktop/icewm/prefoverride", include_str!("guests/desktop/icewm/prefoverride")),
    ("desktop/icewm/theme", include_str!("guests/desktop/icewm/theme")),
    ("desktop/icewm/toolbar", include_str!("guests/desktop/icewm/toolbar")),
];

/// A guest image that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageRecipe {
    /// A small Linux without a desktop.
    Test,
    /// The small Linux with a window manager, a terminal and a clock.
    Desktop,
}

impl ImageRecipe {
    fn name(self) -> &'static str {
        match self {
            Self::Test => "test",
            Self::Desktop => "desktop",
        }
    }
}

/// The progress of a build or import.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageProgress {
    /// Progress, percent.
    pub percent: u64,
    /// The current step, for people.
    pub doing: String,
}

impl Images {
    /// Builds an image, replacing an existing one. Takes less than a minute, and requires the
    /// programs that `scripts/setup qemu` installs. Blocks.
    ///
    /// # Errors
    /// A program or package is missing, or a program fails; the message contains its output.
    pub fn build(&self, recipe: ImageRecipe, id: &ImageId, progress: &mut dyn FnMut(ImageProgress)) -> io::Result<()> {
        self.register(id, |folder| {
            let scripts = folder.join("build");
            for (name, text) in FILES {
                let path = scripts.join(name);
                fs::create_dir_all(path.parent().expect("a file is in a folder"))?;
                fs::write(path, text)?;
            }
            run(&scripts, recipe, folder, progress)?;
            fs::remove_dir_all(&scripts)?;
            Ok(ImageInfo {
                os: GuestOs::Linux,
                kernel_parameters: Some(KERNEL_PARAMETERS.into()),
                firmware: Firmware::Bios,
                emulated_cpu: Some("qemu64".into()),
                display: true,
                downloads: Downloads::Pushed,
                warm: None,
            })
        })
    }
}

fn run(scripts: &Path, recipe: ImageRecipe, folder: &Path, progress: &mut dyn FnMut(ImageProgress)) -> io::Result<()> {
    let errors = scripts.join("errors");
    let mut script = Command::new("bash")
        .arg(scripts.join(SCRIPT))
        .arg(recipe.name())
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&errors)?)
        .spawn()?;
    for line in BufReader::new(script.stdout.take().expect("it is piped")).lines() {
        if let Some(step) = parse(&line?) {
            progress(step);
        }
    }
    match script.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(fs::read_to_string(errors)?.trim().to_owned())),
    }
}

/// Parses a progress line of the script.
fn parse(line: &str) -> Option<ImageProgress> {
    let (percent, doing) = line.split_once(' ')?;
    Some(ImageProgress { percent: percent.parse().ok()?, doing: doing.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_progress_line_is_parsed() {
        let progress = ImageProgress { percent: 55, doing: "Unpacking 3 packages".into() };
        assert_eq!(parse("55 Unpacking 3 packages"), Some(progress));
        assert_eq!(parse("W: something else"), None);
    }

    #[test]
    fn every_file_of_the_guests_is_embedded() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/qemu/image/guests");
        let mut found = Vec::new();
        let mut folders = vec![folder.clone()];
        while let Some(next) = folders.pop() {
            for entry in fs::read_dir(next).unwrap() {
                let path = entry.unwrap().path();
                if path.is_dir() {
                    folders.push(path);
                } else {
                    found.push(path.strip_prefix(&folder).unwrap().to_str().unwrap().to_owned());
                }
            }
        }
        found.sort();
        let mut embedded = FILES.map(|(name, _)| name.to_owned());
        embedded.sort();
        assert_eq!(found, embedded);
    }
}
