//! The audit log: appended by every change of a record, readable by operators.

mod resource;

pub use resource::AUDIT_RECORDS;
