//! Tokens: JWT with HS256 and the claims of the contract (protocol 2.2).

use jiff::Timestamp;
use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation, decode, encode};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Issues and reads tokens.
pub struct Tokens {
    encoding: EncodingKey,
    decoding: DecodingKey,
    validation: Validation,
    /// 0: tokens do not expire.
    lifetime_secs: i64,
}

/// What a valid token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claims {
    /// Id of the operator.
    pub operator: i64,
    /// When it was issued, as far as its expiry tells.
    pub issued_at_secs: Option<i64>,
}

/// The payload, members in the contract's order.
#[derive(Serialize)]
struct Issued {
    sub: i64,
    aud: [&'static str; 1],
    #[serde(skip_serializing_if = "Option::is_none")]
    exp: Option<i64>,
}

#[derive(Deserialize)]
struct Presented {
    sub: Value,
    exp: Option<Value>,
    nbf: Option<Value>,
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
        let header = Header { typ: None, ..Header::new(Algorithm::HS256) };
        encode(&header, &Issued { sub: operator, aud: ["admin"], exp }, &self.encoding)
    }

    /// Reads a token; `None` for any that is not valid now.
    #[must_use]
    pub fn read(&self, token: &str, now: Timestamp) -> Option<Claims> {
        let presented: Presented = decode(token, &self.decoding, &self.validation).ok()?.claims;
        let expires = presented.exp.as_ref().map(seconds);
        if expires
            .is_some_and(|at| at.is_none_or(|at| self.lifetime_secs > 0 && at <= now.as_second()))
        {
            return None;
        }
        if presented
            .nbf
            .as_ref()
            .is_some_and(|nbf| seconds(nbf).is_none_or(|at| at > now.as_second()))
        {
            return None;
        }
        let operator = match &presented.sub {
            Value::Number(number) => number.as_i64()?,
            Value::String(text) => text.parse().ok()?,
            _ => return None,
        };
        let expiring = expires.flatten().filter(|_| self.lifetime_secs > 0);
        Some(Claims { operator, issued_at_secs: expiring.map(|at| at - self.lifetime_secs) })
    }
}

fn seconds(value: &Value) -> Option<i64> {
    value.as_i64()
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
