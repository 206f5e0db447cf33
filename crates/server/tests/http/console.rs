//! Somebody at the web console without a browser: signs in, keeps the cookie, reads pages, and sends
//! the forms that are on them.

use std::time::{Duration, Instant};

use reqwest::Method;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};

use crate::support::{PASSWORD, Reply, TestApp};

/// Longer than a change of an operator takes to be seen.
const PATIENCE: Duration = Duration::from_secs(30);
/// The cookie of a session.
const COOKIE: &str = "tollkeeper_session";

/// Somebody who is signed in.
pub struct Desk {
    client: reqwest::Client,
    origin: String,
    /// The cookie's value.
    pub cookie: String,
    /// Headers of every request, beside the cookie.
    pub headers: Vec<(&'static str, String)>,
}

/// A form of a page: where it is sent, and all that a browser would send if nobody touched it.
#[derive(Clone, Debug)]
pub struct Form {
    /// Where it is sent.
    pub action: String,
    /// Names and values, in their order.
    pub fields: Vec<(String, String)>,
}

/// A client that goes where it is sent to, and no further.
fn client() -> reqwest::Client {
    let redirect = reqwest::redirect::Policy::none();
    reqwest::Client::builder().no_proxy().redirect(redirect).build().unwrap()
}

/// A request to the console as it is sent, with these headers.
async fn ask(
    client: &reqwest::Client,
    method: Method,
    url: String,
    headers: &[(&str, &str)],
    form: Option<&[(&str, &str)]>,
) -> Reply {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        let name = HeaderName::from_bytes(name.as_bytes()).unwrap();
        map.append(name, HeaderValue::from_str(value).unwrap());
    }
    let mut request = client.request(method, url).headers(map);
    if let Some(form) = form {
        let mut body = form_urlencoded::Serializer::new(String::new());
        body.extend_pairs(form);
        let kind = "application/x-www-form-urlencoded";
        request = request.header("content-type", kind).body(body.finish());
    }
    Reply::to(request).await.expect("the server answers")
}

impl TestApp {
    /// A request by somebody without a cookie.
    pub async fn stranger(&self, method: &str, path: &str, form: &[(&str, &str)]) -> Reply {
        self.stranger_with(&[], method, path, form).await
    }

    /// The same with these headers.
    pub async fn stranger_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        form: &[(&str, &str)],
    ) -> Reply {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let form = (method == Method::POST).then_some(form);
        ask(&client(), method, format!("http://{}{path}", self.address), headers, form).await
    }

    /// What is answered to a name and a password at the door.
    pub async fn knock(&self, name: &str, password: &str) -> Reply {
        self.stranger("POST", "/sign-in", &[("name", name), ("password", password)]).await
    }
}

impl Desk {
    /// A browser in which nobody is signed in.
    pub fn of_nobody(app: &TestApp) -> Self {
        let origin = format!("http://{}", app.address);
        Self { client: client(), origin, cookie: String::new(), headers: Vec::new() }
    }

    /// Signs in, if that is answered with a cookie.
    pub async fn sign_in(&mut self, name: &str, password: &str) -> Reply {
        let fields = [("name", name), ("password", password)];
        let reply = self.send("POST", "/sign-in", &[], Some(&fields)).await;
        if reply.headers.contains_key("set-cookie") {
            self.cookie = cookie_of(&reply);
        }
        reply
    }

    /// Signs in as `admin`.
    pub async fn of(app: &TestApp) -> Self {
        Self::by(app, "admin", PASSWORD).await
    }

    /// Signs in.
    pub async fn by(app: &TestApp, name: &str, password: &str) -> Self {
        Self::with(app, name, password, &[]).await
    }

    /// Signs in with these headers, which all later requests have, too.
    pub async fn with(
        app: &TestApp,
        name: &str,
        password: &str,
        headers: &[(&'static str, &str)],
    ) -> Self {
        let fields = [("name", name), ("password", password)];
        let reply = app.stranger_with(headers, "POST", "/sign-in", &fields).await;
        assert_eq!(reply.status, 303, "{reply:?}");
        let cookie = cookie_of(&reply);
        let headers = headers.iter().map(|(name, value)| (*name, (*value).to_owned())).collect();
        Self { client: client(), origin: format!("http://{}", app.address), cookie, headers }
    }

    /// Somebody else who has got hold of the cookie.
    pub fn stolen(&self) -> Self {
        let (cookie, headers) = (self.cookie.clone(), self.headers.clone());
        Self { client: client(), origin: self.origin.clone(), cookie, headers }
    }

    /// Any request.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        form: Option<&[(&str, &str)]>,
    ) -> Reply {
        let cookie = format!("{COOKIE}={}", self.cookie);
        let mut all = Vec::new();
        if !self.cookie.is_empty() {
            all.push(("cookie", cookie.as_str()));
        }
        all.extend(self.headers.iter().map(|(name, value)| (*name, value.as_str())));
        all.extend(headers);
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        ask(&self.client, method, format!("{}{path}", self.origin), &all, form).await
    }

    /// Looks at a page.
    pub async fn get(&self, path: &str) -> Reply {
        self.send("GET", path, &[], None).await
    }

    /// What htmx gets from this path.
    pub async fn fragment(&self, path: &str) -> Reply {
        self.send("GET", path, &[("hx-request", "true")], None).await
    }

    /// A page that is there.
    pub async fn page(&self, path: &str) -> String {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.body
    }

    /// Sends a form that need not be on any page, with this session's token.
    pub async fn post(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        let token = self.token().await;
        let mut all = vec![("csrf", token.as_str())];
        all.extend(fields);
        self.post_as_it_is(path, &all).await
    }

    /// Sends these fields and no others.
    pub async fn post_as_it_is(&self, path: &str, fields: &[(&str, &str)]) -> Reply {
        self.send("POST", path, &[], Some(fields)).await
    }

    /// The token of this session's forms.
    pub async fn token(&self) -> String {
        let page = self.page("/sessions").await;
        let form = Form::on(&page, "/sessions");
        form.value("csrf").to_owned()
    }

    /// The form of a page that is sent to `action`.
    pub async fn form(&self, path: &str, action: &str) -> Form {
        Form::on(&self.page(path).await, action)
    }

    /// Sends a form as it is.
    pub async fn submit(&self, form: &Form) -> Reply {
        self.submit_with(form, &[]).await
    }

    /// As htmx sends it.
    pub async fn submit_as_fragment(&self, form: &Form) -> Reply {
        self.submit_with(form, &[("hx-request", "true")]).await
    }

    async fn submit_with(&self, form: &Form, headers: &[(&str, &str)]) -> Reply {
        let fields: Vec<(&str, &str)> =
            form.fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        self.send("POST", &form.action, headers, Some(&fields)).await
    }

    /// Waits until the server knows an operator who is new: operators are remembered for a few
    /// seconds.
    pub async fn known(&self) {
        let since = Instant::now();
        while !self.is_in().await {
            assert!(since.elapsed() < PATIENCE, "nobody knows this operator");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Waits until the session has ended, for the same reason.
    pub async fn is_out_soon(&self) {
        let since = Instant::now();
        while self.is_in().await {
            assert!(since.elapsed() < PATIENCE, "the session goes on");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// Whether the server still knows this session.
    pub async fn is_in(&self) -> bool {
        let reply = self.get("/sessions").await;
        let to_door = reply.status == 303 && reply.header("location").starts_with("/sign-in?");
        assert!(to_door || reply.status == 200, "{reply:?}");
        !to_door
    }
}

/// The value of the cookie that an answer gives to the browser.
#[track_caller]
pub fn cookie_of(reply: &Reply) -> String {
    let pair = reply.header("set-cookie").split(';').next().unwrap();
    let value = pair.strip_prefix(COOKIE).and_then(|rest| rest.strip_prefix('='));
    value.expect("a cookie").to_owned()
}

impl Form {
    /// All forms of a page that are posted, fields of their own included that stand elsewhere.
    pub fn all(page: &str) -> Vec<Self> {
        let starts = page.match_indices("<form ").map(|(at, _)| &page[at..]);
        let forms = starts.map(|rest| &rest[..rest.find("</form>").expect("a form ends")]);
        forms
            .filter(|text| attribute(first_tag(text), "method").as_deref() == Some("post"))
            .map(|text| Self {
                action: attribute(first_tag(text), "action").expect("it is sent somewhere"),
                fields: fields(text),
            })
            .collect()
    }

    /// The form of a page that is sent there.
    #[track_caller]
    pub fn on(page: &str, action: &str) -> Self {
        let found = Self::all(page).into_iter().find(|form| form.action == action);
        found.unwrap_or_else(|| panic!("no form to {action} on {page}"))
    }

    /// What is in a field.
    #[track_caller]
    pub fn value(&self, name: &str) -> &str {
        let found = self.fields.iter().find(|(field, _)| field == name);
        found.map_or_else(|| panic!("{name} of {self:?}"), |(_, value)| value.as_str())
    }

    /// The form with this in a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self.fields.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The form without a field.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.fields.retain(|(field, _)| field != name);
        self
    }
}

/// The first tag of a text, without its end.
fn first_tag(text: &str) -> &str {
    &text[..text.find('>').expect("a tag ends")]
}

/// The value of an attribute of a tag. Templates write them in double quotes, and escape them.
pub fn attribute(tag: &str, name: &str) -> Option<String> {
    let (_, rest) = tag.split_once(&format!(" {name}=\""))?;
    Some(unescape(&rest[..rest.find('"').expect("a value ends")]))
}

/// A text as it is meant.
pub fn unescape(text: &str) -> String {
    let mut meant = text.to_owned();
    for (written, character) in [("&#60;", "<"), ("&#62;", ">"), ("&#34;", "\""), ("&#39;", "'")] {
        meant = meant.replace(written, character);
    }
    meant.replace("&#38;", "&")
}

/// A text as pages have it.
pub fn escape(text: &str) -> String {
    let mut written = text.replace('&', "&#38;");
    for (character, escaped) in [("<", "&#60;"), (">", "&#62;"), ("\"", "&#34;"), ("'", "&#39;")] {
        written = written.replace(character, escaped);
    }
    written
}

/// The tags of a name, each from `<` to before its `>`.
pub fn tags<'a>(page: &'a str, name: &str) -> Vec<&'a str> {
    let begin = format!("<{name} ");
    page.match_indices(&begin).map(|(at, _)| first_tag(&page[at..])).collect()
}

/// What a form's text would send.
fn fields(text: &str) -> Vec<(String, String)> {
    let mut fields = Vec::new();
    for (at, _) in text.match_indices('<') {
        let rest = &text[at..];
        let tag = first_tag(rest);
        let Some(name) = attribute(tag, "name") else { continue };
        let content = || &rest[tag.len() + 1..];
        if tag.starts_with("<input") {
            let is_tick = tag.contains("type=\"checkbox\"");
            if !is_tick || tag.ends_with(" checked") {
                fields.push((name, attribute(tag, "value").unwrap_or_default()));
            }
        } else if tag.starts_with("<textarea") {
            let text = content().split_once("</textarea>").expect("a text ends").0;
            fields.push((name, unescape(text.strip_prefix('\n').unwrap_or(text))));
        } else if tag.starts_with("<select") {
            let options = content().split_once("</select>").expect("choices end").0;
            let options = tags(options, "option");
            let chosen = options.iter().find(|tag| tag.ends_with(" selected"));
            let chosen = chosen.or(options.first());
            fields.push((name, chosen.and_then(|tag| attribute(tag, "value")).unwrap_or_default()));
        }
    }
    fields
}
