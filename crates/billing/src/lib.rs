//! The rules of the trade, pure. No async, no SQL, no HTTP, and no clock: the time, like everything
//! else a rule needs, is an argument, so the same input always gives the same answer.
//! `store` and `server` stand on this crate; of ours it uses only `decimal`.

pub mod account;
pub mod alert;
pub mod chain;
pub mod forecast;
pub mod invoice_period;
pub mod journal;
pub mod limits;
pub mod overview;
pub mod threshold;
pub mod timezone;

pub use decimal::{Decimal, DecimalError};
pub use invoice_period::{InvoicePeriod, InvoiceType, NextInvoice, next_invoice};
