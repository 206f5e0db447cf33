//! All resources of the admin API, in one table.

use jsonapi::Api;

use crate::API_PREFIX;
use crate::accounts::{self, ACCOUNTS};
use crate::alerts::{self, BALANCE_ALERTS};
use crate::audit::AUDIT_RECORDS;
use crate::balances::{BALANCE_CORRECTION, BALANCES};
use crate::contacts::CONTACTS;
use crate::contractors::{self, CONTRACTORS};
use crate::events::EVENTS;
use crate::invoice_templates::{self, INVOICE_TEMPLATES};
use crate::journal::{self, JOURNAL_CLOSURES, JOURNAL_ENTRIES};
use crate::mail::{self, EMAIL_LOGS, EMAIL_TEMPLATES};
use crate::notifications::BALANCE_NOTIFICATIONS;
use crate::outbox::{DELIVERIES, WEBHOOKS};
use crate::payments::{self, PAYMENTS};
use crate::rest::Endpoint;
use crate::services::SERVICES;
use crate::smtp_connections::{self, SMTP_CONNECTIONS};
use crate::timezones::TIMEZONES;
use crate::transactions::{self, TRANSACTIONS};
use crate::webhooks;

/// The admin API.
pub static API: Api = Api {
    prefix: API_PREFIX,
    resources: &[
        &ACCOUNTS,
        &BALANCES,
        &BALANCE_CORRECTION,
        &PAYMENTS,
        &TRANSACTIONS,
        &SERVICES,
        &JOURNAL_ENTRIES,
        &JOURNAL_CLOSURES,
        &EVENTS,
        &BALANCE_NOTIFICATIONS,
        &BALANCE_ALERTS,
        &WEBHOOKS,
        &DELIVERIES,
        &EMAIL_LOGS,
        &EMAIL_TEMPLATES,
        &CONTRACTORS,
        &CONTACTS,
        &INVOICE_TEMPLATES,
        &SMTP_CONNECTIONS,
        &TIMEZONES,
        &AUDIT_RECORDS,
    ],
};

/// Accounts, which are also changed through the alerts that mirror their thresholds.
static ACCOUNT: Endpoint = Endpoint::plain(&ACCOUNTS)
    .with_faults(accounts::faults)
    .prepared_by(accounts::prepare)
    .entailing(|tx, change| Box::pin(journal::follow_account(tx, change)))
    .seen_by(|call, account| Box::pin(journal::show_as_of(call, account)));

/// The resources that the shared routes serve from the database.
pub static ENDPOINTS: &[&Endpoint] = &[
    &ACCOUNT,
    &payments::ENDPOINT,
    &transactions::ENDPOINT,
    &Endpoint::plain(&JOURNAL_ENTRIES),
    &Endpoint::plain(&JOURNAL_CLOSURES),
    &Endpoint::plain(&EVENTS),
    &Endpoint::plain(&BALANCE_NOTIFICATIONS),
    &webhooks::ENDPOINT,
    &Endpoint::plain(&BALANCE_ALERTS)
        .moving("account")
        .created_by(|tx, caller, input, moment| Box::pin(alerts::create(tx, caller, input, moment)))
        .updated_by(|tx, caller, id, input, precondition, moment| {
            Box::pin(alerts::change(tx, caller, &ACCOUNT, id, input, precondition, moment))
        })
        .deleted_by(|tx, caller, id, shown_id, precondition, moment| {
            Box::pin(alerts::remove(tx, caller, &ACCOUNT, id, shown_id, precondition, moment))
        }),
    &Endpoint::plain(&DELIVERIES),
    &Endpoint::plain(&EMAIL_LOGS),
    &Endpoint::plain(&EMAIL_TEMPLATES).with_faults(mail::faults),
    &Endpoint::plain(&CONTRACTORS).with_faults(contractors::faults),
    &Endpoint::plain(&CONTACTS),
    &Endpoint::plain(&INVOICE_TEMPLATES).with_faults(invoice_templates::faults),
    &Endpoint::plain(&SMTP_CONNECTIONS).with_faults(smtp_connections::faults),
    &Endpoint::plain(&AUDIT_RECORDS),
];
