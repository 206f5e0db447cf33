//! Media types of requests (contract, protocol 3).

use hyper::header::HeaderValue;
use jsonapi::Error;

use crate::rest::MEDIA_TYPE;

/// The media type of a `Content-Type`, without parameters; empty when there is none.
#[must_use]
pub fn media_type(header: Option<&HeaderValue>) -> String {
    let text = header.map(text_of).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_owned()
}

/// A header as text; bytes that are not UTF-8 are shown as replacement characters.
fn text_of(header: &HeaderValue) -> String {
    String::from_utf8_lossy(header.as_bytes()).into_owned()
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
pub fn accepts(header: Option<&HeaderValue>) -> Result<(), Error> {
    let Some(header) = header.map(text_of).filter(|header| !header.trim().is_empty()) else {
        return Ok(());
    };
    let accepted = |part: &str| part == MEDIA_TYPE || part.starts_with("*/*");
    if parts(&header).into_iter().any(|part| accepted(part.trim())) {
        Ok(())
    } else {
        Err(Error::not_acceptable(&header))
    }
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
pub fn varies_with_accept(header: Option<&HeaderValue>) -> bool {
    let Some(header) = header.map(text_of).filter(|header| !header.is_empty()) else {
        return false;
    };
    let browser = header.match_indices("*/*").any(|(at, star)| {
        let before = header[..at].trim_end().ends_with(',');
        let after = header[at + star.len()..].trim_start().starts_with(',');
        before || after
    });
    !browser
}

/// Whether the client asks for gzip (RFC 9110, 12.5.3).
#[must_use]
pub fn wants_gzip(header: Option<&HeaderValue>) -> bool {
    let Some(header) = header.and_then(|header| header.to_str().ok()) else { return false };
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

    fn header(text: &'static str) -> Option<HeaderValue> {
        Some(HeaderValue::from_static(text))
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
            assert!(accepts(header(good).as_ref()).is_ok(), "{good}");
        }
        for bad in [
            "application/json",
            "application/*",
            "Application/vnd.api+json",
            "application/vnd.api+json;q=0.9",
            "foo",
            "x;a=\",*/*\"",
        ] {
            assert!(accepts(header(bad).as_ref()).is_err(), "{bad}");
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
            assert_eq!(varies_with_accept(header(accept).as_ref()), varies, "{accept}");
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
            assert_eq!(wants_gzip(header(accept).as_ref()), wants, "{accept}");
        }
    }
}
