//! Services, recurring charges: so far only the other end of a transaction's relationship.

mod resource;

pub use resource::SERVICES;
