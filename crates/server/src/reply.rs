//! An answer before it is a response: status, type, body and whether it carries a tag.

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use hyper::header::{HeaderName, HeaderValue};
use hyper::{HeaderMap, StatusCode};
use sha2::{Digest, Sha256};

use crate::http::Source;

/// What a handler answers.
#[derive(Clone, Debug)]
pub struct Reply {
    /// The status.
    pub status: StatusCode,
    /// The type of the body, if there is one.
    pub content_type: Option<&'static str>,
    /// The body; empty when there is a `source`.
    pub body: Bytes,
    /// Makes the body while it is sent.
    pub source: Option<Source>,
    /// The URL of what was created.
    pub location: Option<String>,
    /// Whether the body is a representation with an `ETag`.
    pub tagged: bool,
    /// Whether the body tells a secret: where the answer is kept, it is kept encrypted.
    pub confidential: bool,
    /// Whether `Vary` may be sent: not by refused tokens (contract, protocol 1.2).
    pub varies: bool,
    /// `Cache-Control`, where it is not what follows from the tag.
    pub kept: Option<&'static str>,
    /// Headers of single cases: `Allow`, `Retry-After`, `WWW-Authenticate`.
    pub headers: HeaderMap,
    /// The path pattern that answered, for metrics: one of a closed set.
    pub route: &'static str,
}

impl Reply {
    /// A body without a tag.
    #[must_use]
    pub fn plain(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        Self {
            status,
            content_type: Some(content_type),
            body: body.into(),
            source: None,
            location: None,
            tagged: false,
            confidential: false,
            varies: true,
            kept: None,
            headers: HeaderMap::new(),
            route: "",
        }
    }

    /// A representation: cacheable by its tag.
    #[must_use]
    pub fn tagged(status: StatusCode, content_type: &'static str, body: Vec<u8>) -> Self {
        Self { tagged: true, ..Self::plain(status, content_type, body) }
    }

    /// A body of any length, made while it is sent: without a tag, a length or compression.
    #[must_use]
    pub fn streamed(status: StatusCode, content_type: &'static str, source: Source) -> Self {
        Self { source: Some(source), ..Self::plain(status, content_type, Vec::new()) }
    }

    /// 204.
    #[must_use]
    pub fn no_content() -> Self {
        Self { content_type: None, ..Self::plain(StatusCode::NO_CONTENT, "", Vec::new()) }
    }

    /// Says where the created record is.
    #[must_use]
    pub fn at(mut self, location: String) -> Self {
        self.location = Some(location);
        self
    }

    /// Says that the body tells a secret.
    #[must_use]
    pub fn confidential(mut self) -> Self {
        self.confidential = true;
        self
    }

    /// Changes the body's type.
    #[must_use]
    pub fn of_type(mut self, content_type: &'static str) -> Self {
        self.content_type = Some(content_type);
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn with_header(mut self, name: &'static str, value: &str) -> Self {
        if let Ok(value) = HeaderValue::from_str(value) {
            self.headers.insert(HeaderName::from_static(name), value);
        }
        self
    }

    /// Says who may keep it for how long, as `Cache-Control` does.
    #[must_use]
    pub fn kept(mut self, directives: &'static str) -> Self {
        self.kept = Some(directives);
        self
    }

    /// Sends no `Vary`.
    #[must_use]
    pub fn unvaried(mut self) -> Self {
        self.varies = false;
        self
    }
}

/// Lets axum carry a reply to the service, which makes the response.
impl IntoResponse for Reply {
    fn into_response(self) -> Response {
        let mut carrier = Response::default();
        carrier.extensions_mut().insert(self);
        carrier
    }
}

/// The weak tag of a body: the first 32 hex digits of its SHA-256 (contract, protocol 1.3).
#[must_use]
pub fn entity_tag(body: &[u8]) -> String {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    let digest = Sha256::digest(body);
    let mut tag = String::with_capacity(36);
    tag.push_str("W/\"");
    for byte in &digest[..16] {
        tag.push(char::from(HEX[usize::from(byte >> 4)]));
        tag.push(char::from(HEX[usize::from(byte & 15)]));
    }
    tag.push('"');
    tag
}

/// Whether a list of tags, or `*`, names this tag; weak comparison (RFC 9110, 8.8.3.2).
#[must_use]
pub fn tag_list_names(list: &str, tag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    list.trim() == "*" || list.split(',').any(|listed| opaque(listed) == opaque(tag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_compare_weakly_in_lists() {
        let tag = entity_tag(b"{}");
        assert_eq!(tag.len(), 36);
        assert!(tag_list_names(&tag, &tag));
        assert!(tag_list_names(&format!("\"x\", {}", tag.trim_start_matches("W/")), &tag));
        assert!(tag_list_names(" * ", &tag));
        assert!(!tag_list_names("W/\"0\"", &tag));
    }
}
