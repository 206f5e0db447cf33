//! Secrets of other systems at rest: passwords of mail servers, encrypted with the server's own
//! secret (D19).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use sha2::{Digest, Sha256};

/// Separates this key from every other use of the server's secret.
const PURPOSE: &[u8] = b"tollkeeper: secrets at rest, version 1\0";
const NONCE_BYTES: usize = 12;

/// Encrypts and decrypts texts with ChaCha20-Poly1305.
pub struct Cipher(ChaCha20Poly1305);

impl Cipher {
    /// A cipher whose key is derived from the server's secret.
    #[must_use]
    pub fn new(secret: &str) -> Self {
        let mut digest = Sha256::new();
        digest.update(PURPOSE);
        digest.update(secret.as_bytes());
        let key: [u8; 32] = digest.finalize().into();
        Self(ChaCha20Poly1305::new(&Key::from(key)))
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

#[cfg(test)]
mod tests {
    use super::*;

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
