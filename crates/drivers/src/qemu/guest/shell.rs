//! The shell of a guest: how an operating system is told what the driver wants of it, as short
//! scripts.
//!
//! A run has a folder of its own below that of its tag. Whoever asks later finds there whether the
//! program was begun, its process or its exit code. So has each attempt at a download: two never
//! write into one file, even if one of them is a dead server's.

/// How one family of operating systems is told. Scripts print what is asked for and exit with 0, or
/// say on the error stream why not.
pub struct Shell {
    /// Where files and runs of ours are kept, in a folder for each tag.
    pub folder: &'static str,
    /// The program and the arguments that run a script with its arguments.
    pub command: fn(script: &str, arguments: &[&str]) -> (&'static str, Vec<String>),
    /// The arguments of a script that stand for those of a program which it runs.
    pub program_arguments: fn(&[String]) -> Vec<String>,
    /// Where what is written is gone.
    pub null: &'static str,
    /// Gives the system the name in the first argument.
    pub name: &'static str,
    /// Makes the folder.
    pub make_folder: &'static str,
    /// Gives `payload.part` in the second folder its place as `payload` in the first, prints its
    /// size, and removes downloads as [`Shell::kill`] does.
    pub keep: &'static str,
    /// Prints the addresses of the host in the first argument as the first words of lines; none if
    /// there is no such host.
    pub resolve: &'static str,
    /// Runs curl with the arguments, and prints its exit code and, on a line of its own, what it
    /// has printed.
    pub ask: &'static str,
    /// Makes the second folder, which is for one download, in the first, after ending and removing
    /// downloads as [`Shell::kill`] does.
    pub begin_download: &'static str,
    /// Runs curl as [`Shell::ask`] does, with the arguments after the second, into `payload.part`
    /// in the folder that was made for it. It is found there and ended by the others. A file that
    /// grows larger than the second argument says, in bytes, is [`TOO_LARGE`].
    pub download: &'static str,
    /// Prints the SHA-256 digest of a file in hexadecimal digits. Exits with [`NO_FILE`] if it is
    /// not there.
    pub digest: &'static str,
    /// Begins the payload in the folder with the other arguments, unless that was done. Exits with
    /// [`NO_FILE`] if it is not there.
    pub run: &'static str,
    /// Prints how the run in the folder is (`none`, `starting`, `running`, `lost` or `exit` and a
    /// code), then the end of what it has printed.
    pub look: &'static str,
    /// Drops the run in the folder, so that it may be begun anew.
    pub forget: &'static str,
    /// Ends the run in the folder with all its children; its exit code is then [`KILLED`]. Ends
    /// downloads in folders of theirs in it, and removes those.
    pub kill: &'static str,
    /// Removes the folder, after ending downloads in it.
    pub remove: &'static str,
    /// Runs the line in the first argument in a shell of its own, for as many seconds as the second
    /// says; prints the end of what it printed and exits with its code, or with [`KILLED`].
    pub detect: &'static str,
}

/// Exit code of a script that misses its file.
pub const NO_FILE: i64 = 8;

/// Exit code of a script that misses a program, whose name is then on the error stream.
pub const NO_PROGRAM: i64 = 9;

/// Exit code of curl where a file is larger than it was allowed to be (`curl(1)`).
pub const TOO_LARGE: i32 = 63;

/// Exit code of a program that was killed.
#[cfg(test)]
pub const KILLED: i64 = 137;
