//! Anchors: the best that this machine, HTTP library and disk can do at a comparable task.
//!
//! Both are served by the measured process, next to the real server and on their own address:
//! nothing of the real server is involved, and whatever slows the machine down slows both.

use axum::Router;
use axum::extract::{Path as UrlPath, State};
use axum::routing::{get, post};
use bytes::Bytes;
use http::StatusCode;
use http::header::CONTENT_TYPE;
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::Path;
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};

/// Maximum size of a constant body, bytes.
pub const CONSTANT_BYTES_MAX: usize = 1 << 20;
/// Record logged per accept, bytes: two rows of a small JSON object each.
const RECORD: [u8; 540] = [b'x'; 540];
/// Maximum records per sync, as many as the store's writer takes.
const GROUP_MAX: usize = cloudpc_store::WRITE_BATCH_MAX;
/// Size of the log, bytes; writing restarts at its beginning.
const LOG_BYTES: u64 = 64 << 20;

/// Returns the routes: `GET /constant/{bytes}` returns as many bytes; `POST /log` returns 204 once
/// a record is on disk.
#[derive(Clone)]
struct Anchors {
    constant: Bytes,
    log: mpsc::Sender<oneshot::Sender<()>>,
}

/// Serves the anchors, with the log in `directory`, until the process ends.
pub async fn serve(listener: TcpListener, directory: &Path) -> io::Result<()> {
    let (log, queue) = mpsc::channel(cloudpc_store::WRITE_QUEUE_MAX);
    let file = preallocated(&directory.join("anchor.log"))?;
    std::thread::Builder::new().name("anchor-log".into()).spawn(move || write_groups(&file, queue))?;
    let routes = Router::new()
        .route("/constant/{bytes}", get(constant))
        .route("/log", post(logged))
        .with_state(Anchors { constant: vec![b'x'; CONSTANT_BYTES_MAX].into(), log });
    axum::serve(axum::serve::ListenerExt::tap_io(listener, |stream| drop(stream.set_nodelay(true))), routes).await
}

async fn constant(
    State(anchors): State<Anchors>,
    UrlPath(bytes): UrlPath<usize>,
) -> ([(http::HeaderName, &'static str); 1], Bytes) {
    ([(CONTENT_TYPE, "application/json")], anchors.constant.slice(..bytes.min(CONSTANT_BYTES_MAX)))
}

async fn logged(State(anchors): State<Anchors>, _body: Bytes) -> StatusCode {
    let (written, on_disk) = oneshot::channel();
    if anchors.log.send(written).await.is_ok() && on_disk.await.is_ok() {
        StatusCode::NO_CONTENT
    } else {
        StatusCode::INTERNAL_SERVER_ERROR
    }
}

/// Creates a file with all blocks written, so that a sync writes only data.
fn preallocated(path: &Path) -> io::Result<File> {
    let mut file = OpenOptions::new().create(true).truncate(true).write(true).open(path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..LOG_BYTES >> 20 {
        file.write_all(&zeros)?;
    }
    file.sync_all()?;
    Ok(file)
}

/// Writes everything queued with one write and one sync. On failure it drops the senders, which
/// fails their requests.
fn write_groups(file: &File, mut queue: mpsc::Receiver<oneshot::Sender<()>>) {
    let (mut group, mut text, mut end) = (Vec::new(), Vec::new(), 0);
    while queue.blocking_recv_many(&mut group, GROUP_MAX) > 0 {
        text.clear();
        group.iter().for_each(|_| text.extend_from_slice(&RECORD));
        if end + text.len() as u64 > LOG_BYTES {
            end = 0;
        }
        if file.write_all_at(&text, end).and_then(|()| file.sync_data()).is_err() {
            return;
        }
        end += text.len() as u64;
        for written in group.drain(..) {
            // The caller may have disconnected.
            let _ = written.send(());
        }
    }
}
