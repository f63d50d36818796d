//! Reads of one turn and scans of many.

use cloudpc_store::{StoreError, WriteMode, testing};
use std::ops::ControlFlow;

use crate::fixture::block_on;

#[test]
fn a_scan_has_turns_until_it_breaks_and_sees_what_was_written_in_between() {
    for mode in [WriteMode::Inline, WriteMode::Grouped] {
        let directory = tempfile::tempdir().unwrap();
        let store = testing::open(directory.path(), mode).unwrap();
        block_on(store.write("test.write", |tx| tx.setting_put("name", b"value"))).unwrap();
        let mut turns = 0;
        let scan = store.scan(move |reader| {
            turns += 1;
            let value = reader.setting("name")?;
            Ok::<_, StoreError>(if turns < 5 { ControlFlow::Continue(()) } else { ControlFlow::Break((turns, value)) })
        });
        assert_eq!(block_on(scan).unwrap(), (5, Some(b"value".to_vec())));
        let mut turns = 0;
        let failing = store.scan(move |_| {
            turns += 1;
            if turns < 3 { Ok(ControlFlow::<()>::Continue(())) } else { Err(StoreError::LeaseLost) }
        });
        assert!(matches!(block_on(failing), Err(StoreError::LeaseLost)), "{mode:?}");
    }
}

#[test]
fn a_scan_ends_when_its_caller_has_gone() {
    let directory = tempfile::tempdir().unwrap();
    let store = testing::open(directory.path(), WriteMode::Grouped).unwrap();
    let (begun, has_begun) = std::sync::mpsc::channel();
    block_on(async {
        let endless = store.scan(move |_| {
            let _ = begun.send(());
            Ok::<_, StoreError>(ControlFlow::<()>::Continue(()))
        });
        tokio::select! {
            biased;
            _ = endless => unreachable!("it never breaks"),
            () = async {
                while has_begun.try_recv().is_err() {
                    tokio::task::yield_now().await;
                }
            } => {}
        }
    });
    // Waits for the readers, which would never end otherwise.
    drop(store);
}
