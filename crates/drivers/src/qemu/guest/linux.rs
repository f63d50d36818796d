//! What a Linux guest is told, by `sh` and the tools of a small system.

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
    name: r#"hostname "$1" && echo "$1" > /etc/hostname"#,
    make_folder: r#"mkdir -p "$1""#,
    keep: r#"mv "$2/payload.part" "$1/payload" && stat -c %s "$1/payload" && end_downloads "$1""#,
    resolve: r#"need getent; getent ahosts "$1" || [ $? = 2 ]"#,
    ask: r#"need curl; told=$(curl "$@"); echo "$?"; echo "$told""#,
    begin_download: r#"end_downloads "$1"; mkdir -p "$2""#,
    download: DOWNLOAD,
    digest: r#"[ -e "$1" ] || exit 8; sha256sum "$1""#,
    run: RUN,
    look: LOOK,
    forget: r#"rm -rf "$1/run""#,
    kill: KILL,
    remove: r#"end_downloads "$1"; rm -rf "$1""#,
    detect: DETECT,
};

/// Before every script. A process group is known by its number and the boot in which it began, since numbers come again; both are in its folder.
const PRELUDE: &str = r#"
need() { command -v "$1" > /dev/null || { echo "$1" >&2; exit 9; }; }
noted() { [ -e "$1/pid" ] && [ "$(cat "$1/boot")" = "$(cat /proc/sys/kernel/random/boot_id)" ] && cat "$1/pid"; }
end() { pid=$(noted "$1") && kill -9 "-$pid" 2> /dev/null; }
end_downloads() {
    for attempt in "$1"/download-*; do
        end "$attempt"
        rm -rf "$attempt"
    done
}
"#;

/// The limit is the kernel's, in blocks of 512 bytes: curl keeps to its own only if the server says beforehand how much there is, or if it is new.
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
    told=$(curl "$@" --output payload.part < /dev/null)
    code=$?
    rm -f pid
    size=$(stat -c %s payload.part) || exit
    [ "$size" -gt "$max" ] && code=63
    echo "$code"
    echo "$told"
' sh "$@"
"#;

/// The program runs in a session of its own under a small shell that writes its exit code down. The run's folder can be made but once.
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

/// What it has printed is kept from filling the disk.
const LOOK: &str = r#"
cd "$1/run" 2> /dev/null || { echo none; exit; }
state=starting
if [ -e pid ]; then
    state=lost
    pid=$(noted .) && kill -0 "$pid" 2> /dev/null && state=running
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

/// The exit code goes around the pipe, for it is `tail` that ends the pipe.
const DETECT: &str = r#"
exec 4>&1
code=$({ { timeout -s KILL "$2" sh -c "$1" < /dev/null 2>&1 3>&- 4>&-; echo $? >&3; } | tail -c 16384 >&4; } 3>&1)
exit "$code"
"#;

#[cfg(test)]
mod tests {
    use super::super::shell::KILLED;
    use super::*;
    use std::process::Command;

    #[test]
    fn a_detection_shows_its_code_and_the_end_of_its_output_and_is_ended_in_time() {
        let detect = |command: &str| {
            let (program, arguments) = (LINUX.command)(LINUX.detect, &[command, "1"]);
            let output = Command::new(program).args(arguments).output().unwrap();
            (i64::from(output.status.code().unwrap()), String::from_utf8(output.stdout).unwrap())
        };
        assert_eq!(detect("echo found; echo really >&2"), (0, "found\nreally\n".into()));
        assert_eq!(detect("echo 'not \"found\"'; exit 3"), (3, "not \"found\"\n".into()));
        assert_eq!(detect("no-such-program 2> /dev/null"), (127, String::new()));
        // Some shells add a word about what was killed.
        let (code, waits) = detect("echo waits; sleep 1000");
        assert_eq!((code, waits.lines().next()), (KILLED, Some("waits")));
        let (code, much) = detect("i=0; while [ $i -lt 3000 ]; do echo 0123456789; i=$((i + 1)); done");
        assert_eq!((code, much.len()), (0, 16384));
    }
}
