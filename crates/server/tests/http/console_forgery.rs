//! That no other site can send a form in an operator's name.

use std::collections::{BTreeMap, BTreeSet};

use tollkeeper::api::ENDPOINTS;
use tollkeeper::commands::add_operator;

use crate::console::{Desk, Form};
use crate::console_walk::{pattern, walk};
use crate::definitions;
use crate::support::{PASSWORD, TestApp};

/// Forms of pages that no resource has.
const OF_THEIR_OWN: [&str; 9] = [
    "/sign-out",
    "/sessions",
    "/accounts/{id}/pay",
    "/accounts/edit-many",
    "/operators",
    "/operators/{id}",
    "/tasks",
    "/tasks/{id}",
    "/docs/try",
];

/// A form of each kind that there is on any page, by the pattern of its address.
async fn forms(desk: &Desk) -> BTreeMap<String, Form> {
    let pages = walk(desk).await;
    let all = pages.iter().flat_map(|page| Form::all(&page.body));
    all.map(|form| (pattern(&form.action), form)).collect()
}

#[tokio::test]
async fn every_form_there_could_be_is_on_some_page() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let found: BTreeSet<String> = forms(&desk).await.into_keys().collect();
    let mut expected: Vec<String> = OF_THEIR_OWN.map(str::to_owned).into();
    for endpoint in ENDPOINTS {
        let (root, verbs) = (format!("/{}", endpoint.resource.kind), endpoint.resource.verbs);
        if verbs.create {
            expected.push(root.clone());
        }
        if verbs.update {
            expected.push(format!("{root}/{{id}}"));
            let attributes = endpoint.resource.attributes.iter();
            // What is never answered is not shown, so it has no place to be changed in.
            let shown = attributes.filter(|one| one.on_the_wire() && !one.is_write_only());
            let names = shown.filter(|one| one.updatable).map(|one| one.name);
            let links = endpoint.resource.relationships.iter();
            let links = links.filter(|link| link.updatable).map(|link| link.name);
            expected.extend(names.chain(links).map(|name| format!("{root}/{{id}}/field/{name}")));
        }
        if verbs.delete {
            expected.push(format!("{root}/{{id}}/delete"));
        }
    }
    let missing: Vec<&String> = expected.iter().filter(|form| !found.contains(*form)).collect();
    assert_eq!(missing, [""; 0], "of {found:?}");
}

#[tokio::test]
async fn no_form_is_taken_without_the_token_of_its_own_session_or_from_another_site() {
    let app = definitions::walk().await;
    add_operator(&app.app, "other", PASSWORD, None).await.unwrap();
    let desk = Desk::of(&app).await;
    let (again, other) = (Desk::of(&app).await, Desk::by(&app, "other", PASSWORD).await);
    other.known().await;
    let own = desk.token().await;
    let foreign = [again.token().await, other.token().await];
    assert!(!foreign.contains(&own));
    let forms = forms(&desk).await;
    let before = app.dump();
    let mut count = 0;
    for form in forms.values() {
        let mut refused = async |form: &Form, headers: &[(&str, &str)], why: &str| {
            let fields: Vec<(&str, &str)> =
                form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let reply = desk.send("POST", &form.action, headers, Some(&fields)).await;
            assert_eq!(reply.status, 403, "{why}: {form:?} {reply:?}");
            assert!(reply.body.contains("Nothing was changed."), "{}", reply.body);
            assert_eq!(reply.header("set-cookie"), "", "{why}: {}", form.action);
            count += 1;
        };
        // As it stands on the page it is good: only what is said here is wrong with it.
        assert_eq!(form.value("csrf"), own, "{form:?}");
        let bare = form.clone().without("csrf");
        refused(&bare, &[], "no token").await;
        refused(&bare, &[("x-csrf-token", "")], "an empty one").await;
        refused(&form.clone().with("csrf", ""), &[], "an empty one").await;
        refused(&form.clone().with("csrf", &own[1..]), &[], "part of it").await;
        refused(&form.clone().with("csrf", &desk.cookie), &[], "the cookie").await;
        for token in &foreign {
            refused(&form.clone().with("csrf", token), &[], "of another session").await;
            refused(&bare, &[("x-csrf-token", token)], "of another session").await;
        }
        for site in ["cross-site", "same-site", "", "elsewhere"] {
            refused(form, &[("sec-fetch-site", site)], "from another site").await;
            let headers = [("sec-fetch-site", site), ("x-csrf-token", own.as_str())];
            refused(&bare, &headers, "from another site").await;
        }
    }
    assert!(count > 1_000, "{count}");
    assert!(app.dump() == before, "something has changed");
    assert!(desk.is_in().await && again.is_in().await && other.is_in().await);
}

#[tokio::test]
async fn no_file_is_taken_in_without_the_token_in_a_header() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let (own, other) = (desk.token().await, Desk::of(&app).await.token().await);
    let path = "/tasks/import/contractors?name=a.csv&begin=yes";
    let fields = [("csrf", own.as_str())];
    for headers in [
        vec![],
        vec![("x-csrf-token", "")],
        vec![("x-csrf-token", other.as_str())],
        vec![("x-csrf-token", own.as_str()), ("sec-fetch-site", "cross-site")],
        vec![("x-csrf-token", own.as_str()), ("sec-fetch-site", "same-site")],
    ] {
        let reply = desk.send("POST", path, &headers, Some(&fields)).await;
        assert_eq!(reply.status, 403, "{headers:?}: {reply:?}");
    }
    let reply = app.stranger("POST", path, &fields).await;
    assert!(reply.status == 303 && reply.header("location").starts_with("/sign-in"), "{reply:?}");
    assert_eq!(app.stored::<i64>("SELECT count(*) FROM tasks"), 0);
    // With the right one, the file is looked at: this is none of contractors.
    let reply = desk.send("POST", path, &[("x-csrf-token", &own)], Some(&fields)).await;
    assert_ne!(reply.status, 403, "{reply:?}");
}

#[tokio::test]
async fn the_door_is_shut_to_other_sites_too() {
    let app = TestApp::start().await;
    let fields = [("name", "admin"), ("password", PASSWORD)];
    let headers = [("sec-fetch-site", "cross-site")];
    let reply = app.stranger_with(&headers, "POST", "/sign-in", &fields).await;
    assert_eq!((reply.status, reply.header("set-cookie")), (403, ""));
    for site in ["same-origin", "none"] {
        let headers = [("sec-fetch-site", site)];
        let reply = app.stranger_with(&headers, "POST", "/sign-in", &fields).await;
        assert_eq!(reply.status, 303, "{site}");
    }
}

#[tokio::test]
async fn a_token_in_the_header_is_as_good_as_one_in_the_form() {
    let app = TestApp::start().await;
    let desk = Desk::of(&app).await;
    let token = desk.token().await;
    let fields = [("name", "acme"), ("enabled", "yes"), ("vendor", "yes"), ("customer", "yes")];
    let headers = [("x-csrf-token", token.as_str()), ("sec-fetch-site", "same-origin")];
    let reply = desk.send("POST", "/contractors", &headers, Some(&fields)).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    assert_eq!(app.total("/contractors").await, 1);
}

#[tokio::test]
async fn the_console_takes_no_token_of_the_api_and_the_api_no_cookie() {
    let app = definitions::walk().await;
    let desk = Desk::of(&app).await;
    let headers = [("authorization", app.token.as_str())];
    let reply = app.stranger_with(&headers, "GET", "/accounts", &[]).await;
    assert_eq!(reply.status, 303, "{reply:?}");
    let reply = desk.get("/api/rest/admin/accounts").await;
    assert_eq!(reply.status, 401, "{reply:?}");
}
