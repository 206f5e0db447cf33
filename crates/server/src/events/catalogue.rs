//! Every kind of event that there is.

use billing::threshold::Crossing;

/// A kind of event.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EventKind {
    /// Its name on the wire, as the reference spells it where the reference has it.
    pub name: &'static str,
    /// Its name spelled right; the same where the reference has no other.
    pub alias: &'static str,
    /// What has happened, in one sentence.
    pub meaning: &'static str,
    /// Whether it is written down even if no webhook wants it.
    pub always: bool,
}

impl EventKind {
    const fn new(name: &'static str, meaning: &'static str) -> Self {
        Self { name, alias: name, meaning, always: true }
    }

    /// Misspelt on the wire.
    const fn spelled(mut self, alias: &'static str) -> Self {
        self.alias = alias;
        self
    }

    /// Written down only if a webhook wants it: the journal or the audit log has it anyway.
    const fn if_wanted(mut self) -> Self {
        self.always = false;
        self
    }

    /// The kind that tells of this crossing of a threshold.
    #[must_use]
    pub const fn of(crossing: Crossing) -> &'static Self {
        match crossing {
            Crossing::LowReached => &LOW_REACHED,
            Crossing::LowCleared => &LOW_CLEARED,
            Crossing::HighReached => &HIGH_REACHED,
            Crossing::HighCleared => &HIGH_CLEARED,
        }
    }

    /// The kind of this name or alias.
    #[must_use]
    pub fn named(name: &str) -> Option<&'static Self> {
        CATALOGUE.iter().copied().find(|kind| kind.name == name || kind.alias == name)
    }
}

/// The balance is below the low threshold.
pub static LOW_REACHED: EventKind = EventKind::new(
    Crossing::LowReached.event_type(),
    "The balance has fallen below the account's low threshold.",
)
.spelled(Crossing::LowReached.event_type_alias());
/// The balance is above the low threshold again.
pub static LOW_CLEARED: EventKind = EventKind::new(
    Crossing::LowCleared.event_type(),
    "The balance is above the account's low threshold again, or that threshold is gone.",
)
.spelled(Crossing::LowCleared.event_type_alias());
/// The balance is above the high threshold.
pub static HIGH_REACHED: EventKind = EventKind::new(
    Crossing::HighReached.event_type(),
    "The balance has risen above the account's high threshold.",
)
.spelled(Crossing::HighReached.event_type_alias());
/// The balance is below the high threshold again.
pub static HIGH_CLEARED: EventKind = EventKind::new(
    Crossing::HighCleared.event_type(),
    "The balance is below the account's high threshold again, or that threshold is gone.",
)
.spelled(Crossing::HighCleared.event_type_alias());
/// An alert of the account's own has been raised.
pub static ALERT_RAISED: EventKind =
    EventKind::new("BalanceAlertRaised", "The condition of a balance alert has come true.");
/// It is no longer raised.
pub static ALERT_CLEARED: EventKind =
    EventKind::new("BalanceAlertCleared", "The condition of a balance alert no longer holds.");
/// A payment has moved a balance.
pub static PAYMENT_POSTED: EventKind =
    EventKind::new("PaymentPosted", "A payment has moved the account's balance.").if_wanted();
/// It was taken back.
pub static PAYMENT_ROLLED_BACK: EventKind =
    EventKind::new("PaymentRolledBack", "A payment was taken back from the account's balance.")
        .if_wanted();
/// There is a new account.
pub static ACCOUNT_CREATED: EventKind =
    EventKind::new("AccountCreated", "An account was created.").if_wanted();
/// Attributes have changed.
pub static ACCOUNT_UPDATED: EventKind = EventKind::new(
    "AccountUpdated",
    "Attributes of an account were changed; its balance alone does not count.",
)
.if_wanted();
/// It is gone.
pub static ACCOUNT_DELETED: EventKind =
    EventKind::new("AccountDeleted", "An account was deleted; the data are as they were.")
        .if_wanted();
/// Limits have changed.
pub static ACCOUNT_LIMITS_CHANGED: EventKind = EventKind::new(
    "AccountLimitsChanged",
    "The floor, the ceiling, a capacity or a call limit of an account was changed.",
)
.if_wanted();
/// An operator came from where they have never come from.
pub static OPERATOR_SIGNED_IN: EventKind = EventKind::new(
    "OperatorSignedInFromNewAddress",
    "An operator has signed in from an address that they had not signed in from before.",
);
/// Nobody tries any more.
pub static DELIVERY_DEAD_LETTERED: EventKind = EventKind::new(
    "DeliveryDeadLettered",
    "An event could not be delivered to a webhook or contact, and is not tried any more.",
);
/// Somebody wants to see whether a webhook works.
pub static WEBHOOK_TEST: EventKind =
    EventKind::new("WebhookTest", "An operator asks a webhook whether it works.");

/// Every kind.
pub static CATALOGUE: [&EventKind; 15] = [
    &LOW_REACHED,
    &LOW_CLEARED,
    &HIGH_REACHED,
    &HIGH_CLEARED,
    &ALERT_RAISED,
    &ALERT_CLEARED,
    &PAYMENT_POSTED,
    &PAYMENT_ROLLED_BACK,
    &ACCOUNT_CREATED,
    &ACCOUNT_UPDATED,
    &ACCOUNT_DELETED,
    &ACCOUNT_LIMITS_CHANGED,
    &OPERATOR_SIGNED_IN,
    &DELIVERY_DEAD_LETTERED,
    &WEBHOOK_TEST,
];

/// What a webhook may want to hear of: everything, or events by name or alias.
pub const WANTED: &[&str] = &[
    "*",
    "AccountLowThesholdReached",
    "AccountLowThesholdCleared",
    "AccountHighThesholdReached",
    "AccountHighThesholdCleared",
    "AccountLowThresholdReached",
    "AccountLowThresholdCleared",
    "AccountHighThresholdReached",
    "AccountHighThresholdCleared",
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
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_can_be_wanted_is_what_there_is() {
        let told = CATALOGUE.iter().filter(|kind| **kind != &WEBHOOK_TEST);
        let names = told.flat_map(|kind| [kind.name, kind.alias]).chain(["*"]);
        let wanted: BTreeSet<&str> = WANTED.iter().copied().collect();
        assert_eq!(names.collect::<BTreeSet<_>>(), wanted);
        assert_eq!(WANTED.len(), wanted.len(), "each once");
    }
}
