//! What YETI knows of accounts and their owners that no row type carries, to be told by number.

use tokio_postgres::Client;

use super::YetiError;
use super::columns::Layout;

/// Something that stays behind.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftBehind {
    /// Table, or table and column, with the schema.
    pub what: &'static str,
    /// What that is.
    pub meaning: &'static str,
    /// Of how many rows; unknown where it may not be read.
    pub rows: Option<i64>,
}

/// A table or column, what it is, and which of its rows are meant; all where nothing is said.
type Kept = (&'static str, &'static str, Option<&'static str>);

const TABLES: &[Kept] = &[
    ("billing.services", "recurring charges", None),
    ("billing.service_types", "types of services", None),
    ("billing.transactions", "charges; the balances include them", None),
    ("billing.package_counters", "free minutes", None),
    ("billing.currencies", "currencies beside the default one", Some("id <> 0")),
    ("billing.invoices", "invoices", None),
    ("sys.api_access", "sign-ins of customers", None),
    ("sys.customer_portal_access_profiles", "what customers may see", None),
    ("gui.admin_users", "operators", None),
    ("notifications.event_subscriptions", "recipients of events", None),
    ("notifications.alerts", "recipients of events", None),
    ("logs.balance_notifications", "log of balance alerts", None),
];

const COLUMNS: &[Kept] = &[
    (
        "sys.smtp_connections.auth_type",
        "other ways to sign in than plain",
        Some("auth_type <> 'plain'"),
    ),
    ("billing.invoice_templates.data", "documents of invoice templates", Some("data IS NOT NULL")),
    (
        "billing.invoice_templates.html_template",
        "HTML of invoice templates",
        Some("html_template IS NOT NULL"),
    ),
    (
        "notifications.contacts.admin_user_id",
        "operators whose contacts these are",
        Some("admin_user_id IS NOT NULL"),
    ),
    (
        "billing.accounts.invoice_ref_template",
        "numbering of invoices",
        Some("invoice_ref_template <> '$id'"),
    ),
    (
        "billing.accounts.customer_invoice_ref_template",
        "numbering of invoices",
        Some("customer_invoice_ref_template <> '$id'"),
    ),
    (
        "billing.accounts.vendor_invoice_ref_template",
        "numbering of vendors' invoices",
        Some("vendor_invoice_ref_template <> '$id'"),
    ),
    (
        "billing.accounts.vendor_invoice_period_id",
        "invoice periods of vendors",
        Some("vendor_invoice_period_id IS NOT NULL"),
    ),
    (
        "billing.accounts.vendor_invoice_template_id",
        "invoice templates of vendors",
        Some("vendor_invoice_template_id IS NOT NULL"),
    ),
    ("billing.payments.metadata", "data of payment providers", Some("metadata IS NOT NULL")),
];

/// Counts what there is, each kind with a statement of its own.
pub async fn count(client: &Client, layout: &Layout) -> Result<Vec<LeftBehind>, YetiError> {
    let mut left_behind = Vec::new();
    for (what, meaning, meant) in TABLES.iter().chain(COLUMNS) {
        let (table, column) = match what.rsplit_once('.') {
            Some((table, _)) if table.contains('.') => (table, (*what).to_owned()),
            _ => (*what, format!("{what}.id")),
        };
        if !layout.has(&[&column]) {
            continue;
        }
        if !layout.may_read(&column) {
            left_behind.push(LeftBehind { what, meaning, rows: None });
            continue;
        }
        let condition = meant.map_or(String::new(), |meant| format!(" WHERE {meant}"));
        let sql = format!("SELECT count(*) FROM {table}{condition}");
        let counted = client.query_one(&sql, &[]).await.and_then(|row| row.try_get(0));
        let rows: i64 = counted.map_err(|source| YetiError::Read { table: what, source })?;
        if rows > 0 {
            left_behind.push(LeftBehind { what, meaning, rows: Some(rows) });
        }
    }
    Ok(left_behind)
}
