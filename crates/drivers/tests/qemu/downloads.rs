//! Downloads by the guest itself: successful, failing, and across crashes of the service.

use cloudpc_drivers::qemu::Images;
use cloudpc_drivers::{DriverError, FetchPolicy, Guest, GuestError, MachineSpec, ProgramExit, Tag};
use cloudpc_model::ImageId;
use sha2::{Digest, Sha256};
use std::time::Duration;
use url::Url;

use crate::origin::{FILE, Origin, PROGRAM};
use crate::test_bed::{TestBed, folder, image, images, wait_ready};

/// The home directory of the agent's account in the test guest.
const HOME: &str = "/root";

/// Returns the test image with downloads inside the guest.
pub fn image_that_downloads() -> ImageId {
    let id = ImageId(format!("{}-inside", image()));
    let images: Images = images();
    images.alias(&image(), &id).unwrap();
    // The image's information is a file that administrators may edit, too.
    let path = folder().join("images").join(&id.0).join("image.json");
    let mut info: serde_json::Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
    info["downloads"] = "inside".into();
    std::fs::write(&path, info.to_string()).unwrap();
    id
}

fn policy(allowed: &[&str]) -> FetchPolicy {
    FetchPolicy {
        allowed_urls: allowed.iter().map(|url| (*url).to_owned()).collect(),
        size_bytes_max: FILE.len() as u64,
        time_max: Duration::from_secs(60),
    }
}

fn url(text: &str) -> Url {
    text.parse().unwrap()
}

/// Returns the output of a shell command in the guest.
async fn sh(guest: &dyn Guest, line: &str) -> String {
    let exit = guest.detect(line).await.unwrap();
    assert_eq!(exit.code, 0, "{line}: {}", exit.output);
    exit.output
}

/// Runs all checks on one machine that shares a network with `host`.
pub async fn check(bed: &mut TestBed, spec: &MachineSpec, host: &str) {
    let origin = Origin::new(host).await;
    let guest = bed.guest(spec).await;
    files_are_stored_as_served(&*guest, &origin).await;
    unacceptable_responses_are_refused(&*guest, &origin).await;
    unreachable_hosts_are_reported(&*guest, host).await;
    a_full_disk_is_reported(&*guest, &origin).await;
    only_public_addresses_are_used_without_a_list(&*guest, host).await;
    killing_or_cleaning_a_tag_stops_its_download(&*guest, &origin).await;
    drop(guest);
    the_next_service_starts_the_download_over(bed, spec, &origin).await;
    a_guest_without_curl_is_rejected(&*bed.guest(spec).await, &origin).await;
}

async fn files_are_stored_as_served(guest: &dyn Guest, origin: &Origin) {
    let policy = policy(&[&origin.url("/")]);
    let tag = Tag("../good; x".into());
    // The user's curl settings in the guest must be ignored.
    guest.write_file(&format!("{HOME}/.curlrc"), b"proxy = \"http://127.0.0.1:9\"\n").await.unwrap();
    guest.reach(&url(&origin.url("/none")), &policy).await.unwrap();
    assert_eq!(origin.request_count("/none"), 0, "reach must not request the file");
    for path in ["/file", "/to-file", "/hops/5", "/unsized", "/file?a=b&c=[1-3]{d,e}%20'$(x)`y`"] {
        assert_eq!(guest.fetch(&tag, &url(&origin.url(path)), &policy).await, Ok(FILE.len() as u64), "{path}");
        assert_eq!(guest.sha256(&tag).await, Ok(Sha256::digest(FILE).into()), "{path}");
    }
    assert_eq!(
        guest.fetch(&tag, &url(&origin.url("/to-nothing")), &policy).await,
        Ok(0),
        "the body of a redirect must not be stored"
    );
    guest.fetch(&tag, &url(&origin.url("/program")), &policy).await.unwrap();
    assert_eq!(guest.run(&tag, &["x".into()]).await, Ok(ProgramExit { code: 0, output: PROGRAM.1.into() }));
    let kept = sh(guest, "cd /var/lib/cloudpc && ls *").await;
    assert_eq!(kept, "payload\nrun\n", "no temporary file remains");
    guest.clean(&tag).await.unwrap();
}

async fn unacceptable_responses_are_refused(guest: &dyn Guest, origin: &Origin) {
    let policy = policy(&[&origin.url("/")]);
    let tag = Tag("bad".into());
    let table = [
        ("/none", "returned status 404 Not Found"),
        ("/part", "returned status 206"),
        ("/large", "exceeds the limit"),
        ("/large-unsized", "exceeds the limit"),
        ("/torn", "downloading"),
        ("/nonsense", "downloading"),
        ("/hops/6", "exceeds the limit of 5 redirects"),
        ("/to-nowhere", "redirects without a valid Location"),
        ("/to-elsewhere", "is not under an allowed URL prefix"),
        ("/to-file-system", "only https URLs can be fetched"),
    ];
    for (path, expected) in table {
        let refused = guest.fetch(&tag, &url(&origin.url(path)), &policy).await;
        let Err(GuestError::FileNotFound(why)) = &refused else { panic!("{path}: {refused:?}") };
        assert!(why.contains(expected), "{path}: {why}");
    }
    let short = FetchPolicy { time_max: Duration::from_secs(3), ..policy };
    let timed_out = guest.fetch(&tag, &url(&origin.url("/held/late")), &short).await;
    assert!(
        matches!(&timed_out, Err(GuestError::FileNotFound(why)) if why.contains("timed out after 3 seconds")),
        "{timed_out:?}"
    );
    origin.wait_released(1).await;
    let missing = guest.sha256(&tag).await;
    assert!(matches!(missing, Err(GuestError::FileNotFound(_))), "an incomplete download is not a file: {missing:?}");
    guest.clean(&tag).await.unwrap();
}

async fn unreachable_hosts_are_reported(guest: &dyn Guest, host: &str) {
    let tag = Tag("unreachable".into());
    for address in [format!("http://{host}:9/"), "http://no-such-host.invalid/".into()] {
        let (address, policy) = (url(&address), policy(&[&address]));
        let (reached, fetched) = (guest.reach(&address, &policy).await, guest.fetch(&tag, &address, &policy).await);
        assert!(matches!(reached, Err(GuestError::Unreachable(_))), "{reached:?}");
        assert!(matches!(fetched, Err(GuestError::Unreachable(_))), "{fetched:?}");
    }
    guest.clean(&tag).await.unwrap();
}

async fn a_full_disk_is_reported(guest: &dyn Guest, origin: &Origin) {
    sh(guest, "fallocate -l $(($(df -k / | awk 'NR == 2 { print $4 }') - 200))k /fill").await;
    let tag = Tag("full".into());
    let full = guest.fetch(&tag, &url(&origin.url("/file")), &policy(&[&origin.url("/")])).await;
    assert!(matches!(full, Err(GuestError::DiskFull(_))), "{full:?}");
    guest.clean(&tag).await.unwrap();
    sh(guest, "rm /fill").await;
}

/// The name is resolved in the guest, from its hosts file.
async fn only_public_addresses_are_used_without_a_list(guest: &dyn Guest, host: &str) {
    let name = "agents.test";
    let (tls, authority) = Origin::with_tls(crate::network::PUBLIC, name).await;
    let (tag, policy) = (Tag("public".into()), policy(&[]));
    let address = url(&tls.url("/to-file"));
    guest.write_file("/etc/hosts", format!("{host} {name}\n").as_bytes()).await.unwrap();
    for refused in [guest.reach(&address, &policy).await, guest.fetch(&tag, &address, &policy).await.map(drop)] {
        let Err(GuestError::Unreachable(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(&format!("{name} does not resolve to a public address")) && !why.contains(host), "{why}");
    }
    assert_eq!(tls.request_count("/to-file"), 0);
    guest.write_file("/etc/hosts", format!("{} {name}\n", crate::network::PUBLIC).as_bytes()).await.unwrap();
    guest.reach(&address, &policy).await.unwrap();
    let distrusted = guest.fetch(&tag, &address, &policy).await;
    assert!(matches!(distrusted, Err(GuestError::Unreachable(_))), "{distrusted:?}");
    guest.write_file("/tmp/authority.pem", authority.as_bytes()).await.unwrap();
    sh(guest, "cat /tmp/authority.pem >> /etc/ssl/certs/ca-certificates.crt").await;
    assert_eq!(guest.fetch(&tag, &address, &policy).await, Ok(FILE.len() as u64));
    guest.clean(&tag).await.unwrap();
}

async fn killing_or_cleaning_a_tag_stops_its_download(guest: &dyn Guest, origin: &Origin) {
    let policy = policy(&[&origin.url("/")]);
    for (path, gone) in [("/held/killed", 2), ("/held/cleaned", 3)] {
        let (tag, address) = (Tag(path.into()), url(&origin.url(path)));
        let end = async {
            origin.wait_held(gone).await;
            match path {
                "/held/killed" => guest.kill(&tag).await.unwrap(),
                _ => guest.clean(&tag).await.unwrap(),
            }
            origin.wait_released(gone).await;
        };
        let (fetched, ()) = tokio::join!(guest.fetch(&tag, &address, &policy), end);
        assert!(fetched.is_err(), "{fetched:?}");
        guest.clean(&tag).await.unwrap();
    }
    assert_eq!(sh(guest, "ls /var/lib/cloudpc; pidof curl || true").await, "");
}

async fn the_next_service_starts_the_download_over(bed: &mut TestBed, spec: &MachineSpec, origin: &Origin) {
    let (tag, address, policy) = (Tag("action-1".into()), url(&origin.url("/held/anew")), policy(&[&origin.url("/")]));
    let guest = bed.guest(spec).await;
    tokio::select! {
        fetched = guest.fetch(&tag, &address, &policy) => panic!("the download ended early: {fetched:?}"),
        () = origin.wait_held(4) => {}
    }
    drop(guest);
    bed.restart();
    let guest = bed.guest(spec).await;
    wait_ready(&*guest).await;
    // An incomplete file exists, and curl is still writing it.
    let written =
        "cd /var/lib/cloudpc/action-1/download-*; while [ ! -s payload.part ]; do sleep 0.1; done; pidof curl | wc -w";
    assert_eq!(sh(&*guest, written).await, "1\n");
    assert!(
        matches!(guest.sha256(&tag).await, Err(GuestError::FileNotFound(_))),
        "an incomplete download is not a file"
    );
    assert_eq!(guest.fetch(&tag, &address, &policy).await, Ok(FILE.len() as u64));
    origin.wait_released(4).await;
    assert_eq!(guest.sha256(&tag).await, Ok(Sha256::digest(FILE).into()));
    assert_eq!(origin.request_count("/held/anew"), 2);
    assert_eq!(sh(&*guest, "ls /var/lib/cloudpc/action-1; pidof curl || true").await, "payload\n");
}

async fn a_guest_without_curl_is_rejected(guest: &dyn Guest, origin: &Origin) {
    sh(guest, "rm /usr/bin/curl").await;
    let (tag, address, policy) = (Tag("action-2".into()), url(&origin.url("/file")), policy(&[&origin.url("/")]));
    for refused in [guest.reach(&address, &policy).await, guest.fetch(&tag, &address, &policy).await.map(drop)] {
        let Err(GuestError::Driver(DriverError::Rejected { code, message })) = refused else { panic!("{refused:?}") };
        assert!(code == "guestLacksProgram" && message.contains("has no curl; install it"), "{message}");
    }
}
