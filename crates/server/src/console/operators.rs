//! The operators: who may sign in, and from where. The rules are those of the command line.

use askama::Template;
use hyper::StatusCode;
use store::Operator;

use super::cells::moment;
use super::page::{Frame, html, see_other, signed_out};
use super::pairs::query;
use super::refusal::Refusal;
use super::visit::{Page, Visit};
use crate::audit::AUDIT_RECORDS;
use crate::error::ApiError;
use crate::operators::{self, Change, OperatorError, network_list};

#[derive(Template)]
#[template(path = "operators.html")]
struct Operators {
    frame: Frame,
    rows: Vec<Row>,
    notice: String,
    error: String,
    name: String,
    networks: String,
}

/// An operator in the list.
struct Row {
    id: i64,
    name: String,
    enabled: bool,
    networks: String,
    created: String,
    is_you: bool,
}

#[derive(Template)]
#[template(path = "operator.html")]
struct OperatorPage {
    frame: Frame,
    operator: Row,
    sessions: usize,
    notice: String,
    error: String,
    networks: String,
    /// What they did, and who changed them, in the audit log.
    did: String,
    changed: String,
}

/// Lists the operators, or adds one.
///
/// # Errors
/// When the database cannot be asked.
pub async fn operators(visit: &Visit) -> Page {
    if !visit.posts() {
        return list(visit, StatusCode::OK, String::new()).await;
    }
    let field = |name| visit.field(name).unwrap_or_default();
    let name = field("name").trim();
    match add(visit, name, field("password"), field("networks")).await {
        Ok(()) => Ok(see_other(&format!("/operators?{}", query([("added", name)])))),
        Err(error) => list(visit, StatusCode::UNPROCESSABLE_ENTITY, said(error)?).await,
    }
}

async fn add(
    visit: &Visit,
    name: &str,
    password: &str,
    networks: &str,
) -> Result<(), OperatorError> {
    let networks = network_list(&words(networks))?;
    let (app, caller) = (&visit.console.app, &visit.visitor.caller);
    operators::add(app, caller, name, password, networks).await
}

async fn list(visit: &Visit, status: StatusCode, error: String) -> Page {
    let all = visit.console.app.store.operators().await?;
    let field = |name| visit.field(name).unwrap_or_default().to_owned();
    let page = Operators {
        frame: visit.frame("Operators"),
        rows: all.iter().map(|operator| row(visit, operator)).collect(),
        notice: visit.param("added").map_or_else(String::new, |name| format!("{name} was added.")),
        error,
        name: field("name"),
        networks: field("networks"),
    };
    Ok(html(status, &page)?)
}

fn row(visit: &Visit, operator: &Operator) -> Row {
    Row {
        id: operator.id,
        name: operator.name.clone(),
        enabled: operator.enabled,
        networks: operator.allowed_ips.as_deref().unwrap_or("anywhere").replace(',', " "),
        created: moment(&operator.created_at.to_string()),
        is_you: operator.id == visit.visitor.operator.id,
    }
}

/// Networks as they are typed in, apart by spaces, commas or lines.
fn words(text: &str) -> Vec<String> {
    let words = text.split([' ', ',', ';', '\n', '\r', '\t']);
    words.filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

/// What to tell the visitor; what is no fault of theirs is told as any other failure.
fn said(error: OperatorError) -> Result<String, Refusal> {
    match error {
        OperatorError::Store(error) => Err(error.into()),
        OperatorError::Hash(error) => Err(ApiError::Internal(error).into()),
        error => {
            let text = error.to_string();
            let first = text.chars().next().map(|first| first.to_uppercase().to_string());
            let rest: String = text.chars().skip(1).collect();
            Ok(format!("{}{rest}.", first.unwrap_or_default()))
        }
    }
}

/// Shows an operator, or changes one thing about them.
///
/// # Errors
/// 404 when there is none.
pub async fn operator(visit: &Visit, id: &str) -> Page {
    let all = visit.console.app.store.operators().await?;
    let found = all.into_iter().find(|operator| operator.id.to_string() == id);
    let Some(operator) = found else {
        return Err(jsonapi::Error::path_not_found().into());
    };
    if !visit.posts() {
        return show(visit, &operator, StatusCode::OK, String::new()).await;
    }
    let done = visit.field("change").unwrap_or_default();
    let change = match change(visit, done) {
        Ok(Some(change)) => change,
        Ok(None) => return Err(jsonapi::Error::bad_request("The form is not whole.").into()),
        Err(error) => {
            let status = StatusCode::UNPROCESSABLE_ENTITY;
            return show(visit, &operator, status, said(error)?).await;
        }
    };
    let (app, caller) = (&visit.console.app, &visit.visitor.caller);
    let ends_own =
        matches!(change, Change::Password(_)) && operator.id == visit.visitor.operator.id;
    match operators::change(app, caller, &operator.name, change).await {
        Ok(()) if ends_own => Ok(signed_out(&visit.visitor.origin)),
        Ok(()) => Ok(see_other(&format!("/operators/{id}?{}", query([("done", done)])))),
        Err(error) => show(visit, &operator, StatusCode::UNPROCESSABLE_ENTITY, said(error)?).await,
    }
}

fn change(visit: &Visit, name: &str) -> Result<Option<Change>, OperatorError> {
    Ok(match name {
        "password" => visit.field("password").map(|text| Change::Password(text.to_owned())),
        "networks" => match visit.field("networks") {
            Some(networks) => Some(Change::Networks(network_list(&words(networks))?)),
            None => None,
        },
        "enable" => Some(Change::Enabled(true)),
        "disable" => Some(Change::Enabled(false)),
        _ => None,
    })
}

async fn show(visit: &Visit, operator: &Operator, status: StatusCode, error: String) -> Page {
    let sessions = visit.console.app.store.console_sessions(operator.id).await?;
    let notice = match visit.param("done") {
        Some("password") => "The password is another one. Tokens and sessions have ended.",
        Some("networks") => "The networks are others.",
        Some("enable") => "They may come in again.",
        Some("disable") => "They may come in no more: sessions have ended, and tokens are refused.",
        _ => "",
    };
    let networks = match visit.field("networks") {
        Some(typed) => typed.to_owned(),
        None => operator.allowed_ips.as_deref().unwrap_or_default().replace(',', "\n"),
    };
    let page = OperatorPage {
        frame: visit.frame(format!("Operator {}", operator.name)),
        operator: row(visit, operator),
        sessions: sessions.len(),
        notice: if error.is_empty() { notice.to_owned() } else { String::new() },
        error,
        networks,
        did: records(&[("filter[actor]", &operator.name)]),
        changed: records(&[
            ("filter[item-type]", operators::KIND),
            ("filter[item-id_eq]", &operator.id.to_string()),
        ]),
    };
    Ok(html(status, &page)?)
}

fn records(about: &[(&str, &str)]) -> String {
    let pairs = about.iter().copied().chain([("sort", "-id")]);
    format!("/{}?{}", AUDIT_RECORDS.kind, query(pairs))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks_are_typed_in_as_one_likes() {
        assert_eq!(words("10.0.0.0/8, ::1\r\n192.0.2.7"), ["10.0.0.0/8", "::1", "192.0.2.7"]);
        assert!(words(" \n").is_empty());
    }

    #[test]
    fn refusals_are_sentences() {
        let text = said(OperatorError::Taken("olga".to_owned())).unwrap();
        assert_eq!(text, "There is already an operator \"olga\".");
    }
}
