//! A mail server in Python, and an installation that sends through it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tollkeeper::courier::Courier;

use crate::python::Python;
use crate::support::{Setup, TestApp, linkage};

/// So long without a message means that there is none.
pub const QUIET: Duration = Duration::from_millis(1_500);
/// Longest time until a delivery comes to its end, with a few attempts.
const PATIENCE: Duration = Duration::from_mins(1);

/// A mail server that does as it is told.
pub struct MailServer {
    python: Python,
    /// Its port on 127.0.0.1.
    pub port: u16,
}

impl MailServer {
    /// Starts one; `mail_peer.py` says what it can be told.
    pub fn start(told: &Value) -> Self {
        let python = Python::run(include_str!("mail_peer.py"), &[&told.to_string()]);
        let port = python.line().parse().expect("a port");
        Self { python, port }
    }

    /// Starts one that takes every message.
    pub fn kind() -> Self {
        Self::start(&json!({}))
    }

    /// Lets it answer the next message like this.
    pub fn answer(&mut self, answer: &str) {
        self.python.tell(answer);
        assert_eq!(self.next()["told"], answer);
    }

    /// The next thing that happens to it.
    pub fn next(&self) -> Value {
        serde_json::from_str(&self.python.line()).unwrap()
    }

    /// What has happened, when nothing more does.
    pub fn rest(&self) -> Vec<Value> {
        let lines = self.python.lines_until_quiet(QUIET);
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A header of a message that arrived; it must be there once.
#[track_caller]
pub fn header<'a>(message: &'a Value, name: &str) -> &'a str {
    let headers = message["headers"].as_array().unwrap().iter();
    let found: Vec<&Value> =
        headers.filter(|pair| pair[0].as_str().unwrap().eq_ignore_ascii_case(name)).collect();
    assert_eq!(found.len(), 1, "{name} of {message}");
    found[0][1].as_str().unwrap()
}

/// The content of the part of this type; it must be there once.
#[track_caller]
pub fn content<'a>(message: &'a Value, media_type: &str) -> &'a str {
    let parts = message["parts"].as_array().unwrap().iter();
    let found: Vec<&Value> = parts.filter(|part| part["type"] == media_type).collect();
    assert_eq!(found.len(), 1, "{media_type} of {message}");
    found[0]["content"].as_str().unwrap()
}

/// An account whose threshold is told to a contact by mail.
pub struct Post {
    /// The installation.
    pub app: TestApp,
    /// The contractor.
    pub contractor: String,
    /// The contact.
    pub contact: String,
    /// The SMTP connection.
    pub connection: String,
    /// The account.
    pub account: String,
    /// Who delivers.
    _courier: Courier,
}

impl Post {
    /// An installation whose mail goes through this server.
    pub async fn through(server: &MailServer) -> Self {
        Self::with(Setup::default(), server.port, json!({})).await
    }

    /// The same, set up like this, with these attributes of the connection.
    pub async fn with(setup: Setup, port: u16, connection: Value) -> Self {
        let app = TestApp::start_as(setup).await;
        let courier = Courier::start(&app.app);
        let mut attributes = json!({
            "name": "relay", "host": "127.0.0.1", "port": port, "from-address": "billing@carrier.test",
        });
        for (name, value) in connection.as_object().unwrap() {
            attributes[name] = value.clone();
        }
        let connection = app.create("smtp-connections", attributes, json!({})).await;
        let contractor = app.contractor("acme").await;
        let contact = app.contact(&contractor, "noc@customer.test").await;
        let attributes = json!({
            "name": "main", "balance-low-threshold": 0, "min-balance": -10, "timezone": "Europe/Kyiv",
            "send-balance-notifications-to": [contact],
        });
        let account = app.account(&contractor, attributes).await;
        app.pay(&account, "5").await;
        Self { app, contractor, contact, connection, account, _courier: courier }
    }

    /// Makes the balance cross its threshold, downwards.
    pub async fn fall(&self) {
        self.app.pay(&self.account, "-10").await;
    }

    /// Makes the balance cross its threshold, upwards.
    pub async fn rise(&self) {
        self.app.pay(&self.account, "10").await;
    }

    /// The states of all deliveries, in their order, when none is waiting any more.
    pub async fn settled(&self) -> Vec<String> {
        let since = Instant::now();
        loop {
            let deliveries = self.app.listed("/deliveries?page[size]=1000&sort=id").await;
            let states: Vec<&str> =
                deliveries.iter().map(|one| one["state"].as_str().unwrap()).collect();
            if !states.is_empty() && !states.contains(&"pending") {
                return states.into_iter().map(str::to_owned).collect();
            }
            assert!(since.elapsed() < PATIENCE, "{deliveries:?}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }

    /// The log of mails, the first attempt first.
    pub async fn log(&self) -> Vec<Value> {
        self.app.listed("/email-logs?page[size]=1000&sort=id").await
    }

    /// Sends a test mail through the connection.
    pub async fn test(&self, to: &str) -> crate::support::Reply {
        let data = json!({
            "type": "smtp-connections", "id": self.connection, "attributes": {"to": to},
        });
        let path = format!("/smtp-connections/{}/test", self.connection);
        self.app.post(&path, json!({ "data": data })).await
    }

    /// Another contact of the contractor, and all of them as recipients of the account.
    pub async fn recipients(&self, emails: &[&str]) -> Vec<String> {
        let mut contacts = Vec::new();
        for email in emails {
            contacts.push(self.app.contact(&self.contractor, email).await);
        }
        let attributes = json!({"send-balance-notifications-to": contacts});
        assert_eq!(self.app.update("accounts", &self.account, attributes).await.status, 200);
        contacts
    }

    /// Lets the contractor's mail go through this connection.
    pub async fn use_connection(&self, connection: &str) {
        let data = json!({
            "type": "contractors", "id": self.contractor,
            "relationships": {"smtp-connection": linkage("smtp-connections", connection)},
        });
        let path = format!("/contractors/{}", self.contractor);
        assert_eq!(self.app.patch(&path, json!({ "data": data })).await.status, 200);
    }
}
