//! Lists with every declared filter, order and kind of page, members, statements.

use jsonapi::{Kind, Resource};

use super::{Generator, Request, encoded, named, readable, snake};
use crate::nasty::{IDS, INSTANTS, JUNK, NUMBERS, UUIDS};

const EQUALITY: &[&str] = &["eq", "not_eq", "in", "not_in"];

const ORDER: &[&str] = &["eq", "not_eq", "gt", "gteq", "lt", "lteq", "in", "not_in"];

const TEXTUAL: &[&str] = &["eq", "not_eq", "cont", "start", "end", "in", "not_in", "cont_any"];

/// The operators of a kind (contract, protocol 7.5).
fn operators(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Text | Kind::Json | Kind::Words(_) => TEXTUAL,
        Kind::Decimal | Kind::Integer { .. } | Kind::Timestamp => ORDER,
        Kind::Boolean => &["eq", "not_eq"],
        Kind::Uuid | Kind::Enumeration(_) => EQUALITY,
        Kind::IdList => &[],
    }
}

/// A column that a list can be filtered by.
struct Filterable {
    name: String,
    kind: Kind,
    operators: &'static [&'static str],
    /// Whether `filter[name]` is taken, and how it is spelled.
    plain: Option<String>,
}

const KEY: Kind = Kind::Integer { min: i64::MIN, max: i64::MAX, digits_only: false, listed: &[] };

fn filterables(resource: &'static Resource) -> Vec<Filterable> {
    let attributes = resource.attributes.iter().filter(|one| one.on_the_wire());
    let attributes = attributes.map(|attribute| Filterable {
        name: snake(attribute.name),
        kind: attribute.kind,
        operators: if attribute.filterable { operators(attribute.kind) } else { &[] },
        plain: attribute.exact_filter.then(|| snake(attribute.name)),
    });
    let links = resource.relationships.iter().map(|link| Filterable {
        name: format!("{}_id", snake(link.name)),
        kind: KEY,
        operators: if link.as_key { EQUALITY } else { &[] },
        plain: link.filterable.then(|| format!("{}.id", snake(link.name))),
    });
    let id = Filterable {
        name: "id".to_owned(),
        kind: KEY,
        operators: if resource.filterable_id { ORDER } else { &[] },
        plain: Some("id".to_owned()),
    };
    attributes.chain(links).chain([id]).collect()
}

/// What `sort` takes.
fn sortables(resource: &'static Resource) -> Vec<String> {
    let attributes = resource.attributes.iter().filter(|one| one.sortable && one.on_the_wire());
    let attributes = attributes.map(|attribute| attribute.name.to_owned());
    let links = resource.relationships.iter().filter(|link| link.as_key);
    let links = links.map(|link| format!("{}-id", link.name));
    attributes.chain(links).chain(["id".to_owned()]).collect()
}

impl Generator {
    /// Fieldsets and includes, now and then.
    pub(super) fn shape(&mut self, resource: &'static Resource) -> String {
        let parts = self.shape_parts(resource);
        if parts.is_empty() { String::new() } else { format!("?{}", parts.join("&")) }
    }

    pub(super) fn shape_parts(&mut self, resource: &'static Resource) -> Vec<String> {
        let mut parts = Vec::new();
        if !resource.relationships.is_empty() && self.chance(25) {
            let link = self.pick(resource.relationships);
            let beyond = named(link.kind).relationships;
            let path = if !beyond.is_empty() && self.chance(40) {
                format!("{}.{}", link.name, self.pick(beyond).name)
            } else {
                link.name.to_owned()
            };
            parts.push(format!("include={path}"));
        }
        if self.chance(15) {
            let fields: Vec<&str> =
                (0..=self.below(4)).map(|_| self.pick(resource.attributes).name).collect();
            parts.push(format!("fields[{}]={}", resource.kind, fields.join(",")));
        }
        parts
    }

    pub(super) fn list(&mut self) -> Request {
        let readable = readable();
        let resource = self.pick(&readable);
        let mut parts = self.shape_parts(resource);
        for _ in 0..self.below(3) {
            let filterables = filterables(resource);
            let column = &filterables[self.below(filterables.len())];
            let mut names: Vec<(String, &str)> =
                column.operators.iter().map(|op| (format!("{}_{op}", column.name), *op)).collect();
            names.extend(column.plain.clone().map(|name| (name, "in")));
            if names.is_empty() {
                continue;
            }
            let (name, operator) = names[self.below(names.len())].clone();
            let value = self.filter_value(resource, column, operator);
            parts.push(format!("filter[{name}]={}", encoded(&value)));
        }
        let sorts = sortables(resource);
        let keys: Vec<String> = (0..self.below(3))
            .map(|_| format!("{}{}", self.pick(&["", "-"]), self.pick(&sorts)))
            .collect();
        if !keys.is_empty() {
            parts.push(format!("sort={}", keys.join(",")));
        }
        match self.below(10) {
            0..4 => {
                parts.push(format!("page[number]={}", 1 + self.below(4)));
                parts.push(format!("page[size]={}", 1 + self.below(9)));
            }
            4..6 if resource.cursors => {
                parts.push(self.pick(&["page[after]=", "page[before]="]).to_owned());
                parts.push(format!("page[size]={}", 1 + self.below(9)));
            }
            6 => {
                let number = self.listed(NUMBERS);
                parts.push(format!("page[number]={}", encoded(number)));
            }
            _ => {}
        }
        Request::get(format!("/{}?{}", resource.kind, parts.join("&")))
    }

    /// A value for one filter: one that is there, a piece of it, or one that is nowhere.
    fn filter_value(&mut self, resource: &Resource, column: &Filterable, operator: &str) -> String {
        let several = matches!(operator, "in" | "not_in" | "cont_any");
        let count = if several { 1 + self.below(3) } else { 1 };
        let values: Vec<String> = (0..count)
            .map(|_| {
                let value = self.one_value(resource, column);
                let quotes = value.contains([',', '"', '\n', '\r']) && self.chance(90);
                if quotes { format!("\"{}\"", value.replace('"', "\"\"")) } else { value }
            })
            .collect();
        values.join(",")
    }

    fn one_value(&mut self, resource: &Resource, column: &Filterable) -> String {
        let key = (resource.kind.to_owned(), column.name.clone());
        let seen = self.values.get(&key).cloned().unwrap_or_default();
        let is_text = matches!(column.kind, Kind::Text | Kind::Json | Kind::Words(_));
        if !seen.is_empty() && self.chance(60) {
            let value = self.pick(&seen);
            if !is_text || self.chance(30) {
                return value;
            }
            // Not too long for a URL, and in another case.
            let chars: Vec<char> = value.chars().collect();
            let from = self.below(chars.len().max(1));
            let count = 1 + self.below(12);
            let piece: String = chars.iter().skip(from).take(count).collect();
            return match self.below(3) {
                0 => piece.to_uppercase(),
                1 => piece.to_lowercase(),
                _ => piece,
            };
        }
        match column.kind {
            Kind::Text | Kind::Json | Kind::Words(_) => {
                let text = self.text();
                text.chars().take(500).collect()
            }
            Kind::Decimal if self.chance(20) => self.listed(JUNK).to_owned(),
            Kind::Integer { .. } if column.name.ends_with("id") => self.listed(IDS).to_owned(),
            Kind::Decimal | Kind::Integer { .. } => self.listed(NUMBERS).to_owned(),
            Kind::Timestamp => self.listed(INSTANTS).to_owned(),
            Kind::Boolean => self.pick(&["true", "0", "f", "maybe", ""]).to_owned(),
            Kind::Uuid => self.listed(UUIDS).to_owned(),
            Kind::Enumeration(words) => {
                let word = self.pick(words);
                self.pick(&[word, "junk", ""]).to_owned()
            }
            Kind::IdList => "1".to_owned(),
        }
    }

    pub(super) fn member(&mut self) -> Request {
        let readable = readable();
        let resource = self.pick(&readable);
        let id = self.id(resource.kind);
        let mut parts = self.shape_parts(resource);
        if resource.kind == "accounts" && self.chance(60) {
            parts.push(format!("as-of={}", encoded(&self.moment())));
        }
        let below = if !resource.relationships.is_empty() && self.chance(20) {
            parts.clear();
            format!("/{}", self.pick(resource.relationships).name)
        } else {
            String::new()
        };
        Request::get(format!("/{}/{id}{below}?{}", resource.kind, parts.join("&")))
    }

    /// A moment at which an entry was made, or any other.
    pub(super) fn moment(&mut self) -> String {
        let key = ("journal-entries".to_owned(), "created_at".to_owned());
        match self.values.get(&key).cloned() {
            Some(made) if self.chance(75) => self.pick(&made),
            _ => self.listed(INSTANTS).to_owned(),
        }
    }

    pub(super) fn statement(&mut self) -> Request {
        let id = self.id("accounts");
        let mut parts = Vec::new();
        for name in ["from", "to"] {
            if self.chance(60) {
                parts.push(format!("{name}={}", encoded(&self.moment())));
            }
        }
        let mut request = Request::get(format!("/accounts/{id}/statement?{}", parts.join("&")));
        if self.chance(50) {
            request.headers = vec![("accept", "text/csv".to_owned())];
        }
        request
    }

    /// Every filter with every operator, and every order, of every resource.
    pub fn sweep(&mut self) -> Vec<Request> {
        let mut requests = Vec::new();
        for resource in readable() {
            let list = format!("/{}", resource.kind);
            for column in filterables(resource) {
                let names =
                    column.operators.iter().map(|op| (format!("{}_{op}", column.name), *op));
                let names = names.chain(column.plain.clone().map(|name| (name, "in")));
                for (name, operator) in names {
                    if matches!(column.kind, Kind::Text | Kind::Json | Kind::Words(_)) {
                        for value in ["a%00b", "a%00b,b", "%25", "_", "%5C"] {
                            requests.push(Request::get(format!("{list}?filter[{name}]={value}")));
                        }
                    }
                    for _ in 0..3 {
                        let value = encoded(&self.filter_value(resource, &column, operator));
                        requests.push(Request::get(format!("{list}?filter[{name}]={value}")));
                    }
                }
            }
            let sorts = sortables(resource);
            for sort in &sorts {
                let other = self.pick(&sorts);
                for order in [sort.clone(), format!("-{sort}"), format!("{sort},-{other},id")] {
                    requests.push(Request::get(format!("{list}?sort={order}&page[size]=100")));
                }
            }
        }
        requests
    }
}

/// The first pages of walks through every resource, to be followed to their ends.
pub fn walks() -> Vec<Request> {
    let mut requests = Vec::new();
    for resource in readable() {
        let list = format!("/{}", resource.kind);
        requests.push(Request::get(format!("{list}?page[number]=1&page[size]=50")));
        if resource.cursors {
            for sort in sortables(resource) {
                for order in [sort.clone(), format!("-{sort}")] {
                    let path = format!("{list}?sort={order}&page[size]=40&page[after]=");
                    requests.push(Request::get(path));
                    let path = format!("{list}?sort={order}&page[size]=40&page[before]=");
                    requests.push(Request::get(path));
                }
            }
        }
    }
    requests
}
