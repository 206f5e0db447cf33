//! What the server's own secret protects: passwords of mail servers at rest (D19), and the
//! fingerprints of requests, which may have held such passwords.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

/// Separates these keys from each other and from every other use of the server's secret.
const AT_REST: &[u8] = b"tollkeeper: secrets at rest, version 1\0";
const FINGERPRINTS: &[u8] = b"tollkeeper: fingerprints of requests, version 1\0";
const NONCE_BYTES: usize = 12;

fn key(purpose: &[u8], secret: &str) -> [u8; 32] {
    Sha256::new().chain_update(purpose).chain_update(secret).finalize().into()
}

/// Encrypts and decrypts texts with ChaCha20-Poly1305.
pub struct Cipher(ChaCha20Poly1305);

impl Cipher {
    /// A cipher whose key is derived from the server's secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        Self(ChaCha20Poly1305::new(&Key::from(key(AT_REST, secret))))
    }

    /// Encrypts; the same text gives another result each time.
    ///
    /// # Errors
    /// When the system has no randomness to give.
    pub fn seal(&self, text: &str) -> anyhow::Result<String> {
        let mut nonce = [0_u8; NONCE_BYTES];
        getrandom::fill(&mut nonce)?;
        let sealed = self
            .0
            .encrypt(&Nonce::from(nonce), text.as_bytes())
            .map_err(|_| anyhow::anyhow!("cannot encrypt"))?;
        Ok(STANDARD.encode([nonce.as_slice(), sealed.as_slice()].concat()))
    }

    /// Decrypts; `None` when the text was sealed with another secret or was changed.
    #[must_use]
    pub fn open(&self, sealed: &str) -> Option<String> {
        let bytes = STANDARD.decode(sealed).ok()?;
        let (nonce, sealed) = bytes.split_at_checked(NONCE_BYTES)?;
        let nonce: [u8; NONCE_BYTES] = nonce.try_into().ok()?;
        let text = self.0.decrypt(&Nonce::from(nonce), sealed).ok()?;
        String::from_utf8(text).ok()
    }
}

impl std::fmt::Debug for Cipher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Cipher")
    }
}

/// Makes digests that only this server's secret can make (HMAC-SHA256).
pub struct Fingerprints(Hmac<Sha256>);

impl Fingerprints {
    /// Digests under a key derived from the server's secret.
    ///
    /// # Panics
    /// Never: HMAC takes keys of any length.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let key = key(FINGERPRINTS, secret);
        Self(Hmac::new_from_slice(&key).expect("HMAC takes keys of any length"))
    }

    /// The digest of these parts, each of its own length: `ab`, `c` is not `a`, `bc`.
    #[must_use]
    pub fn of(&self, parts: &[&[u8]]) -> [u8; 32] {
        let mut digest = self.0.clone();
        for part in parts {
            digest.update(&part.len().to_be_bytes());
            digest.update(part);
        }
        digest.finalize().into_bytes().into()
    }
}

impl std::fmt::Debug for Fingerprints {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Fingerprints")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fingerprints_differ_by_secret_and_by_where_parts_end() {
        let one = Fingerprints::new("one");
        assert_eq!(one.of(&[b"ab", b"c"]), one.of(&[b"ab", b"c"]));
        assert_ne!(one.of(&[b"ab", b"c"]), one.of(&[b"a", b"bc"]));
        assert_ne!(one.of(&[b"ab"]), Fingerprints::new("other").of(&[b"ab"]));
    }

    #[test]
    fn only_the_same_secret_opens_what_was_sealed() {
        let cipher = Cipher::new("one");
        let sealed = cipher.seal("pa55").unwrap();
        assert!(!sealed.contains("pa55"));
        assert_ne!(sealed, cipher.seal("pa55").unwrap());
        assert_eq!(cipher.open(&sealed).as_deref(), Some("pa55"));
        assert_eq!(Cipher::new("other").open(&sealed), None);
        assert_eq!(cipher.open("junk"), None);
    }
}
