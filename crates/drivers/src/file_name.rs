//! File names for tags and ids, on the host and in guests.

/// Encodes a tag or id as a file name, which never leads out of its folder. [`original_name`]
/// decodes it.
pub fn file_name(text: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    text.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02x}") }).collect()
}

/// Decodes a tag or id from a file name.
pub fn original_name(name: &str) -> String {
    let mut parts = name.split('%');
    let mut bytes = parts.next().unwrap_or_default().as_bytes().to_vec();
    for part in parts {
        let (code, rest) = part.split_at_checked(2).unwrap_or((part, ""));
        bytes.extend(u8::from_str_radix(code, 16));
        bytes.extend(rest.as_bytes());
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_never_leads_out_of_its_folder() {
        assert_eq!(file_name("action-17"), "action-17");
        let odd = "../x/.. \0é%2";
        assert_eq!(file_name(odd), "%2e%2e%2fx%2f%2e%2e%20%00%c3%a9%252");
        assert_eq!(original_name(&file_name(odd)), odd);
    }
}
