//! JSON:API 1.0 as the YETI admin API speaks it.
//!
//! A [`Resource`] is declared once, as plain data; decoding of bodies, query parsing, member
//! order, error objects and the `OpenAPI` document are all derived from it. This crate knows no
//! billing, no SQL and no HTTP framework. "Contract" in comments is the wire contract that
//! `ARCHITECTURE.md` describes; section numbers are those of its protocol part.

/// The media type of JSON:API (contract, protocol 3).
pub const MEDIA_TYPE: &str = "application/vnd.api+json";

mod attribute;
mod decode;
mod definition;
mod document;
mod error;
mod filter;
mod json;
mod naming;
mod openapi;
mod params;
mod query;
mod render;
#[cfg(test)]
mod testing;
mod value;
mod walk;

// `testing` is compiled elsewhere too, and names this crate from outside.
#[cfg(test)]
extern crate self as jsonapi;

pub use attribute::{
    Attribute, Kind, Visibility, boolean, decimal, enumeration, id_list, integer, json, text,
    timestamp, uuid, words,
};
pub use decode::read_value;
pub use definition::{
    Api, Numbering, OnDelete, Relationship, Resource, SelfLink, Target, Verbs, to_one,
};
pub use document::{Input, LinkageDocument, Operation, RecordDocument, decode_linkage, linkage};
pub use error::{Error, Fault, Place, error_document, validation_errors};
pub use filter::{Comparison, Filter, Operand, Test, instant};
pub use json::write_value;
pub use naming::{integer_id, underscore};
pub use openapi::{Info, openapi};
pub use params::Params;
pub use query::{Fieldset, Include, PAGE_SIZE_MAX, Page, Query, Scope};
pub use render::{
    Base, Included, Listing, snapshot, write_collection, write_linkage, write_member, write_record,
};
pub use value::{Id, Record, Unfit, Value};
pub use walk::{Cursor, Sort, Walk};
