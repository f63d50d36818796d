//! The shell of a guest: the driver's operations as short scripts for one operating system family.
//!
//! A run has its own folder below that of its tag. Later polls find there whether the program was
//! started, and its process or exit code. Each attempt at a download has its own folder too: two
//! attempts never write to one file, even if one belongs to a crashed server.

/// The scripts for one operating system family. A script prints its result and exits with 0, or
/// writes an error to the error stream.
pub struct Shell {
    /// The folder for downloads and runs, with a subfolder for each tag.
    pub folder: &'static str,
    /// Returns the program and arguments that run a script with its arguments.
    pub command: fn(script: &str, arguments: &[&str]) -> (&'static str, Vec<String>),
    /// Encodes the arguments of a program as arguments of the script that runs it.
    pub program_arguments: fn(&[String]) -> Vec<String>,
    /// The null device.
    pub null: &'static str,
    /// Sets the hostname to the first argument.
    pub set_hostname: &'static str,
    /// Adds the account of the user principal name in the first argument to the administrators if
    /// the second is `administrator`, else removes it from them. Exits with [`UNSUPPORTED`] if the
    /// guest has no such account.
    pub set_account_type: &'static str,
    /// Creates the folder.
    pub make_folder: &'static str,
    /// Moves `payload.part` of the second folder to `payload` in the first, prints its size, and
    /// removes downloads as [`Shell::kill`] does.
    pub store_download: &'static str,
    /// Prints the addresses of the host in the first argument, each as the first word of a line;
    /// nothing if the host does not exist.
    pub resolve: &'static str,
    /// Runs curl with the arguments; prints its exit code and, on another line, its output.
    pub request: &'static str,
    /// Kills and removes downloads in the first folder as [`Shell::kill`] does, then creates the
    /// second folder in it for a new download.
    pub begin_download: &'static str,
    /// Runs curl as [`Shell::request`] does, with the arguments after the second, into
    /// `payload.part` in the download's folder, where other scripts find and kill it. The second
    /// argument is the size limit in bytes; a larger file exits with [`TOO_LARGE`].
    pub download: &'static str,
    /// Prints the SHA-256 digest of a file in hexadecimal digits. Exits with [`NO_FILE`] if it does
    /// not exist.
    pub digest: &'static str,
    /// Starts the payload in the folder with the other arguments, unless it was started before.
    /// Exits with [`NO_FILE`] if it does not exist.
    pub run: &'static str,
    /// Prints the state of the run in the folder (`none`, `starting`, `running`, `lost`, or `exit`
    /// and a code), then the end of its output.
    pub poll: &'static str,
    /// Discards the run in the folder, so that it can be started again.
    pub discard_run: &'static str,
    /// Kills the run in the folder and all its children; its exit code is then [`KILLED`]. Kills
    /// downloads in its subfolders and removes them.
    pub kill: &'static str,
    /// Removes the folder, after killing downloads in it.
    pub remove: &'static str,
    /// Runs the command in the first argument in its own shell, with a timeout of the second
    /// argument's seconds; prints the end of its output and exits with its code, or with
    /// [`KILLED`].
    pub detect: &'static str,
}

/// Exit code of a script whose file does not exist.
pub const NO_FILE: i64 = 8;

/// Exit code of a script that lacks a program, whose name is printed to the error stream.
pub const NO_PROGRAM: i64 = 9;

/// Exit code of a script for something that this guest cannot do; the error stream says why.
pub const UNSUPPORTED: i64 = 10;

/// Exit code of curl for a file that exceeds the size limit (`curl(1)`).
pub const TOO_LARGE: i32 = 63;

/// Exit code of a killed program.
#[cfg(test)]
pub const KILLED: i64 = 137;
