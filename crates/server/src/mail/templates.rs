//! The texts of mails: the built-in ones, and those that operators write instead, by the kind of
//! event.

use jsonapi::{Fault, Place, Record, Resource, enumeration, text};
use minijinja::Value;

use super::engine::{Form, render};
use super::facts::{clean_line, sample};
use crate::events::{ALERT_CLEARED, ALERT_RAISED, EventKind};
use crate::rest::{Draft, Truth};

/// The name under which the text of digests is kept.
pub const DIGEST: &str = "digest";
/// What a template may be for: kinds of events as they are on the wire, and the digest.
const TEXTS_FOR: &[&str] = &[
    "AccountLowThesholdReached",
    "AccountLowThesholdCleared",
    "AccountHighThesholdReached",
    "AccountHighThesholdCleared",
    "BalanceAlertRaised",
    "BalanceAlertCleared",
    "PaymentPosted",
    "PaymentRolledBack",
    "AccountCreated",
    "AccountUpdated",
    "AccountDeleted",
    "AccountLimitsChanged",
    "OperatorSignedInFromNewAddress",
    "DeliveryDeadLettered",
    "WebhookTest",
    DIGEST,
];
/// Longest template of a subject, in characters.
const SUBJECT_CHARS_MAX: usize = 500;
/// Longest template of a body, in characters.
const BODY_CHARS_MAX: usize = 50_000;
/// Longest subject, in characters; what comes out longer is cut.
const SENT_SUBJECT_CHARS_MAX: usize = 200;

/// Texts that are not the built-in ones.
pub static EMAIL_TEMPLATES: Resource = Resource {
    kind: "email-templates",
    meaning: "The texts of mails of one kind, in place of the built-in ones.",
    attributes: &[
        enumeration("event-type", TEXTS_FOR, "The kind of event that it is for, or `digest`.")
            .required()
            .unique()
            .exact_filter(),
        text("subject", "Template of the subject.").required().chars_max(SUBJECT_CHARS_MAX),
        text("text-body", "Template of the plain text.")
            .required()
            .chars_max(BODY_CHARS_MAX)
            .unsortable(),
        text("html-body", "Template of the HTML; without one, the mail is plain text.")
            .chars_max(BODY_CHARS_MAX)
            .unsortable(),
    ],
    ..Resource::PLAIN
};

/// Every template must come out well with sample data.
pub fn faults(draft: &Draft, truth: &Truth) -> Vec<Fault> {
    let mut faults = draft.shape_faults(truth);
    let text = |name| draft.value(name).and_then(jsonapi::Value::as_text);
    let Some(event_type) = text("event-type") else { return faults };
    let facts = sample(event_type);
    for (name, form) in
        [("subject", Form::Plain), ("text-body", Form::Plain), ("html-body", Form::Html)]
    {
        let is_tried = !faults.iter().any(|fault| fault.place == Place::Member(name));
        if let Some(source) = text(name).filter(|_| is_tried)
            && let Err(reason) = render(source, form, &facts)
        {
            faults.push(Fault::on(name, format!("is invalid: {reason}")));
        }
    }
    faults
}

/// Templates of one mail.
#[derive(Clone, Copy, Debug)]
pub struct Texts<'a> {
    subject: &'a str,
    text: &'a str,
    html: Option<&'a str>,
}

/// What a mail says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Letter {
    /// One line, never empty.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: Option<String>,
}

impl Texts<'static> {
    /// The built-in texts of a kind of event, or of the digest.
    #[must_use]
    pub fn built_in(event_type: &str) -> Self {
        let is = |kind: &EventKind| event_type == kind.name;
        if event_type == DIGEST {
            return Self {
                subject: "{{ count }} notifications",
                text: include_str!("texts/digest.txt"),
                html: Some(include_str!("texts/digest.html")),
            };
        }
        let subject = if is(&ALERT_RAISED) {
            "Account with id {{ account_id }}: alert \"{{ alert_name }}\" raised"
        } else if is(&ALERT_CLEARED) {
            "Account with id {{ account_id }}: alert \"{{ alert_name }}\" cleared"
        } else {
            "{% if account_id %}Account with id {{ account_id }} {% endif %}{{ title }}"
        };
        Self {
            subject,
            text: include_str!("texts/event.txt"),
            html: Some(include_str!("texts/event.html")),
        }
    }
}

impl<'a> Texts<'a> {
    /// The texts of a template.
    #[must_use]
    pub fn of(template: &'a Record) -> Self {
        let text = |name| EMAIL_TEMPLATES.value(template, name).as_text();
        Self {
            subject: text("subject").unwrap_or_default(),
            text: text("text-body").unwrap_or_default(),
            html: text("html-body"),
        }
    }

    fn write(&self, facts: &Value) -> Result<Letter, String> {
        // What looks like an encoded word (RFC 2047) would be decoded by the reader, into anything.
        let subject = render(self.subject, Form::Plain, facts)?.replace("=?", "= ?");
        let subject = clean_line(&subject);
        if subject.is_empty() {
            return Err("the subject is empty".to_owned());
        }
        let html = self.html.map(|html| render(html, Form::Html, facts)).transpose()?;
        Ok(Letter {
            subject: subject.chars().take(SENT_SUBJECT_CHARS_MAX).collect(),
            text: clean_text(&render(self.text, Form::Plain, facts)?),
            html: html.as_deref().map(clean_text),
        })
    }
}

/// Writes a mail of this kind, by the operator's template if there is one and it is good.
#[must_use]
pub fn write(event_type: &str, template: Option<&Record>, facts: &Value) -> Letter {
    let by_template = template.map(|template| Texts::of(template).write(facts));
    match by_template {
        Some(Ok(letter)) => return letter,
        Some(Err(reason)) => {
            tracing::warn!(
                event_type,
                reason,
                "a template of mails fails: the built-in one is used"
            );
        }
        None => {}
    }
    Texts::built_in(event_type).write(facts).unwrap_or_else(|reason| {
        // Only data that no event has, such as a name of 200 KB, can do this.
        tracing::error!(event_type, reason, "a built-in text of mails fails");
        let subject = format!("Notification {event_type}");
        Letter { text: format!("{subject}\n"), subject, html: None }
    })
}

/// A text of lines without other control characters: no mail needs them, and PostgreSQL keeps no
/// zero.
fn clean_text(text: &str) -> String {
    let text = text.replace("\r\n", "\n").replace('\r', "\n");
    text.chars().filter(|c| !c.is_control() || matches!(c, '\n' | '\t')).collect()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::events::{CATALOGUE, HIGH_CLEARED, LOW_REACHED};

    #[test]
    fn there_may_be_a_template_for_every_kind() {
        let names = CATALOGUE.iter().map(|kind| kind.name).chain([DIGEST]);
        assert_eq!(names.collect::<BTreeSet<_>>(), TEXTS_FOR.iter().copied().collect());
    }

    #[test]
    fn built_in_texts_come_out_well() {
        for event_type in TEXTS_FOR {
            let letter = Texts::built_in(event_type).write(&sample(event_type)).unwrap();
            let whole = format!("{}{}{}", letter.subject, letter.text, letter.html.unwrap());
            assert!(!whole.contains("none") && !whole.contains("{{"), "{event_type}: {whole}");
            assert!(!letter.text.contains("\n\n\n"), "{event_type}: {}", letter.text);
        }
    }

    #[test]
    fn a_mail_says_all_that_a_billing_person_needs() {
        let letter = write(LOW_REACHED.name, None, &sample(LOW_REACHED.name));
        assert_eq!(letter.subject, "Account with id 4 low balance");
        let start = "The balance has fallen below the account's low threshold.\n\n\
                     Account:    Example <Carrier> (id 4)\n\
                     Balance:    9.5\n\
                     Threshold:  10.0\n\
                     Floor:      -10.0\n\
                     When:       1970-01-01 00:00:00 UTC\n\n\
                     Calls may be refused";
        assert!(letter.text.starts_with(start), "{}", letter.text);
        let html = letter.html.unwrap();
        assert!(html.contains("<b>Example &lt;Carrier&gt;</b>"), "{html}");
        let cleared = write(HIGH_CLEARED.name, None, &sample(HIGH_CLEARED.name));
        assert_eq!(cleared.subject, "Account with id 4 high balance cleared");
        let raised = write(ALERT_RAISED.name, None, &sample(ALERT_RAISED.name));
        assert_eq!(raised.subject, "Account with id 4: alert \"night reserve\" raised");
    }

    #[test]
    fn a_digest_is_a_line_for_each_event() {
        let letter = write(DIGEST, None, &sample(DIGEST));
        assert_eq!(letter.subject, "2 notifications");
        let lines: Vec<&str> = letter.text.lines().skip(2).collect();
        let head = "1970-01-01 00:00:00 UTC  Example <Carrier> (id 4):";
        let first = format!("{head} low balance, balance 9.5, threshold 10.0");
        let second =
            format!("{head} balance alert raised \"night reserve\", balance 9.5, threshold 10.0");
        assert_eq!(lines, [first, second]);
    }

    #[test]
    fn a_template_that_fails_gives_way_to_the_built_in_text() {
        let template = |subject: &str| Record {
            id: jsonapi::Id::Int(1),
            values: vec![
                jsonapi::Value::text(LOW_REACHED.name),
                jsonapi::Value::text(subject),
                jsonapi::Value::text("{{ data.balance }}\r\n\0"),
                jsonapi::Value::Null,
            ],
            links: Vec::new(),
        };
        let facts = sample(LOW_REACHED.name);
        let letter = |subject: &str| write(LOW_REACHED.name, Some(&template(subject)), &facts);
        let own = letter("{{ account_name }}\r\nBcc: {{ floor }}");
        let subject = "Example <Carrier> Bcc: -10.0".to_owned();
        assert_eq!(own, Letter { subject, text: "9.5\n".to_owned(), html: None });
        for bad in ["{{ nonesuch }}", "{{", "{{ account_name", "  {{ data.missing }}", "{# #} \n"] {
            assert_eq!(letter(bad).subject, "Account with id 4 low balance", "{bad}");
        }
        assert_eq!(letter(&"x".repeat(300)).subject.len(), 200);
    }
}
