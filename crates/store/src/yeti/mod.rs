//! A database of YETI, as an import reads it: the primary one, that of the admin interface.
//!
//! Releases differ in columns: thresholds moved to a table of their own, zones became names, two
//! invoice periods became one, payments got uuids and statuses. So the columns are looked up first
//! (`Layout`), and each column that is wanted says where it may be found (`Column`). All is
//! read in one transaction, so that rows fit each other while YETI goes on working.

mod columns;
mod left_behind;
mod rows;
mod source;

use columns::Column;

pub use left_behind::LeftBehind;
pub use rows::{
    YetiAccount, YetiContact, YetiContractor, YetiInvoiceTemplate, YetiPayment, YetiRow,
    YetiSmtpConnection,
};
pub use source::{Rows, YetiError, YetiSource};
