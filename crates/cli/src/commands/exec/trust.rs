//! Certificate authorities in the formats that runtimes read.

use aws_lc_rs::digest::{Context, SHA1_FOR_LEGACY_USE_ONLY};
use pem::Pem;

/// The label of a certificate in PEM.
const LABEL: &str = "CERTIFICATE";

/// The password of trust stores that every Java tool tries. The store holds no secret.
pub const STORE_PASSWORD: &str = "changeit";

/// Certificates, DER.
pub type Certificates = Vec<Vec<u8>>;

/// Returns the certificates of a PEM file.
pub fn read(text: &[u8]) -> Result<Certificates, pem::PemError> {
    Ok(pem::parse_many(text)?.into_iter().filter(|part| part.tag() == LABEL).map(Pem::into_contents).collect())
}

/// Returns the authorities that this computer trusts; none if there are none.
pub fn of_this_computer() -> Certificates {
    rustls_native_certs::load_native_certs().certs.into_iter().map(|certificate| certificate.to_vec()).collect()
}

/// Returns a PEM file.
pub fn bundle(certificates: &Certificates) -> String {
    certificates.iter().map(|der| pem::encode(&Pem::new(LABEL, der.clone()))).collect()
}

/// Returns a trust store of Java, in the format JKS, version 2.
pub fn java_store(certificates: &Certificates) -> Vec<u8> {
    const MAGIC: u32 = 0xFEED_FEED;
    const VERSION: u32 = 2;
    const TRUSTED_CERTIFICATE: u32 = 2;
    /// Entries have a time of creation, milliseconds since 1970, which nothing reads.
    const CREATED: u64 = 0;
    let length = |bytes: usize| u32::try_from(bytes).expect("a trust store has less than 4 GiB").to_be_bytes();
    let text = |text: &str| {
        let length = u16::try_from(text.len()).expect("these texts are short").to_be_bytes();
        [&length, text.as_bytes()].concat()
    };
    let mut store = [MAGIC.to_be_bytes(), VERSION.to_be_bytes(), length(certificates.len())].concat();
    for (number, der) in certificates.iter().enumerate() {
        store.extend(TRUSTED_CERTIFICATE.to_be_bytes());
        store.extend(text(&format!("authority-{number}")));
        store.extend(CREATED.to_be_bytes());
        store.extend(text("X.509"));
        store.extend(length(der.len()));
        store.extend(der);
    }
    // The format has this checksum; it protects nothing.
    let mut checksum = Context::new(&SHA1_FOR_LEGACY_USE_ONLY);
    STORE_PASSWORD.encode_utf16().for_each(|unit| checksum.update(&unit.to_be_bytes()));
    checksum.update(b"Mighty Aphrodite");
    checksum.update(&store);
    store.extend(checksum.finish().as_ref());
    store
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bundle_reads_back() {
        let certificates = vec![vec![1, 2, 3], vec![4; 100]];
        assert_eq!(read(bundle(&certificates).as_bytes()).unwrap(), certificates);
    }

    #[test]
    fn a_java_store_has_the_documented_format() {
        let store = java_store(&vec![vec![7; 3]]);
        let entry = b"\xfe\xed\xfe\xed\0\0\0\x02\0\0\0\x01\0\0\0\x02\0\x0bauthority-0\0\0\0\0\0\0\0\0\0\x05X.509\0\0\0\x03\x07\x07\x07";
        assert_eq!(&store[..entry.len()], entry);
        assert_eq!(store.len(), entry.len() + 20, "the checksum is SHA-1");
    }
}
