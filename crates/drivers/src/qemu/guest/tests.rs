use super::*;
use crate::SystemRng;
use crate::qemu::layout::{AGENT_SOCKET, RUN_FOLDER};
use crate::qemu::transcript::Transcript;
use crate::qemu::wire::{LineReader, SENTINEL};
use tokio::sync::oneshot;

/// An agent that follows a transcript.
struct ScriptedAgent {
    agent: QemuAgent,
    transcript: oneshot::Receiver<Transcript>,
    _folder: tempfile::TempDir,
}

impl ScriptedAgent {
    fn new(text: String) -> Self {
        let root = tempfile::tempdir().unwrap();
        let folder = MachineFolder::at(root.path());
        std::fs::create_dir(folder.join(RUN_FOLDER)).unwrap();
        std::fs::write(folder.join(MACHINE_FILE), "").unwrap();
        let listener = folder.listen(AGENT_SOCKET).unwrap();
        let (playing, transcript) = oneshot::channel();
        tokio::spawn(async move {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut lines = LineReader::new(&mut stream);
            let sync = lines.receive().await.unwrap();
            lines.send_raw(&[SENTINEL]).await.unwrap();
            lines.send(&json!({ "return": sync["arguments"]["id"] })).await.unwrap();
            let _ = playing.send(Transcript::over(stream, &text));
        });
        let slot = Arc::new(Slot::new(folder.clone(), Arc::new(SystemRng)));
        let agent = QemuAgent { slot, folder, id: CloudPcId(uuid::Uuid::from_u128(7)) };
        Self { agent, transcript, _folder: root }
    }

    async fn finished(self) {
        self.transcript.await.unwrap().finished().await;
    }
}

#[tokio::test]
async fn a_program_is_started_and_polled_until_it_exits() {
    let begin =
        json!({ "execute": "guest-exec", "arguments": { "path": "a", "arg": ["b c"], "capture-output": true } });
    let poll = json!({ "execute": "guest-exec-status", "arguments": { "pid": 2868 } });
    let ended = |status: Value| {
        format!(
            "> {begin}\n< {{\"return\": {{\"pid\": 2868}}}}\n> {poll}\n< {{\"return\": {{\"exited\": false}}}}\n> {poll}\n< {}\n",
            json!({ "return": status })
        )
    };
    let no_program =
        "Guest agent command failed, error was 'Failed to execute helper program (No such file or directory)'";
    let text = [
        ended(
            json!({ "exited": true, "exitcode": 3, "out-data": BASE64.encode("out"), "err-data": BASE64.encode("err\r\n") }),
        ),
        ended(json!({ "exited": true, "signal": 9 })),
        format!("> {begin}\n< {}\n", json!({ "error": { "class": "GenericError", "desc": no_program } })),
    ];
    let scripted = ScriptedAgent::new(text.concat());
    let arguments = ["b c".to_owned()];
    let run = || scripted.agent.run("a", &arguments);
    assert_eq!(run().await, Ok(CommandOutput { code: 3, out: b"out".to_vec(), err: "err".into() }));
    assert_eq!(run().await, Ok(CommandOutput { code: 137, out: Vec::new(), err: String::new() }));
    assert!(matches!(run().await, Err(GuestError::FileNotFound(_))));
    scripted.finished().await;
}

#[tokio::test]
async fn the_free_space_is_that_of_the_system_disk() {
    let text = r#"
        > {"arguments":{},"execute":"guest-get-fsinfo"}
        < {"return": [{"name": "\\\\?\\Volume{4c1b02c1}\\", "mountpoint": "System Reserved", "disk": [], "type": "NTFS"}, {"name": "\\\\?\\Volume{4c1b02c4}\\", "total-bytes": 68718428160, "used-bytes": 21474836480, "mountpoint": "C:\\", "disk": [], "type": "NTFS"}]}
    "#;
    let scripted = ScriptedAgent::new(text.to_owned());
    assert_eq!(scripted.agent.free_disk_bytes().await, Ok(68_718_428_160 - 21_474_836_480));
    scripted.finished().await;
}

#[test]
fn a_guest_reports_its_system() {
    let windows = json!({
        "id": "mswindows", "name": "Microsoft Windows", "pretty-name": "Windows 11 Enterprise",
        "kernel-release": "22631", "kernel-version": "10.0", "version-id": "11",
    });
    let info = SystemInfo::of(&windows);
    assert_eq!((info.os, info.name.as_deref()), (Some(GuestOs::Windows), Some("Windows 11 Enterprise")));
    assert_eq!(info.build_number.as_deref(), Some("22631"));
    assert_eq!(info.version_number.as_deref(), Some("10.0.22631"));
    let debian = json!({ "id": "debian", "name": "Debian", "version-id": "12", "kernel-release": "6.1.0-28-amd64" });
    let info = SystemInfo::of(&debian);
    assert_eq!((info.os, info.name.as_deref()), (Some(GuestOs::Linux), Some("Debian")));
    assert_eq!(info.version_number.as_deref(), Some("12"));
    let hostile = SystemInfo::of(&json!({ "pretty-name": format!("\u{1b}\n{}", "x".repeat(300)), "id": 7 }));
    assert_eq!(hostile.name, Some("x".repeat(SYSTEM_TEXT_CHARS_MAX)));
    assert_eq!(hostile.os, None);
}
