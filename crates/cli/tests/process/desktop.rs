//! `cloudpc open`: the single-use URL of a desktop, and its page.

use std::io::{Read, Write};
use std::net::TcpStream;

use crate::service::Service;

#[test]
fn open_returns_a_single_use_desktop_url() {
    let service = Service::start(&["--demo"]);
    let opened = service.run(&["open", "desk-07", "--print"]);
    assert_eq!(opened.exit, 0, "{}", opened.err);
    let url = opened.out.trim_end();
    assert!(url.starts_with(&format!("http://{}/desktop/", service.http())), "{url}");
    let page = get(url);
    assert!(page.starts_with("HTTP/1.1 409 ") && page.contains("a simulated machine has no screen"), "{page}");
    let again = get(url);
    assert!(again.starts_with("HTTP/1.1 403 "), "{again}");
    assert_ne!(service.json(&["open", "desk-07", "--print"])["cloudPcLaunchUrl"], url);
    let screenshot = service.run(&["screenshot", "desk-07", "-"]);
    assert_eq!((screenshot.exit, screenshot.out.as_str()), (service.run(&["undo", "desk-08"]).exit, ""));
    assert!(screenshot.err.contains("a simulated machine has no screen") && screenshot.err.contains("noDisplay"));
    assert_eq!(service.run(&["open", "nobody"]).exit, service.run(&["results", "nobody"]).exit);
}

fn get(url: &str) -> String {
    let (host, path) = url.strip_prefix("http://").unwrap().split_once('/').unwrap();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(stream, "GET /{path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").unwrap();
    let mut response = String::new();
    stream.read_to_string(&mut response).unwrap();
    response
}
