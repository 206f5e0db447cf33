//! The rows that come over, one type a table. What the rules of an import may refuse is text: such
//! a number has every digit that it has in the database.

use tokio_postgres::{Error, Row};

use super::Column;
use super::columns::Place::{Own, Sql};
use super::columns::{Cell, Join};

/// A row of one of YETI's tables.
pub trait YetiRow: Sized {
    /// The table, with its schema.
    const TABLE: &'static str;
    #[doc(hidden)]
    const COLUMNS: &'static [Column];
    #[doc(hidden)]
    const JOINS: &'static [Join];

    /// Reads a row of these columns.
    #[doc(hidden)]
    fn read(row: &Row) -> Result<Self, Error>;
}

/// A type for the rows of a table: fields and where their columns are, said once.
macro_rules! rows {
    ($(#[$meta:meta])* $name:ident of $table:literal joined with $joins:expr => {
        $($(#[$field_meta:meta])* $field:ident: $kind:ty = $cell:ident $places:expr,)*
    }) => {
        $(#[$meta])*
        #[derive(Clone, Debug)]
        pub struct $name {
            $($(#[$field_meta])* pub $field: $kind,)*
        }

        impl YetiRow for $name {
            const TABLE: &'static str = $table;
            const COLUMNS: &'static [Column] =
                &[$(Column { cell: Cell::$cell, places: &$places },)*];
            const JOINS: &'static [Join] = &$joins;

            fn read(row: &Row) -> Result<Self, Error> {
                let mut columns = 0..;
                let mut next = || columns.next().unwrap_or_default();
                Ok(Self { $($field: row.try_get(next())?,)* })
            }
        }
    };
}

/// Ids, among them perhaps nulls.
type Ids = Option<Vec<Option<i64>>>;

rows! {
    /// A mail server.
    YetiSmtpConnection of "sys.smtp_connections" joined with [] => {
        /// Key.
        id: i64 = Int [Own("id")],
        /// Unique name.
        name: Option<String> = Text [Own("name")],
        /// Host name or address.
        host: Option<String> = Text [Own("host")],
        /// TCP port.
        port: Option<i64> = Int [Own("port")],
        /// Sender of the mails.
        from_address: Option<String> = Text [Own("from_address")],
        /// User name.
        auth_user: Option<String> = Text [Own("auth_user")],
        /// Password, in clear.
        auth_password: Option<String> = Text [Own("auth_password")],
        /// Whether contractors without one of their own use it.
        global: Option<bool> = Bool [Own("global")],
    }
}

rows! {
    /// An invoice template, without its document.
    YetiInvoiceTemplate of "billing.invoice_templates" joined with [] => {
        /// Key.
        id: i64 = Int [Own("id")],
        /// Unique name.
        name: Option<String> = Text [Own("name")],
        /// Name of the uploaded file.
        filename: Option<String> = Text [Own("filename")],
    }
}

rows! {
    /// A contractor.
    YetiContractor of "public.contractors" joined with [] => {
        /// Key.
        id: i64 = Int [Own("id")],
        /// Unique name.
        name: Option<String> = Text [Own("name")],
        /// Whether it is active.
        enabled: Option<bool> = Bool [Own("enabled")],
        /// Whether calls are bought from it.
        vendor: Option<bool> = Bool [Own("vendor")],
        /// Whether calls are sold to it.
        customer: Option<bool> = Bool [Own("customer")],
        /// Free text.
        description: Option<String> = Text [Own("description")],
        /// Postal address.
        address: Option<String> = Text [Own("address")],
        /// Phone numbers.
        phones: Option<String> = Text [Own("phones")],
        /// The integrator's id.
        external_id: Option<i64> = Int [Own("external_id")],
        /// Its mail server.
        smtp_connection_id: Option<i64> = Int [Own("smtp_connection_id")],
    }
}

rows! {
    /// A contact: of a contractor, or of an operator.
    YetiContact of "notifications.contacts" joined with [] => {
        /// Key.
        id: i64 = Int [Own("id")],
        /// Address.
        email: Option<String> = Text [Own("email")],
        /// Free text.
        notes: Option<String> = Text [Own("notes")],
        /// Its contractor; null for that of an operator.
        contractor_id: Option<i64> = Int [Own("contractor_id")],
    }
}

const SETTINGS: &str = "billing.account_balance_notification_settings.account_id";
const ZONES: &[&str] = &["billing.accounts.timezone_id", "sys.timezones.name"];
const CURRENCIES: &[&str] = &["billing.accounts.currency_id", "billing.currencies.name"];

rows! {
    /// An account.
    YetiAccount of "billing.accounts" joined with [
        (&[SETTINGS], "billing.account_balance_notification_settings s ON s.account_id = t.id"),
        (ZONES, "sys.timezones z ON z.id = t.timezone_id"),
        (CURRENCIES, "billing.currencies c ON c.id = t.currency_id"),
    ] => {
        /// Key.
        id: i64 = Int [Own("id")],
        /// Unique name.
        name: Option<String> = Text [Own("name")],
        /// Whose it is.
        contractor_id: Option<i64> = Int [Own("contractor_id")],
        /// What the contractor has.
        balance: Option<String> = Text [Own("balance")],
        /// Floor of the balance.
        min_balance: Option<String> = Text [Own("min_balance")],
        /// Ceiling of the balance.
        max_balance: Option<String> = Text [Own("max_balance")],
        /// Percent; 0 where there is no such column.
        vat: Option<String> = Text [Own("vat"), Sql(&[], "'0'")],
        /// Alert below.
        balance_low_threshold: Option<String> =
            Text [Sql(&[SETTINGS], "s.low_threshold"), Own("balance_low_threshold")],
        /// Alert above.
        balance_high_threshold: Option<String> =
            Text [Sql(&[SETTINGS], "s.high_threshold"), Own("balance_high_threshold")],
        /// Threshold that the balance was last found beyond: 0 none, 1 low, 2 high.
        threshold_state_id: Option<i64> = Int [Sql(&[SETTINGS], "s.state_id")],
        /// Contacts who get balance alerts.
        send_balance_notifications_to: Ids =
            Ids [Sql(&[SETTINGS], "s.send_to"), Own("send_balance_notifications_to")],
        /// Highest rate per minute.
        destination_rate_limit: Option<String> = Text [Own("destination_rate_limit")],
        /// Seconds.
        max_call_duration: Option<i64> = Int [Own("max_call_duration")],
        /// The integrator's id.
        external_id: Option<i64> = Int [Own("external_id")],
        /// Unique.
        uuid: Option<String> = Text [Own("uuid")],
        /// Calls at once as the customer.
        origination_capacity: Option<i64> = Int [Own("origination_capacity")],
        /// Calls at once as the vendor.
        termination_capacity: Option<i64> = Int [Own("termination_capacity")],
        /// Calls at once in both roles.
        total_capacity: Option<i64> = Int [Own("total_capacity")],
        /// Contacts who get invoices.
        send_invoices_to: Ids = Ids [Own("send_invoices_to")],
        /// Invoice period; the customer's, where vendors have another.
        invoice_period_id: Option<i64> =
            Int [Own("invoice_period_id"), Own("customer_invoice_period_id")],
        /// End of the period that the next invoice is for.
        next_invoice_at: Option<String> =
            Instant [Own("next_invoice_at"), Own("next_customer_invoice_at")],
        /// Type of the next invoice.
        next_invoice_type_id: Option<i64> =
            Int [Own("next_invoice_type_id"), Own("next_customer_invoice_type_id")],
        /// Name of the zone that days follow.
        timezone: Option<String> = Text [Sql(ZONES, "z.name"), Own("timezone")],
        /// Its invoice template.
        invoice_template_id: Option<i64> =
            Int [Own("invoice_template_id"), Own("customer_invoice_template_id")],
        /// Currency; 0 is the installation's own.
        currency_id: Option<i64> = Int [Own("currency_id")],
        /// The currency's code.
        currency: Option<String> = Text [Sql(CURRENCIES, "c.name"), Own("currency_name")],
        /// Whether there is no such template, which no key prevents.
        invoice_template_is_gone: Option<bool> = Bool [
            Sql(
                &["billing.accounts.invoice_template_id", "billing.invoice_templates.id"],
                "NOT EXISTS (SELECT 1 FROM billing.invoice_templates i \
                 WHERE i.id = t.invoice_template_id)",
            ),
            Sql(
                &["billing.accounts.customer_invoice_template_id", "billing.invoice_templates.id"],
                "NOT EXISTS (SELECT 1 FROM billing.invoice_templates i \
                 WHERE i.id = t.customer_invoice_template_id)",
            ),
        ],
        /// Those of `send_balance_notifications_to` that are no contacts.
        gone_from_balance_notifications: Ids = Ids [
            Sql(
                &[SETTINGS, "notifications.contacts.id"],
                "ARRAY(SELECT m FROM unnest(s.send_to) m WHERE NOT EXISTS \
                 (SELECT 1 FROM notifications.contacts k WHERE k.id = m))",
            ),
            Sql(
                &[
                    "billing.accounts.send_balance_notifications_to",
                    "notifications.contacts.id",
                ],
                "ARRAY(SELECT m FROM unnest(t.send_balance_notifications_to) m WHERE NOT EXISTS \
                 (SELECT 1 FROM notifications.contacts k WHERE k.id = m))",
            ),
        ],
        /// Those of `send_invoices_to` that are no contacts.
        gone_from_invoices: Ids = Ids [
            Sql(
                &["billing.accounts.send_invoices_to", "notifications.contacts.id"],
                "ARRAY(SELECT m FROM unnest(t.send_invoices_to) m WHERE NOT EXISTS \
                 (SELECT 1 FROM notifications.contacts k WHERE k.id = m))",
            ),
        ],
    }
}

rows! {
    /// A payment.
    YetiPayment of "billing.payments" joined with [] => {
        /// Key.
        id: i64 = Int [Own("id")],
        /// When it was made.
        created_at: Option<String> = Instant [Own("created_at")],
        /// What was added to the balance.
        amount: Option<String> = Text [Own("amount")],
        /// Shown to the customer.
        notes: Option<String> = Text [Own("notes")],
        /// Not shown to the customer.
        private_notes: Option<String> = Text [Own("private_notes")],
        /// 10 canceled, 20 completed, 30 pending, 40 rolled back; 20 where there is no such column.
        status_id: Option<i64> = Int [Own("status_id"), Sql(&[], "20")],
        /// 10 cryptomus, 20 manual; 20 where there is no such column.
        type_id: Option<i64> = Int [Own("type_id"), Sql(&[], "20")],
        /// The balance just before.
        balance_before_payment: Option<String> = Text [Own("balance_before_payment")],
        /// When it was rolled back.
        rolledback_at: Option<String> = Instant [Own("rolledback_at")],
        /// Unique.
        uuid: Option<String> = Text [Own("uuid")],
        /// Whose it is.
        account_id: Option<i64> = Int [Own("account_id")],
    }
}
