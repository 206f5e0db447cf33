//! What a task does with each of its rows: which request it makes.

use anyhow::Context;
use hyper::Method;
use jsonapi::Resource;
use serde_json::{Value as Json, json};
use store::Task;

use super::columns::Columns;
use crate::accounts::ACCOUNTS;
use crate::api::API;
use crate::contacts::CONTACTS;
use crate::contractors::CONTRACTORS;
use crate::export::Export;
use crate::payments::PAYMENTS;

/// What files can be imported of.
pub const IMPORTED: [&Resource; 4] = [&ACCOUNTS, &CONTRACTORS, &CONTACTS, &PAYMENTS];

/// The kinds of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Each row of a file becomes a record.
    Import,
    /// Many records are changed in the same way.
    Edit,
    /// Many records are deleted.
    Delete,
    /// Every balance is proved from its journal.
    Verify,
    /// A list becomes a file.
    Export,
}

impl Kind {
    const ALL: [Self; 5] = [Self::Import, Self::Edit, Self::Delete, Self::Verify, Self::Export];

    /// The word in the database.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Import => "import",
            Self::Edit => "edit",
            Self::Delete => "delete",
            Self::Verify => "verify",
            Self::Export => "export",
        }
    }

    /// The kind of a task; `None` for one that another version of the program knows.
    #[must_use]
    pub fn of(task: &Task) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.word() == task.kind)
    }

    /// Rows of a slice: what a delete takes along makes it long.
    pub(super) const fn slice_rows(self) -> usize {
        match self {
            Self::Delete => 32,
            _ => 200,
        }
    }
}

/// What is done with each row.
#[derive(Clone, Debug)]
pub enum Work {
    /// It is a row of a file with these columns: `[line, [values]]`, or `[line, "why not"]`.
    Import(Columns),
    /// It is the id of a record that is changed.
    Edit { resource: &'static Resource, attributes: Json, relationships: Json },
    /// It is the id of a record that is deleted.
    Delete(&'static Resource),
    /// There are no rows.
    Verify,
    /// There are none either; what it makes is kept in their place.
    Export(Export),
}

/// A request to the API.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: Method,
    pub target: String,
    pub body: Option<Json>,
}

impl Work {
    pub fn kind(&self) -> Kind {
        match self {
            Self::Import(_) => Kind::Import,
            Self::Edit { .. } => Kind::Edit,
            Self::Delete(_) => Kind::Delete,
            Self::Verify => Kind::Verify,
            Self::Export(_) => Kind::Export,
        }
    }

    /// What the database keeps of it.
    pub fn parameters(&self) -> Json {
        match self {
            Self::Import(columns) => json!({
                "resource": columns.resource.kind, "columns": columns.names().collect::<Vec<_>>(),
            }),
            Self::Edit { resource, attributes, relationships } => json!({
                "resource": resource.kind, "attributes": attributes,
                "relationships": relationships,
            }),
            Self::Delete(resource) => json!({ "resource": resource.kind }),
            Self::Verify => json!({}),
            Self::Export(export) => {
                json!({ "resource": export.resource.kind, "query": export.query })
            }
        }
    }

    /// What a task was asked to do.
    ///
    /// # Errors
    /// When this version of the program cannot do it.
    pub fn of(task: &Task) -> anyhow::Result<Self> {
        let kind = Kind::of(task).with_context(|| format!("there is no kind {:?}", task.kind))?;
        let parameters: Json = serde_json::from_str(&task.parameters)?;
        let resource = || {
            let name = parameters["resource"].as_str().unwrap_or_default();
            API.resource(name).with_context(|| format!("there are no {name:?}"))
        };
        Ok(match kind {
            Kind::Import => {
                let names = parameters["columns"].as_array().map(Vec::as_slice).unwrap_or_default();
                let names: Vec<&str> = names.iter().filter_map(Json::as_str).collect();
                Self::Import(Columns::of(resource()?, &names).map_err(anyhow::Error::msg)?)
            }
            Kind::Edit => Self::Edit {
                resource: resource()?,
                attributes: parameters["attributes"].clone(),
                relationships: parameters["relationships"].clone(),
            },
            Kind::Delete => Self::Delete(resource()?),
            Kind::Verify => Self::Verify,
            Kind::Export => {
                let query = serde_json::from_value(parameters["query"].clone())?;
                Self::Export(Export { resource: resource()?, query })
            }
        })
    }

    /// Where to look for what a row is about.
    pub fn place(&self, row: &Json) -> String {
        match self {
            Self::Import(_) => format!("line {}", row[0]),
            _ => row.to_string(),
        }
    }

    /// The request that a row stands for.
    ///
    /// # Errors
    /// Why there is none.
    pub fn request(&self, row: &Json) -> Result<Request, String> {
        // Answers are kept for retries, and nobody reads more of them than whether all went well.
        let brief = |resource: &Resource| format!("?fields[{}]=id", resource.kind);
        match self {
            Self::Import(columns) => {
                let resource = columns.resource;
                let values = row[1]
                    .as_array()
                    .ok_or_else(|| row[1].as_str().unwrap_or("cannot be read").to_owned())?;
                let values: Vec<&str> = values.iter().filter_map(Json::as_str).collect();
                let (attributes, relationships) = columns.members(&values)?;
                let data = json!({
                    "type": resource.kind, "attributes": attributes,
                    "relationships": relationships,
                });
                let target = format!("/{}{}", resource.kind, brief(resource));
                Ok(Request { method: Method::POST, target, body: Some(json!({ "data": data })) })
            }
            Self::Edit { resource, attributes, relationships } => {
                let data = json!({
                    "type": resource.kind, "id": row.to_string(), "attributes": attributes,
                    "relationships": relationships,
                });
                let target = format!("/{}/{row}{}", resource.kind, brief(resource));
                Ok(Request { method: Method::PATCH, target, body: Some(json!({ "data": data })) })
            }
            Self::Delete(resource) => {
                let target = format!("/{}/{row}", resource.kind);
                Ok(Request { method: Method::DELETE, target, body: None })
            }
            Self::Verify | Self::Export(_) => Err("there is nothing to ask for".to_owned()),
        }
    }
}
