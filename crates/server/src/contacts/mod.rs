//! Contacts: who gets mail.

mod resource;

pub use resource::CONTACTS;
