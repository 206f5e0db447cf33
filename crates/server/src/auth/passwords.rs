//! Passwords: Argon2id in PHC form, and random ones for first operators.

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use argon2::password_hash::{PasswordHasher, PasswordVerifier};

/// Letters and digits without those that look alike.
const ALPHABET: &[u8; 55] = b"abcdefghijkmnopqrstuvwxyzABCDEFGHJKLMNPQRSTUVWXYZ234567";
/// Over 130 bits.
const RANDOM_LENGTH: usize = 24;

/// Hashes a password with a fresh salt. Takes tens of milliseconds on purpose.
///
/// # Errors
/// When the system has no randomness to give.
pub fn hash_password(password: &str) -> anyhow::Result<String> {
    let hash = Argon2::default()
        .hash_password(password.as_bytes())
        .map_err(|error| anyhow::anyhow!("cannot hash the password: {error}"))?;
    Ok(hash.to_string())
}

/// Whether the password is the one that was hashed; compares in constant time.
pub fn verify_password(password: &str, hash: &str) -> bool {
    PasswordHash::new(hash)
        .is_ok_and(|hash| Argon2::default().verify_password(password.as_bytes(), &hash).is_ok())
}

/// A password that nobody will guess.
///
/// # Errors
/// When the system has no randomness to give.
pub fn random_password() -> anyhow::Result<String> {
    let mut password = String::with_capacity(RANDOM_LENGTH);
    while password.len() < RANDOM_LENGTH {
        let mut bytes = [0_u8; RANDOM_LENGTH];
        getrandom::fill(&mut bytes)?;
        // 220 is the largest multiple of 55 in a byte: what is above would favour some letters.
        let fair = bytes.iter().filter(|byte| **byte < 220);
        password.extend(fair.map(|byte| char::from(ALPHABET[usize::from(byte % 55)])));
    }
    password.truncate(RANDOM_LENGTH);
    Ok(password)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_verifies_its_own_password_only() {
        let hash = hash_password("correct horse").unwrap();
        assert!(hash.starts_with("$argon2id$"), "{hash}");
        assert!(verify_password("correct horse", &hash));
        assert!(!verify_password("correct hors", &hash));
        assert!(!verify_password("correct horse", "not a hash"));
    }

    #[test]
    fn random_passwords_are_long_and_different() {
        let (one, other) = (random_password().unwrap(), random_password().unwrap());
        assert_eq!(one.len(), RANDOM_LENGTH);
        assert_ne!(one, other);
    }
}
