//! Records that tests need but are not about, and looks behind the scenes.

use jsonapi::Value as Stored;
use reqwest::header::HeaderMap;
use serde_json::{Value, json};
use testbed::{FromCell, Kind, TestDatabase};
use tollkeeper::commands::add_operator;

use crate::support::{MEDIA_TYPE, PASSWORD, Reply, TestApp, linkage};

macro_rules! migrations {
    ($($file:literal),* $(,)?) => {
        &[$(include_str!(concat!("../../../store/migrations/", $file))),*]
    };
}

const SQLITE: &[&str] = migrations![
    "sqlite/0001_initial.sql",
    "sqlite/0002_journal.sql",
    "sqlite/0003_nodes.sql",
    "sqlite/0004_throttles.sql",
    "sqlite/0005_deliveries.sql",
];
const POSTGRES: &[&str] = migrations![
    "postgres/0001_initial.sql",
    "postgres/0002_throttles.sql",
    "postgres/0003_deliveries.sql",
];

/// A database of an older version, with so many of SQLite's migrations, or of PostgreSQL's.
pub fn older(sqlite: usize, postgres: usize) -> TestDatabase {
    let database = TestDatabase::fresh();
    match database.kind() {
        Kind::Sqlite => {
            std::fs::write(database.file().unwrap(), "").unwrap();
            SQLITE[..sqlite].iter().for_each(|migration| database.execute(migration));
            database.execute(&format!("PRAGMA user_version = {sqlite}"));
        }
        Kind::Postgres => {
            POSTGRES[..postgres].iter().for_each(|migration| database.execute(migration));
            database.execute(&format!(
                "CREATE TABLE schema_versions (version BIGINT PRIMARY KEY, \
                 applied_at TIMESTAMPTZ NOT NULL DEFAULT now()); \
                 INSERT INTO schema_versions (version) SELECT generate_series(1, {postgres})"
            ));
        }
    }
    database
}

/// Records of one type in the order in which a test made them. Their ids need not rise in it, nor
/// be neighbours: PostgreSQL's writers take ids in blocks, each its own.
pub struct Made(Vec<String>);

impl Made {
    /// These ids, the first made first.
    pub fn new(ids: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self(ids.into_iter().map(Into::into).collect())
    }

    /// The id of the one with this number; the first has 1.
    pub fn id(&self, number: usize) -> &str {
        &self.0[number - 1]
    }

    /// The numbers of all in the order of their ids.
    pub fn by_id(&self) -> Vec<usize> {
        self.ordered(1..=self.0.len())
    }

    /// These numbers in the order of their ids.
    pub fn ordered(&self, numbers: impl IntoIterator<Item = usize>) -> Vec<usize> {
        let mut numbers: Vec<usize> = numbers.into_iter().collect();
        numbers.sort_by_key(|number| self.id(*number).parse::<i64>().unwrap());
        numbers
    }

    /// The numbers of the records on a list's page, in the list's order.
    pub async fn on(&self, app: &TestApp, path: &str) -> Vec<usize> {
        let number = |id| self.0.iter().position(|made| *made == id).expect("a record made here");
        app.ids(path).await.into_iter().map(|id| number(id) + 1).collect()
    }
}

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

/// A server with two accounts: `a` with id 1 and external id 1001, and `b` with external id 1 and
/// the id [`TestApp::second_account`].
pub async fn app_with_accounts() -> TestApp {
    let app = TestApp::start().await;
    app.open_two_accounts().await;
    app
}

/// The same with a second operator, and a good token of theirs.
pub async fn app_with_second_operator(name: &str) -> (TestApp, String) {
    let app = TestApp::start().await;
    add_operator(&app.app, name, PASSWORD, None).await.unwrap();
    let token = app.app.tokens.issue(2, 0, app.app.now()).unwrap();
    app.open_two_accounts().await;
    (app, token)
}

impl TestApp {
    async fn open_two_accounts(&self) {
        let contractor = self.contractor("acme").await;
        self.account(&contractor, json!({"name": "a", "external-id": 1001})).await;
        self.account(&contractor, json!({"name": "b", "external-id": 1})).await;
    }

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

    /// The id of the second one of two accounts.
    pub async fn second_account(&self) -> String {
        self.ids("/accounts?filter[external-id-eq]=1").await.remove(0)
    }

    /// Creates a contractor with this many accounts, the first of this database; their ids.
    pub async fn accounts(&self, count: i64) -> Vec<i64> {
        let contractor = self.contractor("acme").await;
        let mut ids = Vec::new();
        for number in 0..count {
            let id = self.account(&contractor, json!({"name": format!("a{number}")})).await;
            let number = id.parse().unwrap();
            let external_id = json!({"external-id": external_id(number)});
            assert_eq!(self.update("accounts", &id, external_id).await.status, 200);
            ids.push(number);
        }
        ids
    }

    /// `PATCH` of a record with these attributes.
    pub async fn update(&self, kind: &str, id: &str, attributes: Value) -> Reply {
        let data = json!({"type": kind, "id": id, "attributes": attributes});
        self.patch(&format!("/{kind}/{id}"), json!({ "data": data })).await
    }

    /// Asks for a payment of an account, with these attributes.
    pub async fn payment(&self, account: &str, attributes: Value) -> Reply {
        let links = json!({"account": linkage("accounts", account)});
        let data = json!({"type": "payments", "attributes": attributes, "relationships": links});
        self.post("/payments", json!({ "data": data })).await
    }

    /// Pays into an account and returns the payment's id.
    pub async fn pay(&self, account: &str, amount: impl Into<Value>) -> String {
        let links = json!({"account": linkage("accounts", account)});
        self.create("payments", json!({"amount": amount.into()}), links).await
    }

    /// Takes a payment back.
    pub async fn roll_back(&self, payment: &str) -> Reply {
        let headers = [("accept", MEDIA_TYPE), ("authorization", &self.token)];
        self.send("POST", &format!("/payments/{payment}/rollback"), &headers, "").await
    }

    /// Asks for a transaction of an account, with these attributes.
    pub async fn transaction(&self, account: &str, attributes: Value) -> Reply {
        let links = json!({"account": linkage("accounts", account)});
        let data =
            json!({"type": "transactions", "attributes": attributes, "relationships": links});
        self.post("/transactions", json!({ "data": data })).await
    }

    /// Charges an account and returns the transaction's id.
    pub async fn charge(&self, account: &str, amount: impl Into<Value>) -> String {
        let links = json!({"account": linkage("accounts", account)});
        self.create("transactions", json!({"amount": amount.into()}), links).await
    }

    /// Sets the balance of the account with this external id, at the URL of an account.
    pub async fn set_balance(&self, url: &str, id: impl Into<Value>, balance: Value) -> Reply {
        let attributes = json!({"balance": balance});
        let data = json!({"type": "balances", "id": id.into(), "attributes": attributes});
        let document = json!({ "data": data }).to_string();
        self.write("PUT", &format!("/accounts/{url}/balance"), document).await
    }

    /// Corrects the balance of the account with this id, at the URL of an account.
    pub async fn correct(&self, url: &str, id: impl Into<Value>, correction: Value) -> Reply {
        let attributes = json!({"correction": correction});
        let data = json!({"type": "balance-correction", "id": id.into(), "attributes": attributes});
        self.patch(&format!("/accounts/{url}/balance-correction"), json!({ "data": data })).await
    }

    /// The balances of all accounts, in the order of their names.
    pub async fn balances(&self) -> Vec<String> {
        let accounts = self.listed("/accounts?fields[accounts]=balance&sort=name").await;
        accounts.iter().map(|account| account["balance"].as_str().unwrap().to_owned()).collect()
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

    /// The attributes of the records of a list's page, in order.
    pub async fn listed(&self, path: &str) -> Vec<Value> {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        let mut json = reply.json();
        json["data"].as_array_mut().unwrap().iter_mut().map(|r| r["attributes"].take()).collect()
    }

    /// How many records a list has on all its pages.
    pub async fn total(&self, path: &str) -> u64 {
        let reply = self.get(path).await;
        assert_eq!(reply.status, 200, "{path}: {}", reply.body);
        reply.json()["meta"]["total-count"].as_u64().unwrap()
    }

    /// A write that holds only for the representation with this tag.
    pub async fn write_if(&self, method: &str, path: &str, tag: &str, document: &Value) -> Reply {
        self.write_with(&[("if-match", tag)], method, path, document.to_string()).await
    }

    /// A write with more headers than every write has.
    pub async fn write_with(
        &self,
        headers: &[(&str, &str)],
        method: &str,
        path: &str,
        body: impl Into<Vec<u8>>,
    ) -> Reply {
        let usual =
            [("accept", MEDIA_TYPE), ("content-type", MEDIA_TYPE), ("authorization", &self.token)];
        self.send(method, path, &[&usual, headers].concat(), body).await
    }

    /// Changes the database behind the server's back.
    pub fn alter(&self, sql: &str) {
        self.database.execute(sql);
    }

    /// One value out of the database itself.
    pub fn stored<T: FromCell>(&self, sql: &str) -> T {
        self.database.value(sql)
    }

    /// Puts a row into the log of mails where no courier is there to send one.
    pub fn log_mail(&self) {
        let now = self.database.literal(&Stored::Time(self.app.now()));
        self.alter(&format!(
            "INSERT INTO email_logs (id, to_address, subject, body, created_at, attempt, contact_id, \
             smtp_connection_id, event_id) VALUES (1, 'a@b.test', 's', 't', {now}, 1, 1, 1, 1)"
        ));
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
