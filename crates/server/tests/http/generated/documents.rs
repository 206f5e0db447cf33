//! Documents of every resource: mostly such as are taken, with values that are not among them.

use jsonapi::{Attribute, Kind, Relationship, Resource};
use proptest::prelude::RngExt as _;
use tollkeeper::api::API;

use super::{Generator, Request, named, quoted, snake};
use crate::nasty::{INSTANTS, JUNK, NUMBERS, UUIDS, ZONES};

impl Generator {
    /// A decimal that fits.
    pub(super) fn amount(&mut self) -> String {
        let sign = self.pick(&["", "-"]);
        match self.below(10) {
            0 => self.listed(NUMBERS).to_owned(),
            1..4 => format!("{sign}{}", self.below(1000)),
            4..7 => format!("{sign}{}.{:02}", self.below(1000), self.below(100)),
            _ => format!("{sign}{}.{:012}", self.below(100_000), self.below(1_000_000_000_000)),
        }
    }

    /// A number as JSON: bare, or in quotes.
    pub(super) fn number(&mut self, text: &str) -> String {
        let bare = serde_json::from_str::<serde_json::Number>(text).is_ok();
        if bare && self.chance(50) { text.to_owned() } else { quoted(text) }
    }

    /// JSON for an attribute that is probably welcome.
    pub(super) fn fit(&mut self, resource: &Resource, attribute: &Attribute) -> String {
        let made = self.made;
        match (resource.kind, attribute.name) {
            ("accounts" | "contractors" | "invoice-templates" | "smtp-connections", "name") => {
                let text = self.text();
                return quoted(&format!("{text} {made}"));
            }
            (_, "from-address") => return quoted(&format!("noc{made}@example.com")),
            (_, "filename") => {
                let text = self.text();
                return quoted(&format!("{text}.odt"));
            }
            (_, "timezone") => return quoted(self.listed(ZONES)),
            (_, "vat") => {
                let text = format!("{}.{:04}", self.below(100), self.below(10_000));
                return self.number(&text);
            }
            (_, "min-balance" | "balance-low-threshold") => {
                let text = format!("-{}.{:012}", self.below(300), self.below(1_000_000_000_000));
                return self.number(&text);
            }
            (_, "max-balance" | "balance-high-threshold") => {
                let text = format!("{}.{:03}", self.below(300), self.below(1_000));
                return self.number(&text);
            }
            (_, "destination-rate-limit") => return self.number(&format!("0.{made}")),
            ("accounts" | "contractors", "external-id") => {
                let small = (1 + self.below(300)).to_string();
                let text = if self.chance(90) { small } else { self.listed(NUMBERS).to_owned() };
                return self.number(&text);
            }
            ("payments", "external-id") => {
                let text = self.text();
                return quoted(&text.chars().take(200).collect::<String>());
            }
            (_, "vendor" | "customer" | "enabled") => {
                return self.pick(&["true", "true", "true", "false"]).to_owned();
            }
            _ => {}
        }
        match attribute.kind {
            Kind::Text | Kind::Json => {
                let text = self.text();
                quoted(&text)
            }
            Kind::Decimal => {
                let text = self.amount();
                self.number(&text)
            }
            Kind::Integer { listed, .. } if !listed.is_empty() => self.pick(listed).to_string(),
            Kind::Integer { min, max, .. } => {
                let span = usize::try_from(max.saturating_sub(min)).unwrap_or(usize::MAX);
                let above = i64::try_from(self.below(span.max(1))).unwrap();
                self.pick(&[min, max, min.saturating_add(above)]).to_string()
            }
            Kind::Boolean => self.pick(&["true", "false"]).to_owned(),
            Kind::Uuid => {
                let (high, low) = (self.dice.random::<u64>(), self.dice.random::<u64>());
                quoted(&uuid::Uuid::from_u64_pair(high, low).to_string())
            }
            Kind::IdList => {
                let count = self.below(4);
                let ids: Vec<String> = (0..count).map(|_| self.id("contacts")).collect();
                let ids: Vec<String> = ids.iter().map(|id| quoted(id)).collect();
                format!("[{}]", ids.join(","))
            }
            Kind::Enumeration(words) => quoted(self.pick(words)),
            Kind::Words(words) => format!("[{}]", quoted(self.pick(words))),
            Kind::Timestamp => quoted(self.listed(INSTANTS)),
        }
    }

    /// JSON for an attribute that may be anything.
    pub(super) fn wild(&mut self, resource: &Resource, attribute: &Attribute) -> String {
        if attribute.unique && self.chance(40) {
            let key = (resource.kind.to_owned(), snake(attribute.name));
            if let Some(taken) = self.values.get(&key).cloned() {
                return quoted(&self.pick(&taken));
            }
        }
        match self.below(8) {
            0 => "null".to_owned(),
            1 => self.pick(&["true", "false", "[]", "{}", "[1]", "{\"a\":[null]}"]).to_owned(),
            2 => quoted(self.listed(JUNK)),
            3 => quoted(self.listed(INSTANTS)),
            4 => quoted(self.listed(UUIDS)),
            5 => {
                let number = self.listed(NUMBERS);
                self.number(number)
            }
            _ => {
                let text = self.text();
                quoted(&text)
            }
        }
    }

    /// `"name":value` for the attributes of a document.
    pub(super) fn attributes(&mut self, resource: &'static Resource, for_update: bool) -> String {
        let writable: Vec<&Attribute> = resource
            .attributes
            .iter()
            .filter(|one| if for_update { one.updatable } else { one.creatable })
            .collect();
        let wild = self.chance(20).then(|| self.below(writable.len()));
        let mut members = Vec::new();
        for (position, attribute) in writable.into_iter().enumerate() {
            let wanted = !for_update && (attribute.required || attribute.not_null);
            let wanted = wanted || matches!(attribute.name, "vendor" | "customer" | "enabled");
            let json = if wild == Some(position) {
                self.wild(resource, attribute)
            } else if (wanted && !for_update && self.chance(99)) || self.chance(30) {
                self.fit(resource, attribute)
            } else {
                continue;
            };
            members.push(format!("{}:{json}", quoted(attribute.name)));
        }
        if self.chance(1) {
            members.push("\"balance\":5".to_owned());
        }
        members.join(",")
    }

    pub(super) fn linkage(&mut self, link: &Relationship) -> String {
        if !link.required && self.chance(25) {
            return "{\"data\":null}".to_owned();
        }
        let id = self.id(link.kind);
        let id = if self.chance(10) && id.parse::<i64>().is_ok() && !id.starts_with(['+', '0', ' '])
        {
            id
        } else {
            quoted(&id)
        };
        format!("{{\"data\":{{\"type\":{},\"id\":{id}}}}}", quoted(link.kind))
    }

    pub(super) fn document(&mut self, resource: &'static Resource, id: Option<&str>) -> String {
        self.made += 1;
        let for_update = id.is_some();
        let attributes = self.attributes(resource, for_update);
        let mut links = Vec::new();
        for link in resource.relationships {
            let open = if for_update { link.updatable } else { link.creatable };
            let percent = match (for_update, link.required) {
                (true, _) => 10,
                (false, true) => 99,
                (false, false) => 30,
            };
            if open && self.chance(percent) {
                links.push(format!("{}:{}", quoted(link.name), self.linkage(link)));
            }
        }
        let id = id.map(|id| format!("\"id\":{},", quoted(id))).unwrap_or_default();
        let links = links.join(",");
        format!(
            "{{\"data\":{{\"type\":{},{id}\"attributes\":{{{attributes}}},\
             \"relationships\":{{{links}}}}}}}",
            quoted(resource.kind)
        )
    }

    pub(super) fn create(&mut self) -> Request {
        let known = |kind: &str| self.ids.get(kind).is_some_and(|ids| ids.len() > 2);
        let (contractors, accounts) = (known("contractors"), known("accounts"));
        let kind = match self.below(100) {
            _ if !contractors => "contractors",
            _ if !accounts => "accounts",
            0..35 => "payments",
            35..50 => "transactions",
            50..72 => "accounts",
            72..80 => "contractors",
            80..92 => "contacts",
            92..96 => "invoice-templates",
            _ => "smtp-connections",
        };
        let resource = named(kind);
        let body = self.document(resource, None);
        let query = self.shape(resource);
        Request::write("POST", &format!("/{kind}{query}"), body)
    }

    pub(super) fn update(&mut self) -> Request {
        let resource = loop {
            let resource = self.pick(API.resources);
            if resource.verbs.update && resource.verbs.read {
                break resource;
            }
        };
        let id = self.id(resource.kind);
        let body = self.document(resource, Some(&id));
        let query = self.shape(resource);
        Request::write(
            self.pick(&["PATCH", "PUT"]),
            &format!("/{}/{id}{query}", resource.kind),
            body,
        )
    }
}
