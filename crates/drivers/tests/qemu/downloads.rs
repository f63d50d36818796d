//! Downloads by a guest itself: to a good end, to every bad one, and over the death of whoever
//! began them.

use cloudpc_drivers::qemu::Images;
use cloudpc_drivers::{DriverError, FetchPolicy, Guest, GuestError, MachineSpec, ProgramExit, Tag};
use cloudpc_model::ImageId;
use sha2::{Digest, Sha256};
use std::time::Duration;
use url::Url;

use crate::bed::{Bed, folder, image, images, wait_ready};
use crate::origin::{FILE, Origin, PROGRAM};

/// The home of the account that the agent of the test guest runs under.
const HOME: &str = "/root";

/// The test image, with guests that download by themselves.
pub fn image_that_downloads() -> ImageId {
    let id = ImageId(format!("{}-inside", image()));
    let images: Images = images();
    images.alias(&image(), &id).unwrap();
    // What an image says of itself is a file for people to change, too.
    let about = folder().join("images").join(&id.0).join("image.json");
    let mut told: serde_json::Value = serde_json::from_slice(&std::fs::read(&about).unwrap()).unwrap();
    told["downloads"] = "inside".into();
    std::fs::write(&about, told.to_string()).unwrap();
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

/// What a line in the guest's shell prints.
async fn sh(guest: &dyn Guest, line: &str) -> String {
    let exit = guest.detect(line).await.unwrap();
    assert_eq!(exit.code, 0, "{line}: {}", exit.output);
    exit.output
}

/// All of it, on one machine that is on a network with `host`.
pub async fn check(bed: &mut Bed, spec: &MachineSpec, host: &str) {
    let origin = Origin::at(host).await;
    let guest = bed.guest(spec).await;
    files_are_taken_as_they_are_served(&*guest, &origin).await;
    what_is_no_acceptable_file_is_refused(&*guest, &origin).await;
    whom_nobody_reaches_is_told(&*guest, host).await;
    a_full_disk_is_told(&*guest, &origin).await;
    only_public_addresses_are_asked_without_a_list(&*guest, host).await;
    a_download_is_ended_with_its_tag(&*guest, &origin).await;
    drop(guest);
    the_next_server_begins_anew(bed, spec, &origin).await;
    a_guest_without_curl_is_told_apart(&*bed.guest(spec).await, &origin).await;
}

async fn files_are_taken_as_they_are_served(guest: &dyn Guest, origin: &Origin) {
    let policy = policy(&[&origin.url("/")]);
    let tag = Tag("../good; x".into());
    // Whoever runs curl in the guest has settings; they are none of ours.
    guest.write_file(&format!("{HOME}/.curlrc"), b"proxy = \"http://127.0.0.1:9\"\n").await.unwrap();
    guest.reach(&url(&origin.url("/none")), &policy).await.unwrap();
    assert_eq!(origin.asked("/none"), 0, "nobody is asked for a file to see that he is there");
    for path in ["/file", "/to-file", "/hops/5", "/unsized", "/file?a=b&c=[1-3]{d,e}%20'$(x)`y`"] {
        assert_eq!(guest.fetch(&tag, &url(&origin.url(path)), &policy).await, Ok(FILE.len() as u64), "{path}");
        assert_eq!(guest.sha256(&tag).await, Ok(Sha256::digest(FILE).into()), "{path}");
    }
    assert_eq!(
        guest.fetch(&tag, &url(&origin.url("/to-nothing")), &policy).await,
        Ok(0),
        "not the redirect's own page"
    );
    guest.fetch(&tag, &url(&origin.url("/program")), &policy).await.unwrap();
    assert_eq!(guest.run(&tag, &["x".into()]).await, Ok(ProgramExit { code: 0, output: PROGRAM.1.into() }));
    let kept = sh(guest, "cd /var/lib/cloudpc && ls *").await;
    assert_eq!(kept, "payload\nrun\n", "nothing is left of the way there");
    guest.clean(&tag).await.unwrap();
}

async fn what_is_no_acceptable_file_is_refused(guest: &dyn Guest, origin: &Origin) {
    let policy = policy(&[&origin.url("/")]);
    let tag = Tag("bad".into());
    let table = [
        ("/none", "answered 404 Not Found"),
        ("/part", "answered 206"),
        ("/large", "is larger than the"),
        ("/large-unsized", "is larger than the"),
        ("/torn", "was not delivered"),
        ("/nonsense", "was not delivered"),
        ("/hops/6", "redirects more than 5 times"),
        ("/to-nowhere", "redirects to nowhere"),
        ("/to-elsewhere", "is not under any of the allowed URL prefixes"),
        ("/to-file-system", "only https addresses can be fetched"),
    ];
    for (path, expected) in table {
        let refused = guest.fetch(&tag, &url(&origin.url(path)), &policy).await;
        let Err(GuestError::FileNotFound(why)) = &refused else { panic!("{path}: {refused:?}") };
        assert!(why.contains(expected), "{path}: {why}");
    }
    let hasty = FetchPolicy { time_max: Duration::from_secs(3), ..policy };
    let late = guest.fetch(&tag, &url(&origin.url("/held/late")), &hasty).await;
    assert!(matches!(&late, Err(GuestError::FileNotFound(why)) if why.contains("within 3 seconds")), "{late:?}");
    origin.let_go(1).await;
    let missing = guest.sha256(&tag).await;
    assert!(matches!(missing, Err(GuestError::FileNotFound(_))), "no part of it is a file: {missing:?}");
    guest.clean(&tag).await.unwrap();
}

async fn whom_nobody_reaches_is_told(guest: &dyn Guest, host: &str) {
    let tag = Tag("unreachable".into());
    for address in [format!("http://{host}:9/"), "http://no-such-host.invalid/".into()] {
        let (address, policy) = (url(&address), policy(&[&address]));
        let (reached, fetched) = (guest.reach(&address, &policy).await, guest.fetch(&tag, &address, &policy).await);
        assert!(matches!(reached, Err(GuestError::Unreachable(_))), "{reached:?}");
        assert!(matches!(fetched, Err(GuestError::Unreachable(_))), "{fetched:?}");
    }
    guest.clean(&tag).await.unwrap();
}

async fn a_full_disk_is_told(guest: &dyn Guest, origin: &Origin) {
    sh(guest, "fallocate -l $(($(df -k / | awk 'NR == 2 { print $4 }') - 200))k /fill").await;
    let tag = Tag("full".into());
    let full = guest.fetch(&tag, &url(&origin.url("/file")), &policy(&[&origin.url("/")])).await;
    assert!(matches!(full, Err(GuestError::DiskFull(_))), "{full:?}");
    guest.clean(&tag).await.unwrap();
    sh(guest, "rm /fill").await;
}

/// A name is looked up in the guest, which knows this one from a file.
async fn only_public_addresses_are_asked_without_a_list(guest: &dyn Guest, host: &str) {
    let name = "agents.test";
    let (tls, authority) = Origin::with_tls(crate::network::PUBLIC, name).await;
    let (tag, policy) = (Tag("public".into()), policy(&[]));
    let address = url(&tls.url("/to-file"));
    guest.write_file("/etc/hosts", format!("{host} {name}\n").as_bytes()).await.unwrap();
    for refused in [guest.reach(&address, &policy).await, guest.fetch(&tag, &address, &policy).await.map(drop)] {
        let Err(GuestError::Unreachable(why)) = refused else { panic!("{refused:?}") };
        assert!(why.contains(&format!("{name} does not resolve to a public address")) && !why.contains(host), "{why}");
    }
    assert_eq!(tls.asked("/to-file"), 0);
    guest.write_file("/etc/hosts", format!("{} {name}\n", crate::network::PUBLIC).as_bytes()).await.unwrap();
    guest.reach(&address, &policy).await.unwrap();
    let distrusted = guest.fetch(&tag, &address, &policy).await;
    assert!(matches!(distrusted, Err(GuestError::Unreachable(_))), "{distrusted:?}");
    guest.write_file("/tmp/authority.pem", authority.as_bytes()).await.unwrap();
    sh(guest, "cat /tmp/authority.pem >> /etc/ssl/certs/ca-certificates.crt").await;
    assert_eq!(guest.fetch(&tag, &address, &policy).await, Ok(FILE.len() as u64));
    guest.clean(&tag).await.unwrap();
}

async fn a_download_is_ended_with_its_tag(guest: &dyn Guest, origin: &Origin) {
    let policy = policy(&[&origin.url("/")]);
    for (path, gone) in [("/held/killed", 2), ("/held/cleaned", 3)] {
        let (tag, address) = (Tag(path.into()), url(&origin.url(path)));
        let end = async {
            origin.holds(gone).await;
            match path {
                "/held/killed" => guest.kill(&tag).await.unwrap(),
                _ => guest.clean(&tag).await.unwrap(),
            }
            origin.let_go(gone).await;
        };
        let (fetched, ()) = tokio::join!(guest.fetch(&tag, &address, &policy), end);
        assert!(fetched.is_err(), "{fetched:?}");
        guest.clean(&tag).await.unwrap();
    }
    assert_eq!(sh(guest, "ls /var/lib/cloudpc; pidof curl || true").await, "");
}

async fn the_next_server_begins_anew(bed: &mut Bed, spec: &MachineSpec, origin: &Origin) {
    let (tag, address, policy) = (Tag("action-1".into()), url(&origin.url("/held/anew")), policy(&[&origin.url("/")]));
    let guest = bed.guest(spec).await;
    tokio::select! {
        fetched = guest.fetch(&tag, &address, &policy) => panic!("it has ended: {fetched:?}"),
        () = origin.holds(4) => {}
    }
    drop(guest);
    bed.restart();
    let guest = bed.guest(spec).await;
    wait_ready(&*guest).await;
    // A part of it is there, and the one who writes it.
    let written =
        "cd /var/lib/cloudpc/action-1/download-*; while [ ! -s payload.part ]; do sleep 0.1; done; pidof curl | wc -w";
    assert_eq!(sh(&*guest, written).await, "1\n");
    assert!(matches!(guest.sha256(&tag).await, Err(GuestError::FileNotFound(_))), "a part is no file");
    assert_eq!(guest.fetch(&tag, &address, &policy).await, Ok(FILE.len() as u64));
    origin.let_go(4).await;
    assert_eq!(guest.sha256(&tag).await, Ok(Sha256::digest(FILE).into()));
    assert_eq!(origin.asked("/held/anew"), 2);
    assert_eq!(sh(&*guest, "ls /var/lib/cloudpc/action-1; pidof curl || true").await, "payload\n");
}

async fn a_guest_without_curl_is_told_apart(guest: &dyn Guest, origin: &Origin) {
    sh(guest, "rm /usr/bin/curl").await;
    let (tag, address, policy) = (Tag("action-2".into()), url(&origin.url("/file")), policy(&[&origin.url("/")]));
    for refused in [guest.reach(&address, &policy).await, guest.fetch(&tag, &address, &policy).await.map(drop)] {
        let Err(GuestError::Driver(DriverError::Rejected { code, message })) = refused else { panic!("{refused:?}") };
        assert!(code == "guestLacksProgram" && message.contains("has no curl; install it"), "{message}");
    }
}
