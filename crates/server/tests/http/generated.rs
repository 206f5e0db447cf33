//! Requests that nobody would think of, from a seed: every resource, every declared filter and
//! sort, and values on which two databases might differ.

mod documents;
mod queries;

use std::collections::HashMap;
use std::fmt::Write as _;

use jsonapi::Resource;
use proptest::prelude::RngExt as _;
use proptest::test_runner::{RngAlgorithm, TestRng};
use serde_json::Value;
use tollkeeper::api::API;

pub use queries::walks;

use crate::nasty::{IDS, JUNK, LETTERS, TEXTS, listed};
use crate::support::{MEDIA_TYPE, Reply};

const ROOT: &str = "/api/rest/admin";
/// So many accounts, the first ones, are never deleted.
const KEPT_ACCOUNTS: usize = 3;

/// A request, without what all have in common.
#[derive(Clone, Debug)]
pub struct Request {
    pub method: &'static str,
    /// From the root, with the query.
    pub path: String,
    pub headers: Vec<(&'static str, String)>,
    pub body: String,
}

impl Request {
    pub fn get(path: impl Into<String>) -> Self {
        let path = format!("{ROOT}{}", path.into());
        let headers = vec![("accept", MEDIA_TYPE.to_owned())];
        Self { method: "GET", path, headers, body: String::new() }
    }

    fn write(method: &'static str, path: &str, body: String) -> Self {
        let mut request = Self { method, body, ..Self::get(path) };
        request.headers.push(("content-type", MEDIA_TYPE.to_owned()));
        request
    }

    /// Whether it may change something.
    pub fn writes(&self) -> bool {
        self.method != "GET"
    }
}

/// Percent-encodes everything that has a meaning in a query.
fn encoded(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            write!(out, "%{byte:02X}").expect("text takes text");
        }
    }
    out
}

/// A JSON string.
fn quoted(text: &str) -> String {
    Value::from(text).to_string()
}

fn snake(name: &str) -> String {
    name.replace('-', "_")
}

/// The resources that have lists and members.
fn readable() -> Vec<&'static Resource> {
    API.resources.iter().copied().filter(|resource| resource.verbs.read).collect()
}

fn named(kind: &str) -> &'static Resource {
    API.resource(kind).expect("a resource")
}

/// Makes requests, and learns from the answers what there is to ask for.
pub struct Generator {
    dice: TestRng,
    made: usize,
    /// Ids by type.
    ids: HashMap<String, Vec<String>>,
    /// Ids of records that were deleted.
    gone: Vec<String>,
    /// Values by type and attribute.
    values: HashMap<(String, String), Vec<String>>,
    external_ids: Vec<String>,
    /// Pages that answers link to.
    pages: Vec<String>,
    /// Tags by path.
    tags: Vec<(String, String)>,
    /// Writes that may be asked for again.
    keyed: Vec<Request>,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        Self {
            dice: TestRng::from_seed(RngAlgorithm::ChaCha, &bytes),
            made: 0,
            ids: HashMap::new(),
            gone: Vec::new(),
            values: HashMap::new(),
            external_ids: Vec::new(),
            pages: Vec::new(),
            tags: Vec::new(),
            keyed: Vec::new(),
        }
    }

    /// A number below `end`.
    pub fn below(&mut self, end: usize) -> usize {
        self.dice.random_range(0..end)
    }

    fn chance(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    fn pick<T: Clone>(&mut self, among: &[T]) -> T {
        among[self.below(among.len())].clone()
    }

    /// One of a list's.
    fn listed(&mut self, list: &'static str) -> &'static str {
        self.pick(&listed(list))
    }

    fn letter(&mut self) -> char {
        let letters: Vec<char> = LETTERS.chars().collect();
        self.pick(&letters)
    }

    /// Remembers what an answer shows.
    pub fn learn(&mut self, request: &Request, reply: &Reply) {
        const KEPT: usize = 400;
        if let ("DELETE", 204) = (request.method, reply.status) {
            self.forget(&request.path);
        }
        let Ok(json) = serde_json::from_str::<Value>(&reply.body) else { return };
        let records = match &json["data"] {
            Value::Array(records) => records.as_slice(),
            Value::Null => &[],
            record => std::slice::from_ref(record),
        };
        for record in records {
            let (Some(kind), Some(id)) = (record["type"].as_str(), record["id"].as_str()) else {
                continue;
            };
            let ids = self.ids.entry(kind.to_owned()).or_default();
            if !ids.iter().any(|known| known == id) {
                ids.push(id.to_owned());
            }
            let Some(attributes) = record["attributes"].as_object() else { continue };
            for (name, value) in attributes {
                let text = match value {
                    Value::String(text) => text.clone(),
                    Value::Null => continue,
                    other => other.to_string(),
                };
                if kind == "accounts" && name == "external-id" {
                    self.external_ids.push(text.clone());
                }
                let values = self.values.entry((kind.to_owned(), snake(name))).or_default();
                if values.len() < KEPT {
                    values.push(text);
                } else {
                    let at = self.dice.random_range(0..KEPT);
                    values[at] = text;
                }
            }
        }
        for name in ["first", "prev", "next", "last"] {
            let page = json["links"][name].as_str().and_then(|url| url.split_once(ROOT));
            if let Some((_, path)) = page {
                self.pages.push(path.to_owned());
            }
        }
        if let Some(tag) = reply.headers.get("etag") {
            let tag = tag.to_str().unwrap().to_owned();
            self.tags.push((request.path.clone(), tag));
        }
        if request.headers.iter().any(|(name, _)| *name == "idempotency-key") {
            self.keyed.push(request.clone());
        }
    }

    /// Mostly asks no more for the record at this path.
    fn forget(&mut self, path: &str) {
        let mut parts = path.trim_start_matches(ROOT).trim_start_matches('/').split('/');
        if let (Some(kind), Some(id), None) = (parts.next(), parts.next(), parts.next()) {
            self.gone.push(id.to_owned());
            if let Some(ids) = self.ids.get_mut(kind) {
                ids.retain(|known| known != id);
            }
        }
    }

    /// The next request.
    pub fn next(&mut self) -> Request {
        let mut request = match self.below(100) {
            0..24 => self.create(),
            24..34 => self.update(),
            34..37 => self.delete(),
            37..41 => self.set_balance(),
            41..45 => self.correct(),
            45..49 => self.roll_back(),
            49..52 => self.link(),
            52..55 if !self.keyed.is_empty() => {
                let keyed = self.keyed.clone();
                return self.pick(&keyed);
            }
            55..80 => self.list(),
            80..87 if !self.pages.is_empty() => {
                let pages = self.pages.clone();
                Request::get(self.pick(&pages))
            }
            87..93 => self.member(),
            93..97 => self.statement(),
            _ => self.odd(),
        };
        if request.writes() && self.chance(20) {
            let key = format!("key {}", self.below(400));
            request.headers.push(("idempotency-key", key));
        }
        if self.chance(6) {
            let tag = self.tag(&request.path);
            request
                .headers
                .push((if request.writes() { "if-match" } else { "if-none-match" }, tag));
        }
        request
    }

    /// A tag, of this path if there is one.
    fn tag(&mut self, path: &str) -> String {
        let own = self.tags.iter().rev().find(|(tagged, _)| tagged == path);
        match own.map(|(_, tag)| tag.clone()) {
            Some(tag) if self.chance(70) => tag,
            _ => self.pick(&["*", "W/\"00000000000000000000000000000000\"", "junk"]).to_owned(),
        }
    }

    /// An id of this type, perhaps one that there is not.
    fn id(&mut self, kind: &str) -> String {
        let known = self.ids.get(kind).cloned().unwrap_or_default();
        if !self.gone.is_empty() && self.chance(2) {
            let gone = self.gone.clone();
            return self.pick(&gone);
        }
        if known.is_empty() || self.chance(3) {
            return self.listed(IDS).to_owned();
        }
        // Few accounts get most of the money, so that their journals become long.
        if kind == "accounts" && self.chance(50) {
            return known[self.below(known.len().min(KEPT_ACCOUNTS))].clone();
        }
        self.pick(&known)
    }

    fn text(&mut self) -> String {
        match self.below(100) {
            0..35 => self.listed(TEXTS).to_owned(),
            35..37 => {
                let chars = 2_000 + self.below(3_000);
                (0..chars).map(|_| self.letter()).collect()
            }
            _ => {
                let chars = 1 + self.below(8);
                (0..chars).map(|_| self.letter()).collect()
            }
        }
    }

    fn delete(&mut self) -> Request {
        let kind = self.pick(&[
            "accounts",
            "contacts",
            "contacts",
            "contractors",
            "invoice-templates",
            "smtp-connections",
            "payments",
        ]);
        let id = match self.ids.get(kind).cloned() {
            // The first accounts stay, and their journals become long.
            Some(ids) if kind == "accounts" && ids.len() > KEPT_ACCOUNTS => {
                self.pick(&ids[KEPT_ACCOUNTS..])
            }
            _ if kind == "accounts" => "999999".to_owned(),
            _ => self.id(kind),
        };
        Request { method: "DELETE", ..Request::get(format!("/{kind}/{id}")) }
    }

    fn set_balance(&mut self) -> Request {
        let known = self.external_ids.clone();
        let id = if known.is_empty() { self.id("accounts") } else { self.pick(&known) };
        let url = if self.chance(80) { id.clone() } else { self.id("accounts") };
        let amount = self.amount();
        let balance =
            if self.chance(90) { self.number(&amount) } else { quoted(self.listed(JUNK)) };
        let body = format!(
            "{{\"data\":{{\"type\":\"balances\",\"id\":{},\
             \"attributes\":{{\"balance\":{balance}}}}}}}",
            quoted(&id)
        );
        Request::write("PUT", &format!("/accounts/{url}/balance"), body)
    }

    fn correct(&mut self) -> Request {
        let id = self.id("accounts");
        let amount = self.amount();
        let by = if self.chance(90) { self.number(&amount) } else { quoted(self.listed(JUNK)) };
        let body = format!(
            "{{\"data\":{{\"type\":\"balance-correction\",\"id\":{},\
             \"attributes\":{{\"correction\":{by}}}}}}}",
            quoted(&id)
        );
        Request::write("PATCH", &format!("/accounts/{id}/balance-correction"), body)
    }

    fn roll_back(&mut self) -> Request {
        let id = self.id("payments");
        let query = self.shape(named("payments"));
        let path = format!("/payments/{id}/rollback{query}");
        Request { method: "POST", ..Request::get(path) }
    }

    fn link(&mut self) -> Request {
        let kind = self.pick(&["accounts", "contractors", "contacts", "transactions"]);
        let resource = named(kind);
        let relationship = self.pick(resource.relationships);
        let id = self.id(kind);
        let path = format!("/{kind}/{id}/relationships/{}", relationship.name);
        match self.below(4) {
            0 => Request::get(path),
            1 => Request { method: "DELETE", ..Request::get(path) },
            _ => {
                let body = self.linkage(&relationship);
                Request::write("PATCH", &path, body)
            }
        }
    }

    fn odd(&mut self) -> Request {
        match self.below(5) {
            0 => Request::get("/timezones?filter[name]=Europe%2FKyiv,%00"),
            1 => Request::get("/accounts?filter=x&sort=nothing"),
            2 => Request::get(format!("/{}?filter[nothing]=1", self.pick(&readable()).kind)),
            3 => {
                let text = self.text();
                Request::write("POST", "/accounts", format!("{{\"data\":{}}}", quoted(&text)))
            }
            _ => Request::get("/operators"),
        }
    }
}
