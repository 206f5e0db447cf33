//! Records that tests need but are not about, and looks behind the scenes.

use reqwest::header::HeaderMap;
use rusqlite::Connection;
use rusqlite::types::FromSql;
use serde_json::{Value, json};

use crate::support::{MEDIA_TYPE, Reply, TestApp, linkage};

/// The external id of an account with this id that [`TestApp::accounts`] made.
pub fn external_id(account: i64) -> i64 {
    1_000 + account
}

/// A server with one contractor; its id.
pub async fn app_with_contractor() -> (TestApp, String) {
    let app = TestApp::start().await;
    let contractor = app.contractor("acme").await;
    (app, contractor)
}

impl TestApp {
    /// Creates a contractor that is both customer and vendor.
    pub async fn contractor(&self, name: &str) -> String {
        let attributes = json!({"name": name, "enabled": true, "vendor": true, "customer": true});
        self.create("contractors", attributes, json!({})).await
    }

    /// Creates a contact of a contractor.
    pub async fn contact(&self, contractor: &str, email: &str) -> String {
        let links = json!({"contractor": linkage("contractors", contractor)});
        self.create("contacts", json!({"email": email}), links).await
    }

    /// Asks for an account of a contractor, with these attributes.
    pub async fn open(&self, contractor: &str, attributes: Value) -> Reply {
        let links = json!({"contractor": linkage("contractors", contractor)});
        let data = json!({"type": "accounts", "attributes": attributes, "relationships": links});
        self.post("/accounts", json!({ "data": data })).await
    }

    /// Creates an account of a contractor, with these attributes, and returns its id.
    pub async fn account(&self, contractor: &str, attributes: Value) -> String {
        let reply = self.open(contractor, attributes).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        reply.json()["data"]["id"].as_str().unwrap().to_owned()
    }

    /// Creates a contractor with this many accounts, the first of this database.
    pub async fn accounts(&self, count: i64) {
        let contractor = self.contractor("acme").await;
        for id in 1..=count {
            let attributes = json!({"name": format!("a{id}"), "external-id": external_id(id)});
            assert_eq!(self.account(&contractor, attributes).await, id.to_string());
        }
    }

    /// `PATCH` of a record with these attributes.
    pub async fn update(&self, kind: &str, id: &str, attributes: Value) -> Reply {
        let data = json!({"type": kind, "id": id, "attributes": attributes});
        self.patch(&format!("/{kind}/{id}"), json!({ "data": data })).await
    }

    /// The attributes of a record.
    pub async fn attributes(&self, path: &str) -> Value {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()["data"]["attributes"].take()
    }

    /// The ids of a list's page, in order.
    pub async fn ids(&self, path: &str) -> Vec<String> {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let json = reply.json();
        let records = json["data"].as_array().unwrap().iter();
        records.map(|record| record["id"].as_str().unwrap().to_owned()).collect()
    }

    /// How many records a list has on all its pages.
    pub async fn total(&self, path: &str) -> u64 {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()["meta"]["total-count"].as_u64().unwrap()
    }

    /// A write that holds only for the representation with this tag.
    pub async fn write_if(&self, method: &str, path: &str, tag: &str, document: &Value) -> Reply {
        let headers = [
            ("accept", MEDIA_TYPE),
            ("content-type", MEDIA_TYPE),
            ("authorization", &self.token),
            ("if-match", tag),
        ];
        self.send(method, path, &headers, document.to_string()).await
    }

    /// One value out of the database itself.
    pub fn stored<T: FromSql>(&self, sql: &str) -> T {
        let connection = Connection::open(&self.database).unwrap();
        connection.query_row(sql, [], |row| row.get(0)).unwrap()
    }
}

impl Reply {
    /// Where each error points to; empty for those that point nowhere.
    pub fn pointers(&self) -> Vec<String> {
        let json = self.json();
        let errors = json["errors"].as_array().expect("an error document").iter();
        let pointers = errors.map(|error| error["source"]["pointer"].as_str().unwrap_or_default());
        pointers.map(str::to_owned).collect()
    }

    /// One attribute of the answered record.
    #[track_caller]
    pub fn attribute(&self, name: &str) -> Value {
        assert!([200, 201].contains(&self.status), "{}", self.body);
        self.json()["data"]["attributes"][name].take()
    }

    /// The headers of an answer without a body.
    pub fn bare(&self) -> &HeaderMap {
        assert_eq!(self.body, "");
        &self.headers
    }
}
