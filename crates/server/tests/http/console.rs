//! Somebody at the console: signs in, looks at pages, sends forms.

use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};

use crate::support::{PASSWORD, Reply, TestApp, client};

/// A browser without scripts.
pub struct Desk {
    client: Client,
    origin: String,
    cookie: String,
}

impl Desk {
    /// A browser in which nobody is signed in.
    pub fn of_nobody(app: &TestApp) -> Self {
        // It knows with what to speak TLS, then.
        drop(client());
        let client = Client::builder().no_proxy().redirect(Policy::none()).build().unwrap();
        Self { client, origin: format!("http://{}", app.address), cookie: String::new() }
    }

    /// A browser in which `admin` is signed in.
    pub async fn of(app: &TestApp) -> Self {
        let mut desk = Self::of_nobody(app);
        assert_eq!(desk.sign_in("admin", PASSWORD).await.status, 303);
        desk
    }

    /// Signs in, if that is answered with a cookie.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> Reply {
        let form = form(&[("name", name), ("password", password)]);
        let request = self.client.post(format!("{}/sign-in", self.origin));
        let reply = Reply::to(with_form(request, form)).await.unwrap();
        if let Some((cookie, _)) = reply.header("set-cookie").split_once(';') {
            cookie.clone_into(&mut self.cookie);
        }
        reply
    }

    /// A page.
    pub async fn get(&self, path: &str) -> Reply {
        self.part(path, false).await
    }

    /// What htmx gets from this path.
    pub async fn fragment(&self, path: &str) -> Reply {
        self.part(path, true).await
    }

    async fn part(&self, path: &str, is_fragment: bool) -> Reply {
        let mut request = self.client.get(format!("{}{path}", self.origin));
        request = request.header("cookie", &self.cookie);
        if is_fragment {
            request = request.header("hx-request", "true");
        }
        Reply::to(request).await.unwrap()
    }

    /// What forms must send back.
    pub async fn csrf(&self) -> String {
        let page = self.get("/sessions").await;
        assert_eq!(page.status, 200, "{}", page.body);
        let (_, rest) = page.body.split_once("name=\"csrf\" value=\"").expect("a form");
        rest.split('"').next().unwrap().to_owned()
    }

    /// Sends a form of a page.
    pub async fn post(&self, path: &str, pairs: &[(&str, &str)]) -> Reply {
        let csrf = self.csrf().await;
        let pairs: Vec<_> = [("csrf", csrf.as_str())].into_iter().chain(pairs.to_vec()).collect();
        self.post_as_it_is(path, &pairs).await
    }

    /// Sends these fields and no others.
    pub async fn post_as_it_is(&self, path: &str, pairs: &[(&str, &str)]) -> Reply {
        let request = self.client.post(format!("{}{path}", self.origin));
        let request = with_form(request.header("cookie", &self.cookie), form(pairs));
        Reply::to(request).await.unwrap()
    }
}

fn form(pairs: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(pairs).finish()
}

fn with_form(request: RequestBuilder, form: String) -> RequestBuilder {
    request.header("content-type", "application/x-www-form-urlencoded").body(form)
}
