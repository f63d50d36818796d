//! Decodes the output of programs in the guest.

/// Decodes output: UTF-16 if it starts with a byte order mark or if most of every second byte is
/// NUL, as Windows programs and `msiexec` print it; UTF-8 otherwise.
///
/// Secrets are masked in the text, so no NUL may separate their letters: NULs in partly UTF-16
/// output are removed.
pub(super) fn decode(bytes: &[u8]) -> String {
    match bytes {
        [0xFF, 0xFE, text @ ..] => utf16(text, u16::from_le_bytes),
        [0xFE, 0xFF, text @ ..] => utf16(text, u16::from_be_bytes),
        [0xEF, 0xBB, 0xBF, text @ ..] => utf8(text),
        text if mostly_nul(text, 1) => utf16(text, u16::from_le_bytes),
        // Also little-endian text whose first half-character was cut off.
        text if mostly_nul(text, 0) => utf16(text, u16::from_be_bytes),
        text => utf8(text),
    }
}

/// Returns whether most of every second byte, starting at `first`, is NUL.
fn mostly_nul(bytes: &[u8], first: usize) -> bool {
    let seen = bytes.iter().skip(first).step_by(2);
    let (count, nuls) = (seen.len(), seen.filter(|byte| **byte == 0).count());
    nuls * 2 > count
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> String {
    let (units, _) = bytes.as_chunks();
    String::from_utf16_lossy(&units.iter().map(|bytes| unit(*bytes)).collect::<Vec<_>>()).replace('\0', "")
}

fn utf8(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace('\0', "")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn le(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_le_bytes).collect()
    }

    fn be(text: &str) -> Vec<u8> {
        text.encode_utf16().flat_map(u16::to_be_bytes).collect()
    }

    #[test]
    fn encoding_is_detected_by_byte_order_mark_or_nuls() {
        let text = "Key Pässw0rd is wrong";
        for bytes in [
            text.as_bytes().to_vec(),
            format!("\u{FEFF}{text}").into_bytes(),
            le(text),
            be(text),
            le(&format!("\u{FEFF}{text}")),
            be(&format!("\u{FEFF}{text}")),
        ] {
            assert_eq!(decode(&bytes), text, "{bytes:?}");
        }
        assert_eq!(decode(&le("\u{FEFF}ключ")), "ключ");
        assert_eq!(decode(b""), "");
        assert_eq!(decode(b"a"), "a");
    }

    #[test]
    fn nuls_between_the_letters_of_a_secret_are_removed() {
        let cut = &le("hunter-22")[1..];
        assert_eq!(decode(cut), "unter-22");
        let mixed = [&b"msiexec ended, and its log is this; "[..], &le("hunter-22")].concat();
        assert_eq!(decode(&mixed), "msiexec ended, and its log is this; hunter-22");
    }
}
