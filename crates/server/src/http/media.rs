//! Media types of requests (contract, protocol 3).

use std::borrow::Cow;

use hyper::HeaderMap;
use hyper::header::{HeaderName, HeaderValue};
use jsonapi::Error;

use jsonapi::MEDIA_TYPE;

/// A header that is a list: in several lines, it is one list all the same (RFC 9110, 5.3). Bytes
/// that are not UTF-8 are shown as replacement characters.
#[must_use]
pub fn list_header<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<Cow<'a, str>> {
    let mut lines =
        headers.get_all(name).iter().map(|line| String::from_utf8_lossy(line.as_bytes()));
    let first = lines.next()?;
    Some(lines.fold(first, |list, line| Cow::Owned(format!("{list}, {line}"))))
}

/// The media type of a `Content-Type`, without parameters; empty when there is none.
#[must_use]
pub fn media_type(header: Option<&HeaderValue>) -> String {
    let text = header.map(|header| String::from_utf8_lossy(header.as_bytes())).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// Bodies must be JSON:API; parameters and case do not matter.
///
/// # Errors
/// 415 for any other type.
pub fn check_content_type(header: Option<&HeaderValue>) -> Result<(), Error> {
    let media_type = media_type(header);
    if media_type.eq_ignore_ascii_case(MEDIA_TYPE) {
        Ok(())
    } else {
        Err(Error::unsupported_media_type(&media_type))
    }
}

/// Answers are JSON:API: some part of `Accept` must be exactly that, or begin with `*/*`.
///
/// # Errors
/// 406 for anything else.
pub fn accepts(header: Option<&str>) -> Result<(), Error> {
    let Some(header) = header.filter(|header| !header.trim().is_empty()) else { return Ok(()) };
    let accepted = |part: &str| part == MEDIA_TYPE || part.starts_with("*/*");
    if parts(header).into_iter().any(|part| accepted(part.trim())) {
        Ok(())
    } else {
        Err(Error::not_acceptable(header))
    }
}

/// The media types that a list names, without their parameters.
pub fn media_types(list: &str) -> impl Iterator<Item = &str> {
    parts(list).into_iter().map(|part| part.split(';').next().unwrap_or_default().trim())
}

/// Splits at commas, but not inside double quotes.
fn parts(header: &str) -> Vec<&str> {
    let mut quoted = false;
    header
        .split(|c| {
            quoted ^= c == '"';
            c == ',' && !quoted
        })
        .collect()
}

/// Whether `Vary: Accept` is answered: to any `Accept` that does not look like a browser's,
/// with `*/*` beside a comma (contract, protocol 1.2).
#[must_use]
pub fn varies_with_accept(header: Option<&str>) -> bool {
    let Some(header) = header.filter(|header| !header.is_empty()) else { return false };
    let browser = header.match_indices("*/*").any(|(at, star)| {
        let before = header[..at].trim_end().ends_with(',');
        let after = header[at + star.len()..].trim_start().starts_with(',');
        before || after
    });
    !browser
}

/// Whether the client asks for gzip (RFC 9110, 12.5.3).
#[must_use]
pub fn wants_gzip(header: Option<&str>) -> bool {
    let Some(header) = header else { return false };
    let quality = |coding: &str| {
        header.split(',').find_map(|part| {
            let mut pieces = part.split(';').map(str::trim);
            let named = pieces.next().is_some_and(|name| name.eq_ignore_ascii_case(coding));
            let quality = pieces.find_map(|piece| piece.strip_prefix("q="));
            named.then(|| quality.map_or(1.0, |text| text.parse::<f32>().unwrap_or(0.0)))
        })
    };
    quality("gzip").or_else(|| quality("*")).is_some_and(|quality| quality > 0.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use hyper::header::ACCEPT;

    #[test]
    fn lines_of_one_header_are_one_list() {
        let mut headers = HeaderMap::new();
        assert_eq!(list_header(&headers, &ACCEPT), None);
        headers.append(ACCEPT, HeaderValue::from_static("text/html"));
        headers.append(ACCEPT, HeaderValue::from_static("*/*"));
        assert_eq!(list_header(&headers, &ACCEPT).as_deref(), Some("text/html, */*"));
    }

    #[test]
    fn json_api_and_anything_are_acceptable() {
        for good in [
            "*/*",
            "*/*;q=0.1",
            "application/vnd.api+json",
            "text/html, application/vnd.api+json",
            "application/json, */*",
            "application/vnd.api+json;q=0.5, application/vnd.api+json",
            "",
        ] {
            assert!(accepts(Some(good)).is_ok(), "{good}");
        }
        for bad in [
            "application/json",
            "application/*",
            "Application/vnd.api+json",
            "application/vnd.api+json;q=0.9",
            "foo",
            "x;a=\",*/*\"",
        ] {
            assert!(accepts(Some(bad)).is_err(), "{bad}");
        }
    }

    #[test]
    fn browsers_get_no_vary() {
        for (accept, varies) in [
            ("*/*", true),
            ("*/*;q=0.1", true),
            ("text/html,application/xhtml+xml,*/*;q=0.8", false),
            ("*/* , text/html", false),
            ("application/vnd.api+json", true),
            ("", false),
        ] {
            assert_eq!(varies_with_accept(Some(accept)), varies, "{accept}");
        }
        assert!(!varies_with_accept(None));
    }

    #[test]
    fn gzip_is_sent_only_when_asked_for() {
        for (accept, wants) in [
            ("gzip", true),
            ("br, gzip;q=0.5", true),
            ("*", true),
            ("gzip;q=0", false),
            ("*, gzip;q=0", false),
            ("br", false),
        ] {
            assert_eq!(wants_gzip(Some(accept)), wants, "{accept}");
        }
    }
}
