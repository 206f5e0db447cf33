//! All resources of the admin API, in one table.

use jsonapi::Api;

use crate::accounts::{self, ACCOUNTS, BALANCE_CORRECTION, BALANCES};
use crate::audit::AUDIT_RECORDS;
use crate::contacts::CONTACTS;
use crate::contractors::{self, CONTRACTORS};
use crate::invoice_templates::{self, INVOICE_TEMPLATES};
use crate::rest::Endpoint;
use crate::smtp_connections::{self, SMTP_CONNECTIONS};
use crate::timezones::TIMEZONES;

/// The admin API.
pub static API: Api = Api {
    prefix: "/api/rest/admin",
    resources: &[
        &ACCOUNTS,
        &BALANCES,
        &BALANCE_CORRECTION,
        &CONTRACTORS,
        &CONTACTS,
        &INVOICE_TEMPLATES,
        &SMTP_CONNECTIONS,
        &TIMEZONES,
        &AUDIT_RECORDS,
    ],
};

/// The resources that the shared routes serve from the database.
pub static ENDPOINTS: &[&Endpoint] = &[
    &accounts::ENDPOINT,
    &Endpoint::plain(&CONTRACTORS).with_faults(contractors::faults),
    &Endpoint::plain(&CONTACTS),
    &Endpoint::plain(&INVOICE_TEMPLATES).with_faults(invoice_templates::faults),
    &Endpoint::plain(&SMTP_CONNECTIONS).with_faults(smtp_connections::faults),
    &Endpoint::plain(&AUDIT_RECORDS),
];
