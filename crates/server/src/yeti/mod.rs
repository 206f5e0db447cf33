//! `tollkeeper import yeti`: takes over what a database of YETI holds, ids and all.
//!
//! `arrivals` makes each row the record that it is to become, `admit` lets it in or says why not,
//! `takeover` goes through the tables, `report` tells what became of them.

mod admit;
mod arrivals;
mod report;
mod takeover;

pub use takeover::Takeover;
