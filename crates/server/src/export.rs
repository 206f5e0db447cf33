//! A list as a table: exactly the records that are filtered, all of them, page by page. Names and
//! values are those of the API, so that most of it can be taken in again.

use bytes::Bytes;
use jsonapi::{Kind, PAGE_SIZE_MAX, Resource};
use serde_json::Value as Json;
use store::Among;

use crate::auth::Caller;
use crate::csv::Lines;
use crate::inside::{Answer, Inside};

/// What is exported: records of a resource, filtered and ordered as `query` says.
#[derive(Clone, Debug)]
pub struct Export {
    /// The resource.
    pub resource: &'static Resource,
    /// Filters and order, as in the address of a list.
    pub query: Vec<(String, String)>,
}

/// Some of the lines.
#[derive(Debug)]
pub struct Part {
    /// The lines, as CSV.
    pub lines: Bytes,
    /// How many there are.
    pub count: i64,
    /// Where the next part begins; `None` when this is the last.
    pub next: Option<i64>,
}

impl Export {
    /// Where the first part begins.
    pub const BEGIN: i64 = i64::MIN;

    /// Records of a resource; of an address's query, what is no filter and no order is left out.
    #[must_use]
    pub fn of(resource: &'static Resource, query: &[(String, String)]) -> Self {
        let kept = query.iter().filter(|(key, _)| key == "sort" || key.starts_with("filter["));
        Self { resource, query: kept.cloned().collect() }
    }

    /// The names of the columns, as a line.
    #[must_use]
    pub fn header(&self) -> Bytes {
        let mut lines = Lines::default();
        let relationships = self.resource.relationships.iter().map(|link| link.name);
        lines.push(
            &std::iter::once("id").chain(self.names()).chain(relationships).collect::<Vec<_>>(),
        );
        lines.take()
    }

    /// How many records there are.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn total(&self, inside: &Inside, caller: &Caller) -> Result<i64, Box<Answer>> {
        let answer = self.ask(inside, caller, &[("page[size]", "1")], None).await?;
        Ok(answer.json()["meta"]["total-count"].as_i64().unwrap_or_default())
    }

    /// The lines behind `position`: by id where no order is asked for, so that each part costs the
    /// same and nothing is told twice while others write; else by pages.
    ///
    /// # Errors
    /// What the API refuses.
    pub async fn part(
        &self,
        inside: &Inside,
        caller: &Caller,
        position: i64,
    ) -> Result<Part, Box<Answer>> {
        let size = PAGE_SIZE_MAX.to_string();
        let is_ordered = self.query.iter().any(|(key, _)| key == "sort");
        let page = position.max(0) + 1;
        let number = page.to_string();
        let order = if is_ordered { ("page[number]", number.as_str()) } else { ("sort", "id") };
        let among = (!is_ordered).then_some(Among::After(position));
        let answer = self.ask(inside, caller, &[("page[size]", &size), order], among).await?;
        let document = answer.json();
        let records = document["data"].as_array().map(Vec::as_slice).unwrap_or_default();
        let mut lines = Lines::default();
        for record in records {
            lines.push(&self.line(record));
        }
        let last = records.last().and_then(|record| record["id"].as_str()?.parse().ok());
        let next = if is_ordered { Some(page) } else { last };
        Ok(Part {
            lines: lines.take(),
            count: i64::try_from(records.len()).unwrap_or_default(),
            next: next.filter(|_| records.len() as u64 == PAGE_SIZE_MAX),
        })
    }

    async fn ask(
        &self,
        inside: &Inside,
        caller: &Caller,
        beside: &[(&str, &str)],
        among: Option<Among>,
    ) -> Result<Answer, Box<Answer>> {
        let relationships: Vec<&str> =
            self.resource.relationships.iter().map(|link| link.name).collect();
        let fields = format!("fields[{}]", self.resource.kind);
        let mut names: Vec<&str> = self.names().collect();
        names.extend(&relationships);
        let query = form_urlencoded::Serializer::new(String::new())
            .extend_pairs(&self.query)
            .extend_pairs(beside)
            .append_pair(&fields, &names.join(","))
            // Linkage is answered for what is included.
            .append_pair("include", &relationships.join(","))
            .finish();
        let target = format!("/{}?{query}", self.resource.kind);
        let answer = inside.list(caller, &target, among).await;
        if answer.status.is_success() { Ok(answer) } else { Err(Box::new(answer)) }
    }

    fn names(&self) -> impl Iterator<Item = &'static str> {
        let attributes = self.resource.attributes.iter();
        let told = attributes.filter(|one| one.on_the_wire() && !one.is_write_only());
        told.map(|attribute| attribute.name)
    }

    fn line(&self, record: &Json) -> Vec<String> {
        let id = record["id"].as_str().unwrap_or_default().to_owned();
        let value = |name: &str| {
            let attribute = self.resource.attribute(name).map(|at| self.resource.attributes[at]);
            text(attribute.map(|attribute| attribute.kind), &record["attributes"][name])
        };
        let related = |name: &str| text(None, &record["relationships"][name]["data"]["id"]);
        let relationships = self.resource.relationships.iter().map(|link| related(link.name));
        std::iter::once(id).chain(self.names().map(value)).chain(relationships).collect()
    }
}

/// A value as imports take it.
fn text(kind: Option<Kind>, value: &Json) -> String {
    match (kind, value) {
        (_, Json::Null) => String::new(),
        (_, Json::String(text)) => text.clone(),
        (Some(Kind::IdList | Kind::Words(_)), Json::Array(values)) => {
            values.iter().map(|value| text(None, value)).collect::<Vec<_>>().join(" ")
        }
        (_, other) => other.to_string(),
    }
}
