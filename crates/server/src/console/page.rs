//! What all pages have: the frame around them and the headers that guard them.

use std::sync::LazyLock;

use askama::Template;
use hyper::StatusCode;
use jsonapi::Resource;

use super::assets;
use super::session::{Visitor, farewell};
use crate::api::ENDPOINTS;
use crate::error::ApiError;
use crate::reply::Reply;

const HTML: &str = "text/html; charset=utf-8";
/// Nothing from elsewhere, nothing inline.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' \
                      data:; connect-src 'self'; form-action 'self'; base-uri 'none'; \
                      frame-ancestors 'none'";

/// The groups of the navigation; a resource that none of them names is under the last.
const GROUPS: [(&str, &[&str]); 4] = [
    ("Trade", &["accounts", "contractors", "contacts", "payments", "transactions"]),
    ("Books", &["journal-entries", "journal-closures", "invoice-templates"]),
    (
        "Telling",
        &[
            "balance-alerts",
            "webhooks",
            "deliveries",
            "smtp-connections",
            "email-templates",
            "email-logs",
            "events",
            "balance-notifications",
        ],
    ),
    ("Operation", &["audit-records"]),
];

/// A link of the navigation.
#[derive(Clone, Debug)]
pub struct Link {
    /// Where to.
    pub url: String,
    /// What it says.
    pub label: String,
    /// Whether the page is there, or below.
    pub is_here: bool,
}

/// What is around a page.
#[derive(Clone, Debug)]
pub struct Frame {
    /// The page's name.
    pub title: String,
    /// The navigation, in groups with a name.
    pub groups: Vec<(String, Vec<Link>)>,
    /// Who is signed in; nobody at the sign-in page.
    pub operator: String,
    /// What forms must send back.
    pub csrf: String,
    /// Addresses of the assets.
    pub assets: &'static Assets,
}

/// Addresses of what every page needs.
#[derive(Debug)]
pub struct Assets {
    /// The style.
    pub css: String,
    /// The script.
    pub js: String,
    /// htmx.
    pub htmx: String,
    /// The icon.
    pub icon: String,
}

static ASSETS: LazyLock<Assets> = LazyLock::new(|| Assets {
    css: assets::url("console.css"),
    js: assets::url("console.js"),
    htmx: assets::url("htmx.js"),
    icon: assets::url("icon.svg"),
});

impl Frame {
    /// The frame of a visitor's page at this path.
    #[must_use]
    pub fn of(visitor: &Visitor, path: &str, title: String) -> Self {
        Self {
            title,
            groups: navigation(path),
            operator: visitor.operator.name.clone(),
            csrf: visitor.csrf.clone(),
            assets: &ASSETS,
        }
    }

    /// The frame of a page for nobody in particular.
    #[must_use]
    pub fn bare(title: &str) -> Self {
        Self {
            title: title.to_owned(),
            groups: Vec::new(),
            operator: String::new(),
            csrf: String::new(),
            assets: &ASSETS,
        }
    }
}

fn navigation(path: &str) -> Vec<(String, Vec<Link>)> {
    let link = |url: &str, label: &str| {
        let below = path.strip_prefix(url).is_some_and(|rest| rest.starts_with('/'));
        let is_here = path == url || (below && url != "/");
        Link { url: url.to_owned(), label: label.to_owned(), is_here }
    };
    let of = |resource: &Resource| link(&format!("/{}", resource.kind), &heading(resource.kind));
    let named = |kind: &str| GROUPS.iter().any(|(_, kinds)| kinds.contains(&kind));
    let mut groups = vec![(String::new(), vec![link("/", "Dashboard")])];
    for (name, kinds) in GROUPS {
        let of_group = kinds.iter().filter_map(|kind| served(kind)).map(of).collect();
        groups.push((name.to_owned(), of_group));
    }
    if let Some((_, links)) = groups.last_mut() {
        let others = ENDPOINTS.iter().map(|endpoint| endpoint.resource);
        links.extend(others.filter(|resource| !named(resource.kind)).map(of));
        links.extend([link("/operators", "Operators"), link("/tasks", "Tasks")]);
        links.push(link("/docs", "API reference"));
    }
    groups
}

/// The resource of this type, if it is served.
#[must_use]
pub fn served(kind: &str) -> Option<&'static Resource> {
    ENDPOINTS.iter().map(|endpoint| endpoint.resource).find(|resource| resource.kind == kind)
}

/// A name of the API as a heading: `smtp-connections` is "SMTP connections".
#[must_use]
pub fn heading(name: &str) -> String {
    let mut words: Vec<String> = name.split(['-', '_']).map(str::to_owned).collect();
    for (at, word) in words.iter_mut().enumerate() {
        match word.as_str() {
            "id" | "ip" | "url" | "smtp" | "vat" | "uuid" | "tls" => {
                *word = word.to_uppercase();
            }
            "email" => *word = if at == 0 { "E-mail".to_owned() } else { "e-mail".to_owned() },
            _ if at == 0 => {
                let first = word.chars().next().map(|first| first.to_uppercase().to_string());
                let rest: String = word.chars().skip(1).collect();
                *word = first.unwrap_or_default() + &rest;
            }
            _ => {}
        }
    }
    words.join(" ")
}

/// A page, or a part of one.
///
/// # Errors
/// When it cannot be written, which is a fault of ours.
pub fn html(status: StatusCode, template: &impl Template) -> Result<Reply, ApiError> {
    let text = template.render().map_err(|error| ApiError::Internal(error.into()))?;
    Ok(guarded(Reply::plain(status, HTML, text.into_bytes())))
}

/// A reply that belongs to one person, and that nothing from elsewhere may get into.
#[must_use]
pub fn guarded(reply: Reply) -> Reply {
    reply.with_header("content-security-policy", POLICY).kept("no-store").unvaried()
}

/// Sends the browser elsewhere, to look.
#[must_use]
pub fn see_other(target: &str) -> Reply {
    let mut reply = Reply::no_content().at(target.to_owned());
    reply.status = StatusCode::SEE_OTHER;
    guarded(reply)
}

/// Sends the browser to sign in, without its cookie.
#[must_use]
pub fn signed_out(origin: &str) -> Reply {
    see_other("/sign-in").with_header("set-cookie", &farewell(origin))
}
