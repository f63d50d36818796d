use super::*;
use proptest::prelude::*;

/// A handshake that asks for an exclusive connection.
const HANDSHAKE: &[u8] = b"RFB 003.008\n\x01\x00";
/// The handshake after the filter.
const SHARED_HANDSHAKE: &[u8] = b"RFB 003.008\n\x01\x01";

/// Filters these bytes as one chunk.
fn filtered(bytes: &[u8]) -> Result<Vec<u8>, RfbError> {
    let mut passed = BytesMut::new();
    ViewOnlyFilter::default().filter(bytes, &mut passed).map(|()| passed.to_vec())
}

/// Filters messages after a handshake; returns the result without the handshake.
fn passed_of(messages: &[u8]) -> Result<Vec<u8>, RfbError> {
    let passed = filtered(&[HANDSHAKE, messages].concat())?;
    Ok(passed.strip_prefix(SHARED_HANDSHAKE).unwrap().to_vec())
}

fn message(head: &[u8], bytes: usize) -> Vec<u8> {
    let mut message = head.to_vec();
    // Every byte is the type of a key event, so that a wrong length is detected.
    message.resize(bytes, message_type::KEY_EVENT);
    message
}

fn cut_text(length: i32, bytes: usize) -> Vec<u8> {
    message(&[&[6, 0, 0, 0][..], &length.to_be_bytes()].concat(), 8 + bytes)
}

/// Messages that a viewer needs.
fn viewing() -> Vec<Vec<u8>> {
    vec![
        message(&[0], 20),
        message(&[2, 0, 0, 0], 4),
        message(&[2, 0, 0, 3], 16),
        message(&[2, 0, 1, 0], 4 + 4 * usize::from(ENCODINGS_MAX)),
        message(&[3, 1], 10),
        message(&[150, 1], 10),
        message(&[248, 0, 0, 0, 0x80, 0, 0, 0, 0], 9),
        message(&[248, 0, 0, 0, 0x80, 0, 0, 0, FENCE_BYTES_MAX], 9 + usize::from(FENCE_BYTES_MAX)),
    ]
}

/// Messages that control the machine.
fn controlling() -> Vec<Vec<u8>> {
    vec![
        message(&[4, 1], 8),
        message(&[5, 0xff], 6),
        cut_text(0, 0),
        cut_text(5, 5),
        // The extended clipboard.
        cut_text(-300, 300),
        message(&[250, 0, 1, 2], 4),
        message(&[251, 0, 5, 0, 4, 0, 0, 0], 8),
        message(&[251, 0, 5, 0, 4, 0, 2, 0], 40),
        message(&[255, 0, 0, 1], 12),
        message(&[255, 1, 0, 0], 4),
        message(&[255, 1, 0, 1], 4),
        message(&[255, 1, 0, 2], 10),
    ]
}

#[test]
fn only_viewing_messages_are_forwarded() {
    let update = message(&[3, 1], 10);
    for view in viewing() {
        // The following message checks that the length is right.
        assert_eq!(passed_of(&[&view[..], &update].concat()).unwrap(), [&view[..], &update].concat());
    }
    for control in controlling() {
        assert_eq!(passed_of(&[&control[..], &update].concat()).unwrap(), update, "{control:?}");
    }
}

#[test]
fn the_handshake_admits_shared_viewers_without_authentication() {
    assert_eq!(filtered(HANDSHAKE).unwrap(), SHARED_HANDSHAKE);
    assert_eq!(filtered(SHARED_HANDSHAKE).unwrap(), SHARED_HANDSHAKE);
    for version in ["RFB 003.003\n", "RFB 003.007\n", "RFB 003.889\n", "RFB 004.001\n", "GET / HTTP/1.1"] {
        assert_eq!(filtered(version.as_bytes()), Err(RfbError::Version), "{version}");
    }
    for security in (0..=u8::MAX).filter(|security| *security != SECURITY_NONE) {
        assert_eq!(filtered(&[VERSION, &[security]].concat()), Err(RfbError::Security(security)));
    }
}

#[test]
fn messages_of_unknown_length_end_the_connection() {
    let known = [0, 2, 3, 4, 5, 6, 150, 248, 250, 251, 255];
    for unknown in (0..=u8::MAX).filter(|message_type| !known.contains(message_type)) {
        assert_eq!(passed_of(&[unknown]), Err(RfbError::UnknownMessage(unknown)));
    }
    for subtype in 2..=u8::MAX {
        assert_eq!(passed_of(&[255, subtype]), Err(RfbError::UnknownQemuMessage(subtype)));
    }
    assert_eq!(passed_of(&[255, 1, 0, 3]), Err(RfbError::UnknownQemuMessage(qemu::AUDIO)));
}

#[test]
fn messages_are_bounded() {
    assert_eq!(passed_of(&[2, 0, 1, 1]), Err(RfbError::TooLong(2)), "encodings");
    assert_eq!(passed_of(&[248, 0, 0, 0, 0, 0, 0, 0, FENCE_BYTES_MAX + 1]), Err(RfbError::TooLong(248)), "fence");
    let longest = i32::try_from(MESSAGE_BYTES_MAX).unwrap();
    for length in [longest, -longest] {
        assert_eq!(passed_of(&cut_text(length, MESSAGE_BYTES_MAX)).unwrap(), b"");
    }
    for length in [longest + 1, -longest - 1, i32::MAX, i32::MIN] {
        assert_eq!(passed_of(&cut_text(length, 0)), Err(RfbError::TooLong(6)), "{length}");
    }
}

proptest! {
    #[test]
    fn chunk_borders_do_not_matter(
        order in prop::collection::vec(0_usize..100, 0..20),
        borders in prop::collection::vec(1_usize..40, 1..200),
    ) {
        let all = [viewing(), controlling()].concat();
        let chosen: Vec<_> = order.iter().map(|place| &all[place % all.len()]).collect();
        let expected = chosen.iter().filter(|message| viewing().contains(message)).map(|message| message.as_slice());
        let expected = [SHARED_HANDSHAKE].into_iter().chain(expected).collect::<Vec<_>>().concat();
        let sent = [HANDSHAKE].into_iter().chain(chosen.iter().map(|message| message.as_slice())).collect::<Vec<_>>().concat();

        let (mut filter, mut passed, mut rest) = (ViewOnlyFilter::default(), BytesMut::new(), &sent[..]);
        for border in borders.iter().cycle() {
            if rest.is_empty() {
                break;
            }
            let (chunk, later) = rest.split_at((*border).min(rest.len()));
            filter.filter(chunk, &mut passed).unwrap();
            prop_assert!(filter.head.len() <= VERSION.len());
            rest = later;
        }
        prop_assert!(passed == expected);
    }

    /// For arbitrary bytes: no panic, the same result in any chunking, no output longer than the
    /// input, and an output that the filter forwards unchanged.
    #[test]
    fn arbitrary_bytes_leave_only_messages_that_pass(
        bytes in prop::collection::vec(prop_oneof![0_u8..7, 248_u8..=255, any::<u8>(), Just(0)], 0..400),
        border in 1_usize..50,
    ) {
        let sent = [HANDSHAKE, &bytes].concat();
        let (mut whole, mut at_once) = (ViewOnlyFilter::default(), BytesMut::new());
        let result = whole.filter(&sent, &mut at_once);
        let (mut filter, mut passed) = (ViewOnlyFilter::default(), BytesMut::new());
        let in_chunks = sent.chunks(border).try_for_each(|chunk| filter.filter(chunk, &mut passed));
        prop_assert_eq!(result, in_chunks);
        prop_assert_eq!(&at_once, &passed);
        prop_assert!(passed.len() <= sent.len());
        prop_assert_eq!(filtered(&passed).unwrap(), passed.to_vec());
        prop_assert!(passed_has_only_viewing(&passed[SHARED_HANDSHAKE.len()..]));
    }
}

/// Parses messages by lengths that are independent of the filter's. The last message may be
/// truncated.
fn passed_has_only_viewing(mut messages: &[u8]) -> bool {
    while let Some(kind) = messages.first() {
        let at = |place: usize| messages.get(place).copied().unwrap_or_default();
        let bytes = match kind {
            0 => 20,
            2 => 4 + 4 * (usize::from(at(2)) * 256 + usize::from(at(3))),
            3 | 150 => 10,
            248 => 9 + usize::from(at(8)),
            _ => return false,
        };
        messages = &messages[bytes.min(messages.len())..];
    }
    true
}
