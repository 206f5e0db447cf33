//! The web console: what a billing desk looks at all day.
//!
//! Pages are made on the server, and know no rules: what they show and change goes through the API's
//! own routes. A resource that is in the API has its pages here; those of accounts are richer.

mod account;
mod accounts;
mod assets;
mod bar;
mod cells;
mod dashboard;
mod described;
mod door;
mod export;
mod form;
mod known;
mod list;
mod operators;
mod page;
mod pairs;
mod reference;
mod refusal;
mod session;
mod show;
mod visit;
mod work;

use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use hyper::Method;
use jsonapi::Resource;

use self::visit::{Console, Page, Visit};
use crate::accounts::ACCOUNTS;
use crate::api::ENDPOINTS;
use crate::app::App;
use crate::error::ApiError;
use crate::inside::Inside;
use crate::reply::Reply;
use crate::rest::answer;

/// Every page.
pub fn router(app: &Arc<App>, inside: &Inside) -> Router {
    let console = Console::new(app, inside);
    let mut pages = Pages { router: Router::new(), console };
    pages.router = answer(pages.router, app, assets::PATH.to_owned(), assets::serve);
    pages.open("/sign-in", door::sign_in);
    pages.add("/sign-out", async |visit| {
        post_only(&visit)?;
        door::sign_out(&visit).await
    });
    pages.add("/", async |visit| dashboard::dashboard(&visit).await);
    pages.add("/docs", async |visit| reference::intro(&visit));
    pages.add("/docs/{chapter}", async |visit| reference::chapter(&visit, &id_of(&visit)));
    pages.add("/docs/try", async |visit| {
        post_only(&visit)?;
        reference::try_out(&visit).await
    });
    pages.add("/operators", async |visit| operators::operators(&visit).await);
    pages.add("/operators/{id}", async |visit| operators::operator(&visit, &id_of(&visit)).await);
    pages.add("/sessions", async |visit| door::sessions(&visit).await);
    pages.add("/tasks", async |visit| work::list(&visit).await);
    pages.open("/tasks/import/{kind}", work::import);
    pages.add("/tasks/{id}", async |visit| work::show(&visit, &id_of(&visit)).await);
    pages.add("/tasks/{id}/file", async |visit| {
        let id = id_of(&visit);
        export::made(visit, &id).await
    });
    pages.add("/accounts/edit-many", async |visit| {
        post_only(&visit)?;
        work::edit_many(&visit).await
    });
    for endpoint in ENDPOINTS {
        pages.add_resource(endpoint.resource);
    }
    pages.add("/accounts/{id}/balance", async |visit| {
        account::history(&visit, &id_of(&visit)).await
    });
    pages.add("/accounts/{id}/pay", async |visit| {
        post_only(&visit)?;
        account::pay(&visit, &id_of(&visit)).await
    });
    pages.router
}

fn post_only(visit: &Visit) -> Result<(), ApiError> {
    if visit.posts() { Ok(()) } else { Err(ApiError::method_not_allowed(&visit.method, "POST")) }
}

/// Pages, added one by one.
struct Pages {
    router: Router,
    console: Console,
}

impl Pages {
    /// Adds a page that needs nobody signed in.
    fn open<F>(&mut self, path: &str, page: fn(Console, Request) -> F)
    where
        F: Future<Output = Page> + Send + 'static,
    {
        let console = self.console.clone();
        let app = Arc::clone(&console.app);
        let router = std::mem::take(&mut self.router);
        self.router = answer(router, &app, path.to_owned(), move |_, request| {
            let page = page(console.clone(), request);
            async move { Ok(page.await.unwrap_or_else(Reply::from)) }
        });
    }

    /// Adds a page for people who are signed in.
    fn add<F, H>(&mut self, path: &str, page: H)
    where
        F: Future<Output = Page> + Send,
        H: Fn(Visit) -> F + Clone + Send + Sync + 'static,
    {
        let console = self.console.clone();
        let app = Arc::clone(&console.app);
        let router = std::mem::take(&mut self.router);
        self.router = answer(router, &app, path.to_owned(), move |_, request| {
            let (console, page) = (console.clone(), page.clone());
            async move {
                let shown = match Visit::admit(console, request).await {
                    Ok(visit) => page(visit).await,
                    Err(refusal) => Err(refusal),
                };
                Ok(shown.unwrap_or_else(Reply::from))
            }
        });
    }

    /// Adds the pages of a resource: list, record and forms, as far as it has the verbs.
    fn add_resource(&mut self, resource: &'static Resource) {
        let root = format!("/{}", resource.kind);
        let verbs = resource.verbs;
        self.add(&root, move |visit| async move {
            match visit.method {
                Method::POST if verbs.create => form::create(&visit, resource).await,
                Method::POST => {
                    Err(ApiError::method_not_allowed(&visit.method, "GET, HEAD").into())
                }
                _ if resource.kind == ACCOUNTS.kind => accounts::list(&visit).await,
                _ => list::list(&visit, resource).await,
            }
        });
        self.add(&format!("{root}/export.csv"), move |visit| export::export(visit, resource));
        self.add(&format!("{root}/choices"), move |visit| async move {
            form::suggest(&visit, resource).await
        });
        if verbs.create {
            self.add(
                &format!("{root}/new"),
                move |visit| async move { form::new(&visit, resource) },
            );
        }
        self.add(&format!("{root}/{{id}}"), move |visit| async move {
            let id = id_of(&visit);
            match visit.method {
                Method::POST if verbs.update => form::update(&visit, resource, &id).await,
                Method::POST => {
                    Err(ApiError::method_not_allowed(&visit.method, "GET, HEAD").into())
                }
                _ if resource.kind == ACCOUNTS.kind => account::show(&visit, &id).await,
                _ => show::show(&visit, resource, &id).await,
            }
        });
        if verbs.update {
            self.add(&format!("{root}/{{id}}/edit"), move |visit| async move {
                form::edit(&visit, resource, &id_of(&visit)).await
            });
            self.add(&format!("{root}/{{id}}/field/{{name}}"), move |visit| async move {
                let name = visit.path.rsplit('/').next().unwrap_or_default().to_owned();
                form::field(&visit, resource, &id_of(&visit), &name).await
            });
        }
        self.add(&format!("{root}/{{id}}/do/{{action}}"), move |visit| async move {
            post_only(&visit)?;
            let action = visit.path.rsplit('/').next().unwrap_or_default().to_owned();
            show::act(&visit, resource, &id_of(&visit), &action).await
        });
        if verbs.delete {
            self.add(&format!("{root}/{{id}}/delete"), move |visit| async move {
                post_only(&visit)?;
                show::remove(&visit, resource, &id_of(&visit)).await
            });
        }
    }
}

/// The id in the path of a record's page, as it was sent: still escaped.
fn id_of(visit: &Visit) -> String {
    visit.path.split('/').nth(2).unwrap_or_default().to_owned()
}
