//! What a webhook must be.

use jsonapi::{Fault, Value};
use reqwest::Url;

use crate::clock::Moment;
use crate::rest::{Draft, Truth};

/// The address can be posted to. Where it leads is found out when that is done.
pub fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let mut faults = draft.shape_faults(truth);
    let url = draft.value("url").filter(|url| !url.is_blank());
    if url.and_then(Value::as_text).is_some_and(|url| !is_address(url)) {
        faults.push(Fault::on("url", "is invalid"));
    }
    faults
}

/// `http` or `https`, with a host, without a name and password, which lists would show.
fn is_address(text: &str) -> bool {
    // The parser leaves out blanks, and takes less than two slashes for two.
    let is_plain = !text.chars().any(|c| c.is_whitespace() || c.is_control());
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    let is_http = matches!(scheme.as_deref(), Some("http" | "https"));
    let Some(url) = Url::parse(text).ok().filter(|_| is_plain && is_http) else { return false };
    let has_host = url.host_str().is_some_and(|host| !host.is_empty());
    has_host && url.username().is_empty() && url.password().is_none()
}

/// Says when it was made.
pub fn prepare(draft: &mut Draft, moment: Moment) {
    if draft.before.is_none() {
        draft.set("created-at", Value::Time(moment.now));
    }
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn addresses_are_http_with_a_host_and_nobodys_password() {
        for good in [
            "http://example.org",
            "HTTPS://example.org:8443/hooks?key=1#x",
            "http://127.0.0.1/",
            "http://[::1]:80/",
            "https://müller.example/",
        ] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "example.org",
            "ftp://example.org/",
            "file:///etc/passwd",
            "http://",
            "http:///",
            "http:example.org",
            "http:\\\\example.org",
            "http://a b/",
            " http://example.org/",
            "http://example.org/\n",
            "http://ann@example.org/",
            "http://ann:pass@example.org/",
            "http://:pass@example.org/",
            "http://example.org:99999/",
            "http://[::1/",
            "http://1.2.3.400/",
            "javascript:alert(1)",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
