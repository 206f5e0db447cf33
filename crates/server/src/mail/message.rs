//! A mail as it travels: headers and parts.

use std::time::{Duration, SystemTime};

use jiff::Timestamp;
use lettre::Address;
use lettre::address::Envelope;
use lettre::message::header::{ContentType, HeaderName, HeaderValue};
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};

use super::templates::Letter;

/// A file that goes with a mail.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Enclosure {
    /// Its name.
    pub name: &'static str,
    /// JSON.
    pub json: String,
}

/// What a mail is made of.
#[derive(Clone, Debug)]
pub struct Parts<'a> {
    /// Who it is from.
    pub from: &'a Address,
    /// Who it is to.
    pub to: &'a Address,
    /// Its name, in angle brackets.
    pub message_id: &'a str,
    /// What it says.
    pub letter: &'a Letter,
    /// What goes with it.
    pub enclosure: Option<&'a Enclosure>,
    /// When it was written.
    pub now: Timestamp,
}

/// The mail's bytes.
///
/// # Errors
/// What the parts do not make.
pub fn compose(parts: &Parts<'_>) -> Result<Vec<u8>, String> {
    let Letter { subject, text, html } = parts.letter;
    let envelope = Envelope::new(Some(parts.from.clone()), vec![parts.to.clone()])
        .map_err(|error| error.to_string())?;
    let secs = u64::try_from(parts.now.as_second()).unwrap_or_default();
    let builder = Message::builder()
        .envelope(envelope)
        .from(Mailbox::new(None, parts.from.clone()))
        .to(Mailbox::new(None, parts.to.clone()))
        .subject(subject)
        .date(SystemTime::UNIX_EPOCH + Duration::from_secs(secs))
        .message_id(Some(parts.message_id.to_owned()))
        // No person wrote it (RFC 3834), and no machine is to answer it (the second is Exchange's).
        .raw_header(fixed("Auto-Submitted", "auto-generated"))
        .raw_header(fixed("X-Auto-Response-Suppress", "All"));
    let plain = SinglePart::plain(text.clone());
    let body = match html {
        Some(html) => Body::Many(
            MultiPart::alternative().singlepart(plain).singlepart(SinglePart::html(html.clone())),
        ),
        None => Body::One(plain),
    };
    let built = match parts.enclosure {
        None => match body {
            Body::One(part) => builder.singlepart(part),
            Body::Many(parts) => builder.multipart(parts),
        },
        Some(enclosure) => {
            let json = ContentType::parse("application/json").map_err(|error| error.to_string())?;
            let file = Attachment::new(enclosure.name.to_owned());
            // As bytes: their lines and their ends must stay what they are.
            let file = file.body(enclosure.json.clone().into_bytes(), json);
            let mixed = MultiPart::mixed();
            builder.multipart(match body {
                Body::One(part) => mixed.singlepart(part).singlepart(file),
                Body::Many(parts) => mixed.multipart(parts).singlepart(file),
            })
        }
    };
    built.map(|message| message.formatted()).map_err(|error| error.to_string())
}

fn fixed(name: &'static str, value: &str) -> HeaderValue {
    HeaderValue::new(HeaderName::new_from_ascii_str(name), value.to_owned())
}

enum Body {
    One(SinglePart),
    Many(MultiPart),
}
