//! SMTP connections on the wire (contract, resources 14 with D19).

use jsonapi::{Fault, OnDelete, Resource, boolean, enumeration, integer, text};

use crate::rest::{Draft, Truth};

/// Encrypted if the server can, or always (STARTTLS); from the first byte; never.
const TLS_MODES: &[&str] = &["opportunistic", "required", "implicit", "none"];

/// The SMTP connection.
pub static SMTP_CONNECTIONS: Resource = Resource {
    kind: "smtp-connections",
    meaning: "A mail server that mail to contacts goes through.",
    attributes: &[
        text("name", "Unique name.").required().unique().exact_filter(),
        text("host", "Host name or address.").required(),
        integer("port", 1, 65_535, "TCP port.").required().or_int(25),
        text("from-address", "Sender of the mails.").required(),
        text("auth-user", "User name, if the server asks for one."),
        text("auth-password", "Password; stored encrypted, never answered.")
            .write_only()
            .unsortable(),
        boolean("global", "Whether contractors without one of their own use it.")
            .required()
            .or_bool(true),
        enumeration(
            "tls-mode",
            TLS_MODES,
            "Whether the connection is encrypted; null is `opportunistic`: if the server can.",
        )
        .shown_when_set()
        .unsortable(),
    ],
    on_delete: &[OnDelete::RestrictedBy { kind: "contractors", relationship: "smtp-connection" }],
    ..Resource::PLAIN
};

/// The sender is an address `user@host.tld`; a blank one is said to be both blank and invalid.
pub fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let mut faults = draft.shape_faults(truth);
    let unfit = draft.value("from-address").is_none();
    let sender = draft.value("from-address").and_then(|value| value.as_text()).unwrap_or_default();
    if !unfit && !is_address(sender) {
        faults.push(Fault::on("from-address", "is invalid"));
    }
    faults
}

/// `user@host.tld` without blanks, the last label of two letters or more.
fn is_address(text: &str) -> bool {
    let Some((user, domain)) = text.split_once('@') else { return false };
    let Some((host, tld)) = domain.rsplit_once('.') else { return false };
    let plain = |part: &str| {
        !part.is_empty() && !part.contains(['@', ',', ';', '<', '>', '"']) && {
            !part.chars().any(|c| c.is_whitespace() || c.is_control())
        }
    };
    plain(user)
        && plain(host)
        && host.split('.').all(|label| !label.is_empty())
        && tld.len() >= 2
        && tld.chars().all(|c| c.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use super::is_address;

    #[test]
    fn senders_are_addresses_with_a_domain() {
        for good in ["noc@example.com", "a.b+c@mail.example.co"] {
            assert!(is_address(good), "{good}");
        }
        for bad in [
            "",
            "noc",
            "noc@",
            "noc@host",
            "@example.com",
            "a b@example.com",
            "a@b@example.com",
            "a@example.c",
            "a@example.c0m",
            "a@.com",
            "a@x..com",
            "a@example.com\r\nBcc: x@y.zz",
        ] {
            assert!(!is_address(bad), "{bad}");
        }
    }
}
