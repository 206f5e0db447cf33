//! What is asked over HTTP, and which rows it costs.

use tollkeeper::api::API;

use crate::pgbench::Limit;

/// One kind of request.
#[derive(Clone, Copy)]
pub struct Scenario {
    /// What the table calls it.
    pub name: &'static str,
    /// The smallest database that it makes sense on.
    pub accounts_min: u64,
    /// The rows that a write touches, as the report tells them.
    pub rows: &'static str,
    /// What PostgreSQL by itself is asked for, to compare.
    pub limit: Limit,
    /// The status of the answer.
    pub expected_status: &'static [u8; 3],
    /// Request number so and so, on so many accounts.
    pub request: fn(number: u64, accounts: u64) -> Request,
}

/// What a scenario sends.
pub struct Request {
    method: &'static str,
    /// Below the prefix of the API; of the constant answer, all of it.
    path: String,
    idempotency_key: Option<String>,
    body: String,
}

/// Accounts that payments are spread over.
pub const PAID_ACCOUNTS: u64 = 10_000;
/// The constant answer: A.
pub const CONSTANT: &str = "A constant 1 KB";
/// Reads that find their row by its key.
pub const GET_ONE: &str = "GET one";
/// Pages that are short and near the beginning.
pub const LIST: &str = "list page of 50";
/// The founding document.
pub const CREATE: &str = "POST create";
/// Payments over [`PAID_ACCOUNTS`].
pub const SPREAD_PAYMENTS: &str = "POST payment, 10k accounts";
/// Payments that all wait for the same account.
pub const HOT_PAYMENTS: &str = "POST payment, one account";

const PAYMENT_ROWS: &str =
    "1 payment, 1 journal entry, 2 audit records inserted; 1 account updated";

/// Everything that is measured. Creates come last: they change the size of the database.
pub const SCENARIOS: [Scenario; 9] = [
    Scenario::read(CONSTANT, |_, _| Request::get("/constant".to_owned())),
    Scenario::read(GET_ONE, |number, accounts| {
        Request::get(format!("/accounts/{}", pick(number, accounts)))
    }),
    Scenario::read(LIST, |number, _| {
        Request::get(format!("/accounts?page[number]={}", number % 20 + 1))
    }),
    Scenario::read("list, include contractor", |number, _| {
        Request::get(format!("/accounts?include=contractor&page[number]={}", number % 20 + 1))
    }),
    Scenario {
        name: "PATCH",
        accounts_min: 1,
        rows: "1 audit record inserted; 1 account updated",
        limit: Limit::Insert,
        expected_status: b"200",
        request: |number, accounts| {
            let id = pick(number, accounts);
            let vat = number % 100;
            let body = format!(
                r#"{{"data":{{"type":"accounts","id":"{id}","attributes":{{"vat":"{vat}.5"}}}}}}"#
            );
            Request {
                method: "PATCH",
                path: format!("/accounts/{id}"),
                idempotency_key: None,
                body,
            }
        },
    },
    Scenario {
        name: SPREAD_PAYMENTS,
        accounts_min: PAID_ACCOUNTS,
        rows: PAYMENT_ROWS,
        limit: Limit::Insert,
        expected_status: b"201",
        request: |number, _| payment(pick(number, PAID_ACCOUNTS)),
    },
    Scenario {
        name: HOT_PAYMENTS,
        accounts_min: PAID_ACCOUNTS,
        rows: PAYMENT_ROWS,
        limit: Limit::HotUpdate,
        expected_status: b"201",
        request: |_, _| payment(1),
    },
    Scenario {
        name: "POST payment, one account, with key",
        accounts_min: PAID_ACCOUNTS,
        rows: "the same, and 1 kept answer inserted",
        limit: Limit::HotUpdate,
        expected_status: b"201",
        request: |number, _| Request {
            idempotency_key: Some(format!("payment {number}")),
            ..payment(1)
        },
    },
    Scenario {
        name: CREATE,
        accounts_min: 1,
        rows: "1 account, 2 alerts, 1 member of an id list, 1 audit record, and for its balance \
               below the threshold 1 event and 1 notification inserted",
        limit: Limit::Insert,
        expected_status: b"201",
        request: |number, _| Request::post("/accounts", founding_body(number)),
    },
];

impl Scenario {
    const fn read(name: &'static str, request: fn(u64, u64) -> Request) -> Self {
        let limit = Limit::Select;
        Self { name, accounts_min: 1, rows: "", limit, expected_status: b"200", request }
    }

    /// Whether it asks for a list.
    pub fn is_list(&self) -> bool {
        self.name.starts_with("list")
    }

    /// Whether it asks for the constant answer.
    pub fn is_constant(&self) -> bool {
        self.name == CONSTANT
    }
}

impl Request {
    /// A read.
    pub fn get(path: String) -> Self {
        Self { method: "GET", path, idempotency_key: None, body: String::new() }
    }

    /// A create.
    pub fn post(path: &str, body: String) -> Self {
        Self { method: "POST", path: path.to_owned(), idempotency_key: None, body }
    }

    /// A change.
    pub fn patch(path: &str, body: String) -> Self {
        Self { method: "PATCH", ..Self::post(path, body) }
    }

    /// As it is sent: with a token to the API, below its prefix.
    pub fn encode(&self, token: Option<&str>) -> Vec<u8> {
        let Self { method, path, idempotency_key, body } = self;
        let prefix = token.map_or("", |_| API.prefix);
        let mut request = format!(
            "{method} {prefix}{path} HTTP/1.1\r\nhost: example.org\r\n\
             accept: application/vnd.api+json\r\n"
        );
        let mut header = |name: &str, value: &str| {
            for part in [name, ": ", value, "\r\n"] {
                request.push_str(part);
            }
        };
        if let Some(token) = token {
            header("authorization", token);
        }
        if let Some(key) = idempotency_key {
            header("idempotency-key", key);
        }
        if !body.is_empty() {
            header("content-type", "application/vnd.api+json");
            header("content-length", &body.len().to_string());
        }
        request.push_str("\r\n");
        request.push_str(body);
        request.into_bytes()
    }
}

/// Spreads numbers over all accounts.
fn pick(number: u64, accounts: u64) -> u64 {
    number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % accounts + 1
}

fn payment(account: u64) -> Request {
    Request::post("/payments", payment_body(account))
}

/// A payment's document.
pub fn payment_body(account: u64) -> String {
    format!(
        r#"{{"data":{{"type":"payments","attributes":{{"amount":"1.25"}},"relationships":{{"account":{{"data":{{"type":"accounts","id":"{account}"}}}}}}}}}}"#
    )
}

/// The founding document's body, under a name that no other request uses.
fn founding_body(number: u64) -> String {
    format!(
        r#"{{"data":{{"type":"accounts","attributes":{{"name":"created {number}","min-balance":1,"max-balance":10,"vat":11,"origination-capacity":100,"termination-capacity":110,"total-capacity":100,"balance-low-threshold":90,"balance-high-threshold":95,"send-balance-notifications-to":[1],"timezone":"Europe/Kyiv"}},"relationships":{{"contractor":{{"data":{{"type":"contractors","id":4}}}}}}}}}}"#
    )
}
