//! The client's half of the RFB protocol (RFC 6143), filtered for someone who may only view.
//!
//! Each message is forwarded or dropped as a whole. Only listed message types are forwarded; a
//! message of unknown type ends the connection, because its length is unknown. This module refuses
//! to know about sockets.

use bytes::{BufMut as _, BytesMut};

use super::MESSAGE_BYTES_MAX;

/// The protocol version of QEMU and noVNC. Other versions have another handshake.
const VERSION: &[u8] = b"RFB 003.008\n";

/// Security type "None", the only one that a machine's display offers.
const SECURITY_NONE: u8 = 1;

/// Flag of ClientInit that keeps other viewers connected.
const SHARED: u8 = 1;

/// Limit of encodings in a SetEncodings message. noVNC sends about 25.
pub const ENCODINGS_MAX: u16 = 256;

/// Size limit of a ClientFence message's payload, by its specification.
const FENCE_BYTES_MAX: u8 = 64;

/// Client message types: RFC 6143 §7.5, and the registered extensions that viewers of QEMU use.
mod message_type {
    pub const SET_PIXEL_FORMAT: u8 = 0;
    pub const SET_ENCODINGS: u8 = 2;
    pub const FRAMEBUFFER_UPDATE_REQUEST: u8 = 3;
    pub const KEY_EVENT: u8 = 4;
    pub const POINTER_EVENT: u8 = 5;
    pub const CLIENT_CUT_TEXT: u8 = 6;
    pub const ENABLE_CONTINUOUS_UPDATES: u8 = 150;
    pub const CLIENT_FENCE: u8 = 248;
    pub const XVP: u8 = 250;
    pub const SET_DESKTOP_SIZE: u8 = 251;
    pub const QEMU: u8 = 255;
}

/// Subtypes of QEMU's client message, and operations of its audio subtype.
mod qemu {
    pub const EXTENDED_KEY_EVENT: u8 = 0;
    pub const AUDIO: u8 = 1;
    pub const AUDIO_ENABLE: u16 = 0;
    pub const AUDIO_DISABLE: u16 = 1;
    pub const AUDIO_SET_FORMAT: u16 = 2;
}

/// A violation of the RFB protocol by a client, or a feature that the display does not offer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RfbError {
    /// Another protocol version, or another protocol.
    #[error("unsupported RFB version; only 3.8 is supported")]
    Version,
    /// A security type that was not offered.
    #[error("security type {0} is not offered; only 1 (None) is")]
    Security(u8),
    /// A message of unknown length.
    #[error("unknown RFB message type {0}")]
    UnknownMessage(u8),
    /// A QEMU message of unknown length.
    #[error("unknown QEMU RFB message subtype {0}")]
    UnknownQemuMessage(u8),
    /// A message that exceeds its size limit.
    #[error("the RFB message of type {0} is too long")]
    TooLong(u8),
}

/// Forwards the messages that a client needs to view a screen, and drops those that type, point,
/// paste, resize or control power.
///
/// Buffers at most the first 12 bytes of a message, wherever the chunks are split.
#[derive(Debug, Default)]
pub struct ViewOnlyFilter {
    phase: Phase,
    /// The start of a message of yet unknown length.
    head: Vec<u8>,
    /// Remaining bytes of the current message.
    remaining: usize,
    /// Whether the remaining bytes are forwarded.
    passes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Phase {
    #[default]
    Version,
    Security,
    ClientInit,
    Messages,
}

/// A message of known length.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Message {
    /// Total length, in bytes.
    bytes: usize,
    passes: bool,
}

impl ViewOnlyFilter {
    /// Appends to `passed` those bytes of `chunk`, the next bytes from the client, that may be
    /// forwarded.
    ///
    /// # Errors
    /// The stream cannot be parsed any further, and the connection must be closed. The content of
    /// `passed` is still valid.
    pub fn filter(&mut self, mut chunk: &[u8], passed: &mut BytesMut) -> Result<(), RfbError> {
        while let Some((&byte, rest)) = chunk.split_first() {
            if self.remaining > 0 {
                let (body, rest) = chunk.split_at(self.remaining.min(chunk.len()));
                if self.passes {
                    passed.put_slice(body);
                }
                self.remaining -= body.len();
                chunk = rest;
            } else {
                self.step(byte, passed)?;
                chunk = rest;
            }
        }
        Ok(())
    }

    /// Processes one byte of the handshake or of a message's head.
    fn step(&mut self, byte: u8, passed: &mut BytesMut) -> Result<(), RfbError> {
        match self.phase {
            Phase::Version => {
                self.head.push(byte);
                if !VERSION.starts_with(&self.head) {
                    return Err(RfbError::Version);
                }
                if self.head.len() == VERSION.len() {
                    self.pass_head(passed, Phase::Security);
                }
            }
            Phase::Security if byte == SECURITY_NONE => {
                passed.put_u8(byte);
                self.phase = Phase::ClientInit;
            }
            Phase::Security => return Err(RfbError::Security(byte)),
            Phase::ClientInit => {
                // Always shared: an exclusive viewer would disconnect other users.
                passed.put_u8(SHARED);
                self.phase = Phase::Messages;
            }
            Phase::Messages => {
                self.head.push(byte);
                if let Some(message) = measure(&self.head)? {
                    self.remaining = message.bytes - self.head.len();
                    self.passes = message.passes;
                    if message.passes {
                        self.pass_head(passed, Phase::Messages);
                    }
                    self.head.clear();
                }
            }
        }
        Ok(())
    }

    fn pass_head(&mut self, passed: &mut BytesMut, next: Phase) {
        passed.put_slice(&self.head);
        self.head.clear();
        self.phase = next;
    }
}

/// Returns the length of the message that begins with `head`, and whether it is forwarded; none if
/// more bytes are needed. `head` grows by one byte between calls, so it is never longer than the
/// message.
fn measure(head: &[u8]) -> Result<Option<Message>, RfbError> {
    let pass = |bytes| Ok(Some(Message { bytes, passes: true }));
    let drop = |bytes| Ok(Some(Message { bytes, passes: false }));
    match *head {
        [message_type::SET_PIXEL_FORMAT] => pass(20),
        [message_type::SET_ENCODINGS, _, high, low] => match u16::from_be_bytes([high, low]) {
            count @ ..=ENCODINGS_MAX => pass(4 + 4 * usize::from(count)),
            _ => Err(RfbError::TooLong(message_type::SET_ENCODINGS)),
        },
        [message_type::FRAMEBUFFER_UPDATE_REQUEST] => pass(10),
        [message_type::ENABLE_CONTINUOUS_UPDATES] => pass(10),
        [message_type::CLIENT_FENCE, .., length] if head.len() == 9 => match length {
            ..=FENCE_BYTES_MAX => pass(9 + usize::from(length)),
            _ => Err(RfbError::TooLong(message_type::CLIENT_FENCE)),
        },
        [message_type::KEY_EVENT] => drop(8),
        [message_type::POINTER_EVENT] => drop(6),
        // The length of the extended clipboard is negative.
        [message_type::CLIENT_CUT_TEXT, _, _, _, a, b, c, d] => {
            match usize::try_from(i32::from_be_bytes([a, b, c, d]).unsigned_abs()) {
                Ok(length) if length <= MESSAGE_BYTES_MAX => drop(8 + length),
                _ => Err(RfbError::TooLong(message_type::CLIENT_CUT_TEXT)),
            }
        }
        [message_type::XVP] => drop(4),
        [message_type::SET_DESKTOP_SIZE, .., screens] if head.len() == 7 => drop(8 + 16 * usize::from(screens)),
        [message_type::QEMU, qemu::EXTENDED_KEY_EVENT] => drop(12),
        [message_type::QEMU, qemu::AUDIO, high, low] => match u16::from_be_bytes([high, low]) {
            qemu::AUDIO_ENABLE | qemu::AUDIO_DISABLE => drop(4),
            qemu::AUDIO_SET_FORMAT => drop(10),
            _ => Err(RfbError::UnknownQemuMessage(qemu::AUDIO)),
        },
        [message_type::QEMU, subtype, ..] if subtype > qemu::AUDIO => Err(RfbError::UnknownQemuMessage(subtype)),
        [
            message_type::SET_ENCODINGS
            | message_type::CLIENT_FENCE
            | message_type::CLIENT_CUT_TEXT
            | message_type::SET_DESKTOP_SIZE
            | message_type::QEMU,
            ..,
        ] => Ok(None),
        [unknown, ..] => Err(RfbError::UnknownMessage(unknown)),
        [] => Ok(None),
    }
}

#[cfg(test)]
mod tests;
