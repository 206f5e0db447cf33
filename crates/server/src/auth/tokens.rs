//! Tokens: JWT with HS256 and the claims of the contract (protocol 2.2).

use std::collections::HashMap;
use std::sync::{PoisonError, RwLock};

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Good tokens remembered; beyond, all are forgotten and verified again.
const VERIFIED_MAX: usize = 1024;

/// Issues and reads tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// Tokens whose signature was good: clients send the same one again and again.
    verified: RwLock<HashMap<String, Verified>>,
    /// 0: tokens do not expire.
    lifetime_secs: i64,
}

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Id of the operator.
    pub operator: i64,
    /// When it was issued, as far as its expiry tells, or `iat` where it never expires.
    pub issued_at_secs: Option<i64>,
}

/// What a correctly signed token says, before the clock is asked.
#[derive(Clone, Copy, Debug)]
struct Verified {
    operator: i64,
    expires_at_secs: Option<i64>,
    not_before_secs: Option<i64>,
    issued_at_secs: Option<i64>,
}

/// The payload, members in the contract's order.
#[derive(Serialize)]
struct Issued {
    sub: i64,
    aud: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
    /// Only where nothing else tells a token from those that a password change has ended.
    #[serde(skip_serializing_if = "Option::is_none")]
    iat: Option<i64>,
}

#[derive(Deserialize)]
struct Presented {
    sub: Value,
    exp: Option<Value>,
    nbf: Option<Value>,
    iat: Option<Value>,
}

impl Tokens {
    /// Tokens signed with the bytes of `secret`.
    #[must_use]
    pub fn new(secret: &str, lifetime_secs: u32) -> Self {
        let mut validation = Validation::new(Algorithm::HS256);
        validation.set_audience(&["admin"]);
        validation.set_required_spec_claims(&["aud"]);
        // Times are checked against the caller's clock, below.
        validation.validate_exp = false;
        validation.validate_nbf = false;
        Self {
            encoding: EncodingKey::from_secret(secret.as_bytes()),
            decoding: DecodingKey::from_secret(secret.as_bytes()),
            validation,
            verified: RwLock::default(),
            lifetime_secs: i64::from(lifetime_secs),
        }
    }

    /// A token for the operator, issued no earlier than their older tokens ended.
    ///
    /// # Errors
    /// When signing fails.
    pub fn issue(
        &self,
        operator: i64,
        valid_from_secs: i64,
        now: Timestamp,
    ) -> Result<String, jsonwebtoken::errors::Error> {
        let issued_at = now.as_second().max(valid_from_secs);
        let exp = (self.lifetime_secs > 0).then_some(issued_at + self.lifetime_secs);
        let iat = (exp.is_none() && valid_from_secs > 0).then_some(issued_at);
        let header = Header { typ: None, ..Header::new(Algorithm::HS256) };
        encode(&header, &Issued { sub: operator, aud: ["admin"], exp, iat }, &self.encoding)
    }

    /// Reads a token; `None` for any that is not valid now.
    #[must_use]
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let verified = self.verified(token)?;
        let expires_at = verified.expires_at_secs.filter(|_| self.lifetime_secs > 0);
        let too_late = expires_at.is_some_and(|at| at <= now.as_second());
        let too_early = verified.not_before_secs.is_some_and(|at| at > now.as_second());
        (!too_late && !too_early).then(|| Claims {
            operator: verified.operator,
            issued_at_secs: expires_at
                .map(|at| at - self.lifetime_secs)
                .or(verified.issued_at_secs),
        })
    }

    /// Checks signature, algorithm, audience and form, once for each token.
    fn verified(&self, token: &str) -> Option<Verified> {
        let known =
            self.verified.read().unwrap_or_else(PoisonError::into_inner).get(token).copied();
        if known.is_some() {
            return known;
        }
        let presented: Presented = decode(token, &self.decoding, &self.validation).ok()?.claims;
        // A time that is no number is no time that could be checked.
        let seconds = |time: Option<Value>| match time {
            None => Some(None),
            Some(time) => whole_seconds(&time).map(Some),
        };
        let operator = match &presented.sub {
            Value::Number(number) => number.as_i64()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        let verified = Verified {
            operator,
            expires_at_secs: seconds(presented.exp)?,
            not_before_secs: seconds(presented.nbf)?,
            issued_at_secs: presented.iat.and_then(|at| at.as_i64()),
        };
        let mut kept = self.verified.write().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= VERIFIED_MAX {
            kept.clear();
        }
        kept.insert(token.to_owned(), verified);
        Some(verified)
    }
}

/// The seconds of a date, which may have a fraction (RFC 7519, 2).
#[expect(clippy::cast_possible_truncation, reason = "far beyond any clock, the nearest will do")]
fn whole_seconds(date: &Value) -> Option<i64> {
    date.as_i64().or_else(|| date.as_f64().map(|seconds| seconds.floor() as i64))
}

impl std::fmt::Debug for Tokens {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tokens").field("lifetime_secs", &self.lifetime_secs).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use base64::Engine as _;
    use base64::engine::general_purpose::URL_SAFE_NO_PAD;

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_second(secs).unwrap()
    }

    #[test]
    fn a_token_says_what_the_founding_document_shows() {
        let token = Tokens::new("secret", 600).issue(19, 0, at(1_767_357_960)).unwrap();
        let parts: Vec<String> = token
            .split('.')
            .take(2)
            .map(|part| String::from_utf8(URL_SAFE_NO_PAD.decode(part).unwrap()).unwrap())
            .collect();
        assert_eq!(parts[0], r#"{"alg":"HS256"}"#);
        assert_eq!(parts[1], r#"{"sub":19,"aud":["admin"],"exp":1767358560}"#);
    }

    #[test]
    fn tokens_end_at_their_expiry() {
        let tokens = Tokens::new("secret", 600);
        let token = tokens.issue(7, 0, at(1000)).unwrap();
        let claims = Claims { operator: 7, issued_at_secs: Some(1000) };
        assert_eq!(tokens.read(&token, at(1599)), Some(claims));
        assert_eq!(tokens.read(&token, at(1600)), None);
        assert_eq!(Tokens::new("other", 600).read(&token, at(1000)), None);
    }

    #[test]
    fn permanent_tokens_have_no_expiry_and_ignore_one() {
        let permanent = Tokens::new("secret", 0);
        let token = permanent.issue(7, 0, at(1000)).unwrap();
        assert_eq!(
            token.split('.').nth(1),
            Some(&*URL_SAFE_NO_PAD.encode(r#"{"sub":7,"aud":["admin"]}"#))
        );
        let claims = Claims { operator: 7, issued_at_secs: None };
        assert_eq!(permanent.read(&token, at(i64::from(u32::MAX))), Some(claims));
        let expired = Tokens::new("secret", 600).issue(7, 0, at(1000)).unwrap();
        assert_eq!(permanent.read(&expired, at(9000)), Some(claims));
    }
}
