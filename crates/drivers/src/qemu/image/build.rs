//! Images that are built from Debian packages. What is in them is written in `guests/`.

use cloudpc_model::ImageId;
use std::fs::{self, File};
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use super::{Downloads, Firmware, ImageInfo, Images};
use crate::GuestOs;

/// The kernel parameters of our guests. Most of them leave work out that takes a second under
/// software emulation.
const KERNEL_PARAMETERS: &str = "console=ttyS0 console=tty0 quiet cryptomgr.notests no_timer_check mitigations=off nokaslr audit=0 ipv6.disable=1 lsm= rodata=off \
     i8042.noaux random.trust_cpu=on initcall_blacklist=init_kprobe_trace,load_system_certificate_list";

const SCRIPT: &str = "build.sh";

/// `guests/`: the script, what it reads for each recipe, and what it puts on the disk.
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

/// A guest that can be built.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ImageRecipe {
    /// A small Linux without a desktop.
    Test,
    /// The same with a window manager, a terminal and a clock.
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

/// How far building has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageProgress {
    /// How much is done, of 100.
    pub percent: u64,
    /// What is being done, for people.
    pub doing: String,
}

impl Images {
    /// Builds an image, in place of the one that is there. Takes less than a minute, and programs
    /// that `scripts/setup qemu` installs. Blocks.
    ///
    /// # Errors
    /// A program or package is missing, or one fails; the message holds what was said.
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
    let problems = scripts.join("problems");
    let mut script = Command::new("bash")
        .arg(scripts.join(SCRIPT))
        .arg(recipe.name())
        .arg(folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(File::create(&problems)?)
        .spawn()?;
    for line in BufReader::new(script.stdout.take().expect("it is piped")).lines() {
        if let Some(come_to) = parse(&line?) {
            progress(come_to);
        }
    }
    match script.wait()?.success() {
        true => Ok(()),
        false => Err(io::Error::other(fs::read_to_string(problems)?.trim().to_owned())),
    }
}

/// A line of the script.
fn parse(line: &str) -> Option<ImageProgress> {
    let (percent, doing) = line.split_once(' ')?;
    Some(ImageProgress { percent: percent.parse().ok()?, doing: doing.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_script_says_how_far_it_is() {
        let progress = ImageProgress { percent: 55, doing: "Unpacking 3 packages".into() };
        assert_eq!(parse("55 Unpacking 3 packages"), Some(progress));
        assert_eq!(parse("W: something else"), None);
    }

    #[test]
    fn every_file_of_the_guests_is_carried_along() {
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
        let mut carried = FILES.map(|(name, _)| name.to_owned());
        carried.sort();
        assert_eq!(found, carried);
    }
}
