//! The shell of a guest: how an operating system is told what the driver wants of it, as short scripts.
//!
//! A run has a folder of its own below that of its tag. Whoever asks later finds there whether the program was begun, its process or its exit code.

/// How one family of operating systems is told. Scripts print what is asked for and exit with 0, or say on the error stream why not.
pub struct Shell {
    /// Where files and runs of ours are kept, in a folder for each tag.
    pub folder: &'static str,
    /// The program and the arguments that run a script with its arguments.
    pub command: fn(script: &str, arguments: &[&str]) -> (&'static str, Vec<String>),
    /// The arguments of [`Shell::run`] that stand for those of an installer.
    pub installer_arguments: fn(&[String]) -> Vec<String>,
    /// Gives the system the name in the first argument.
    pub name: &'static str,
    /// Makes the folder.
    pub make_folder: &'static str,
    /// Gives `payload.part` in the folder its name `payload`, and prints its size.
    pub keep: &'static str,
    /// Prints the SHA-256 digest of a file in hexadecimal digits. Exits with [`NO_FILE`] if it is not there.
    pub digest: &'static str,
    /// Begins the payload in the folder with the other arguments, unless that was done. Exits with [`NO_FILE`] if it is not there.
    pub run: &'static str,
    /// Prints how the run in the folder is (`none`, `starting`, `running`, `lost` or `exit` and a code), then the end of what it has printed.
    pub look: &'static str,
    /// Drops the run in the folder, so that it may be begun anew.
    pub forget: &'static str,
    /// Ends the run in the folder with all its children; its exit code is then [`KILLED`].
    pub kill: &'static str,
    /// Removes the folder.
    pub remove: &'static str,
    /// Runs the line in the first argument in a shell of its own, for as many seconds as the second says; prints the end of what it printed and
    /// exits with its code, or with [`KILLED`].
    pub detect: &'static str,
}

/// Exit code of a script that misses its file.
pub const NO_FILE: i64 = 8;

/// Exit code of a program that was killed.
#[cfg(test)]
pub const KILLED: i64 = 137;
