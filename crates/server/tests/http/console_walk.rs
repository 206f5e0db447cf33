//! All pages of the console that a link leads to, found as a visitor would find them.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::{Duration, Instant};

use crate::console::{Desk, attribute, tags};

/// Where a walk begins.
const START: &str = "/";
/// What is not the console's own, and no page.
const NO_PAGES: [&str; 3] = ["/api/", "/metrics", ".csv"];
/// How long the dashboard may take to know its figures.
const PATIENCE: Duration = Duration::from_secs(30);
/// More than there are kinds of pages.
const PAGES_MAX: usize = 2_000;

/// A page.
pub struct Found {
    /// Its address.
    pub url: String,
    /// Its text.
    pub body: String,
}

/// Goes wherever links lead, once to each kind of page: of addresses that differ only in ids and in
/// the values of parameters, to the first. There is a task by then, and the dashboard has its figures.
pub async fn walk(desk: &Desk) -> Vec<Found> {
    assert_eq!(desk.post("/tasks", &[]).await.status, 303);
    let since = Instant::now();
    while !desk.page("/").await.contains("As of ") {
        assert!(since.elapsed() < PATIENCE, "the figures are never known");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let mut found = Vec::new();
    let mut seen = BTreeSet::from([pattern(START)]);
    let mut waiting = VecDeque::from([(START.to_owned(), String::new())]);
    while let Some((url, from)) = waiting.pop_front() {
        let reply = desk.get(&url).await;
        assert_eq!(reply.status, 200, "{url}, which {from} links to: {}", reply.body);
        assert_eq!(reply.header("content-type"), "text/html; charset=utf-8", "{url} from {from}");
        for link in links(&reply.body) {
            if seen.insert(pattern(&link)) {
                waiting.push_back((link, url.clone()));
            }
        }
        found.push(Found { url, body: reply.body });
        assert!(found.len() < PAGES_MAX, "the console has no end: {seen:?}");
    }
    found
}

/// Where a page leads: links, and what scripts put into its place.
fn links(page: &str) -> Vec<String> {
    let of = |name: &str, value: &str| -> Vec<String> {
        tags(page, name).iter().filter_map(|tag| attribute(tag, value)).collect()
    };
    let links = [of("a", "href"), of("button", "hx-get")].concat();
    let links = links.into_iter().filter(|link| !link.starts_with('#'));
    let links = links.map(|link| link.split('#').next().unwrap_or_default().to_owned());
    links.filter(|link| !NO_PAGES.iter().any(|no_page| link.contains(no_page))).collect()
}

/// An address without what tells records apart, and without the values of parameters.
pub fn pattern(url: &str) -> String {
    let (path, query) = url.split_once('?').unwrap_or((url, ""));
    let is_id = |segment: &str| segment.starts_with(|first: char| first.is_ascii_digit());
    let segments = path.split('/').map(|segment| if is_id(segment) { "{id}" } else { segment });
    let path = segments.collect::<Vec<_>>().join("/");
    let names = form_urlencoded::parse(query.as_bytes()).map(|(name, _)| name.into_owned());
    let names: BTreeSet<String> = names.collect();
    let query: Vec<String> = names.into_iter().collect();
    if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
}

/// One page of each kind by its pattern, without those that differ only in parameters.
pub fn kinds(found: &[Found]) -> BTreeMap<String, &Found> {
    let mut kinds = BTreeMap::new();
    for page in found {
        let pattern = pattern(&page.url);
        kinds.entry(pattern.split('?').next().unwrap_or_default().to_owned()).or_insert(page);
    }
    kinds
}
