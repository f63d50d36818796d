//! The scripts for Linux guests, in `sh` with the tools of a small system.

use super::shell::Shell;

pub static LINUX: Shell = Shell {
    folder: "/var/lib/cloudpc",
    command: |script, arguments| {
        let script = format!("{PRELUDE}{script}");
        let words = ["-c", &script, "sh"].into_iter().chain(arguments.iter().copied());
        ("/bin/sh", words.map(str::to_owned).collect())
    },
    program_arguments: <[String]>::to_vec,
    null: "/dev/null",
    set_hostname: r#"hostname "$1" && echo "$1" > /etc/hostname"#,
    set_account_type: SET_ACCOUNT_TYPE,
    make_folder: r#"mkdir -p "$1""#,
    store_download: r#"mv "$2/payload.part" "$1/payload" && stat -c %s "$1/payload" && end_downloads "$1""#,
    resolve: r#"need getent; getent ahosts "$1" || [ $? = 2 ]"#,
    request: r#"need curl; output=$(curl "$@"); echo "$?"; echo "$output""#,
    begin_download: r#"end_downloads "$1"; mkdir -p "$2""#,
    download: DOWNLOAD,
    digest: r#"[ -e "$1" ] || exit 8; sha256sum "$1""#,
    run: RUN,
    poll: POLL,
    discard_run: r#"rm -rf "$1/run""#,
    kill: KILL,
    remove: r#"end_downloads "$1"; rm -rf "$1""#,
    detect: DETECT,
};

/// Precedes every script. A process group is identified by its id and the boot in which it started,
/// because ids are reused; both are stored in its folder.
const PRELUDE: &str = r#"
need() { command -v "$1" > /dev/null || { echo "$1" >&2; exit 9; }; }
recorded() { [ -e "$1/pid" ] && [ "$(cat "$1/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ] && cat "$1/pid"; }
end() { pid=$(recorded "$1") && kill -9 "-$pid" 2> /dev/null; }
end_downloads() {
    for attempt in "$1"/download-*; do
        end "$attempt"
        rm -rf "$attempt"
    done
}
"#;

/// The account is named by the first part of the user principal name. A distribution has one of the
/// administrators' groups; shadow and BusyBox have different programs to change it.
const SET_ACCOUNT_TYPE: &str = r#"
account=${1%%@*}
groups=$(id -nG "$account" 2> /dev/null) || { echo "The guest has no account '$account'." >&2; exit 10; }
found=
for group in sudo wheel admin; do
    getent group "$group" > /dev/null 2>&1 || grep -q "^$group:" /etc/group || continue
    found=1
    case " $groups " in *" $group "*) member=1 ;; *) member= ;; esac
    if [ "$2" = administrator ]; then
        [ "$member" ] && exit 0
        if command -v gpasswd > /dev/null; then gpasswd -a "$account" "$group"; else addgroup "$account" "$group"; fi
        exit
    fi
    [ "$member" ] || continue
    if command -v gpasswd > /dev/null; then gpasswd -d "$account" "$group"; else delgroup "$account" "$group"; fi || exit
done
[ "$found" ] || { echo "The guest has no group of administrators: sudo, wheel or admin." >&2; exit 10; }
"#;

/// The kernel enforces the size limit, in blocks of 512 bytes: curl enforces its own only if the
/// server declares the size, or if curl is recent.
const DOWNLOAD: &str = r#"
need curl
cd "$1" || exit
shift
setsid sh -c '
    cat /proc/sys/kernel/random/boot_id > boot && echo $$ > pid.new && mv pid.new pid && : > payload.part || exit
    max=$1
    shift
    trap "" XFSZ
    ulimit -f $((max / 512 + 1))
    output=$(curl "$@" --output payload.part < /dev/null)
    code=$?
    rm -f pid
    size=$(stat -c %s payload.part) || exit
    [ "$size" -gt "$max" ] && code=63
    echo "$code"
    echo "$output"
' sh "$@"
"#;

/// The program runs in its own session under a small shell that records its exit code. The run's
/// folder can be created only once.
const RUN: &str = r#"
cd "$1" && [ -e payload ] || exit 8
shift
mkdir run 2> /dev/null || exit 0
chmod 700 payload
case "$(head -c 7 payload)" in
    '!<arch>') set -- dpkg "$@" -i payload ;;
    *) set -- ./payload "$@" ;;
esac
setsid sh -c '
    cat /proc/sys/kernel/random/boot_id > run/boot
    echo $$ > run/pid.new && mv run/pid.new run/pid
    "$@" < /dev/null >> run/output 2>&1
    echo $? > run/exit.new && mv run/exit.new run/exit
' sh "$@" < /dev/null > /dev/null 2>&1 &
"#;

/// The output is truncated before it can fill the disk.
const POLL: &str = r#"
cd "$1/run" 2> /dev/null || { echo none; exit; }
state=starting
if [ -e pid ]; then
    state=lost
    pid=$(recorded .) && kill -0 "$pid" 2> /dev/null && state=running
fi
[ -e exit ] && state="exit $(cat exit)"
echo "$state"
[ -e output ] || exit 0
tail -c 16384 output
if [ "$(stat -c %s output)" -gt 1048576 ]; then : > output; fi
"#;

const KILL: &str = r#"
end_downloads "$1"
cd "$1/run" 2> /dev/null || exit 0
[ -e exit ] && exit 0
end .
echo 137 > exit.new && mv exit.new exit
"#;

/// The exit code bypasses the pipe, because `tail` ends the pipe.
const DETECT: &str = r#"
exec 4>&1
code=$({ { timeout -s KILL "$2" sh -c "$1" < /dev/null 2>&1 3>&- 4>&-; echo $? >&3; } | tail -c 16384 >&4; } 3>&1)
exit "$code"
"#;

#[cfg(test)]
mod tests {
    use super::super::shell::{KILLED, NO_PROGRAM, TOO_LARGE, UNSUPPORTED};
    use super::*;
    use std::os::unix::fs::PermissionsExt;
    use std::path::Path;
    use std::process::{Command, Stdio};

    #[test]
    fn a_detection_returns_its_code_and_output_tail_and_times_out() {
        let detect_within = |seconds: &str, command: &str| {
            let (program, arguments) = (LINUX.command)(LINUX.detect, &[command, seconds]);
            let output = Command::new(program).args(arguments).output().unwrap();
            (i64::from(output.status.code().unwrap()), String::from_utf8(output.stdout).unwrap())
        };
        let detect = |command: &str| detect_within("60", command);
        assert_eq!(detect("echo found; echo really >&2"), (0, "found\nreally\n".into()));
        assert_eq!(detect("echo 'not \"found\"'; exit 3"), (3, "not \"found\"\n".into()));
        assert_eq!(detect("no-such-program 2> /dev/null"), (127, String::new()));
        // Some shells print a message about the killed process.
        let (code, waits) = detect_within("2", "echo waits; sleep 1000");
        assert_eq!((code, waits.lines().next()), (KILLED, Some("waits")));
        let (code, much) = detect("i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i + 1)); done");
        assert_eq!((code, much.len()), (0, 16384));
    }

    #[test]
    fn an_account_joins_and_leaves_the_administrators_once() {
        let root = tempfile::tempdir().unwrap();
        let programs = root.path();
        let program = |name: &str, text: &str| {
            let path = programs.join(name);
            std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        };
        program("getent", "[ \"$2\" = wheel ]");
        program("grep", "exit 1");
        program("gpasswd", "echo \"$@\"");
        let set = |groups: &str, user: &str, account: &str| {
            program("id", &format!("[ \"$2\" = ada ] && echo '{groups}'"));
            let (shell, arguments) = (LINUX.command)(LINUX.set_account_type, &[user, account]);
            let output = Command::new(shell).args(arguments).env("PATH", programs).output().unwrap();
            let text = [output.stdout, output.stderr].concat();
            (i64::from(output.status.code().unwrap()), String::from_utf8(text).unwrap())
        };
        let (user, administrator) = ("ada@contoso.test", "administrator");
        assert_eq!(set("users", user, administrator), (0, "-a ada wheel\n".into()));
        assert_eq!(set("users wheel", user, administrator), (0, String::new()));
        assert_eq!(set("users wheel", user, "standardUser"), (0, "-d ada wheel\n".into()));
        assert_eq!(set("users wheelers", user, "standardUser"), (0, String::new()));
        let nobody = (UNSUPPORTED, "The guest has no account 'bob'.\n".into());
        assert_eq!(set("users", "bob@contoso.test", administrator), nobody);
        program("getent", "exit 2");
        assert_eq!(set("users", user, "standardUser").0, UNSUPPORTED);
    }

    /// Returns a command that runs a script with this text in place of curl.
    fn with_curl(folder: &Path, curl: &str, script: &str, arguments: &[&str]) -> Command {
        let programs = folder.join("programs");
        std::fs::create_dir_all(&programs).unwrap();
        std::fs::write(programs.join("curl"), format!("#!/bin/sh\n{curl}\n")).unwrap();
        std::fs::set_permissions(programs.join("curl"), PermissionsExt::from_mode(0o755)).unwrap();
        let (program, arguments) = (LINUX.command)(script, arguments);
        let mut command = Command::new(program);
        command.args(arguments).env("PATH", format!("{}:/usr/bin:/bin", programs.display()));
        command
    }

    #[test]
    fn a_download_is_limited_in_size_and_leaves_only_the_file() {
        let root = tempfile::tempdir().unwrap();
        let (folder, attempt) = (root.path().join("tag 1"), root.path().join("tag 1/download-7"));
        let (folder, attempt) = (folder.to_str().unwrap(), attempt.to_str().unwrap());
        let run = |curl: &str, script, arguments: &[&str]| {
            let output = with_curl(root.path(), curl, script, arguments).output().unwrap();
            (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
        };
        // Like curl when a write fails.
        let curl = "head -c \"$2\" /dev/zero > payload.part || code=23; echo \"200 0.1 $3 $4\"; exit $code";
        for (size, code) in [("1000", 0), ("1001", TOO_LARGE), ("100000", TOO_LARGE)] {
            assert_eq!(run(curl, LINUX.begin_download, &[folder, attempt]), (0, String::new()));
            let output = run(curl, LINUX.download, &[attempt, "1000", "-s", size]);
            assert_eq!(output, (0, format!("{code}\n200 0.1 --output payload.part\n")), "{size}");
            let written = std::fs::metadata(Path::new(attempt).join("payload.part")).unwrap().len();
            assert!(written <= 1024, "{written} bytes of {size}");
        }
        assert_eq!(run(curl, LINUX.begin_download, &[folder, attempt]).0, 0);
        assert_eq!(run("exit 7", LINUX.download, &[attempt, "1000"]), (0, "7\n\n".into()));
        assert_eq!(run("", LINUX.store_download, &[folder, attempt]), (0, "0\n".into()), "an empty file is a file");
        assert_eq!(std::fs::read_dir(folder).unwrap().count(), 1);
        // The folder of this attempt was removed by another attempt.
        assert_ne!(run(curl, LINUX.download, &[attempt, "1000", "-s", "1"]).0, 0);
    }

    #[test]
    fn a_later_operation_kills_a_running_download() {
        let root = tempfile::tempdir().unwrap();
        let folder = root.path().join("tag-1");
        let name = folder.to_str().unwrap();
        for script in [LINUX.begin_download, LINUX.kill, LINUX.remove] {
            let attempt = folder.join("download-1");
            let words = [name, attempt.to_str().unwrap()];
            assert!(with_curl(root.path(), "", LINUX.begin_download, &words).status().unwrap().success());
            let curl = "echo M > payload.part; sleep 1000";
            let mut hangs = with_curl(root.path(), curl, LINUX.download, &[words[1], "1000"]);
            let mut hangs = hangs.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            while std::fs::read(attempt.join("payload.part")).unwrap_or_default().is_empty() {
                std::thread::yield_now();
            }
            let next = folder.join("download-2");
            let words = [name, next.to_str().unwrap()];
            assert!(with_curl(root.path(), "", script, &words).status().unwrap().success());
            assert_eq!(hangs.wait().unwrap().code().map(i64::from), Some(KILLED));
            assert!(!attempt.exists());
        }
    }

    #[test]
    fn a_missing_program_is_named() {
        for (script, missing) in [(LINUX.request, "curl"), (LINUX.download, "curl"), (LINUX.resolve, "getent")] {
            let (program, arguments) = (LINUX.command)(script, &["/", "1000"]);
            let output = Command::new(program).args(arguments).env("PATH", "/nowhere").output().unwrap();
            assert_eq!(output.status.code().map(i64::from), Some(NO_PROGRAM));
            assert_eq!(String::from_utf8_lossy(&output.stderr).trim(), missing);
        }
    }

    #[test]
    fn a_name_is_resolved() {
        let resolve = |name: &str| {
            let (program, arguments) = (LINUX.command)(LINUX.resolve, &[name]);
            let output = Command::new(program).args(arguments).output().unwrap();
            (output.status.code(), String::from_utf8(output.stdout).unwrap())
        };
        let (code, found) = resolve("127.0.0.1");
        assert!(code == Some(0) && found.starts_with("127.0.0.1 "), "{found}");
        assert_eq!(resolve("no-such-host.invalid"), (Some(0), String::new()));
    }
}
