//! A receiver of webhooks that is not ours: an HTTP server in Python, which verifies what it gets
//! with the library that the makers of Standard Webhooks publish.

use std::path::Path;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::block_in_place;

use crate::python::Python;
use crate::support::TestApp;

/// What a path asks of it is in its query: `status` of the answer, for the first `times` requests
/// if that is there, and 200 then; seconds to `wait` before it; its `location`; its body, `size`
/// bytes or in `hex`. It prints a line for each request before it answers, without the body if
/// that is `brief`.
const SCRIPT: &str = r#"
import asyncio, json, ssl, sys, threading
from urllib.parse import urlsplit, parse_qs
from standardwebhooks import Webhook

secrets, seen = [], {}

def verified(body, headers):
    good = []
    for place, secret in enumerate(secrets):
        try:
            Webhook(secret).verify(body, headers)
            good.append(place)
        except Exception:
            pass
    return good

async def one(reader, writer):
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    target = head[0].split(" ")[1]
    headers = [line.split(":", 1) for line in head[1:] if line]
    headers = {name.lower(): value.strip() for name, value in headers}
    body = (await reader.readexactly(int(headers.get("content-length", 0)))).decode()
    url = urlsplit(target)
    asked = {name: values[0] for name, values in parse_qs(url.query).items()}
    seen[target] = seen.get(target, 0) + 1
    told = {"path": url.path, "id": headers.get("webhook-id"), "verified": verified(body, headers)}
    if "brief" in asked:
        data = json.loads(body)["event_data"]
        told.update(account=data["id"], payment=data["payment"]["id"])
    else:
        told.update(method=head[0].split(" ")[0], headers=headers, body=body)
        told["tampered"] = verified(body.replace("{", "{ ", 1), headers)
    sys.stdout.write(json.dumps(told) + "\n")
    sys.stdout.flush()
    status = int(asked.get("status", 200))
    if "times" in asked and seen[target] > int(asked["times"]):
        status = 200
    elif "wait" in asked:
        await asyncio.sleep(float(asked["wait"]))
    answer = bytes.fromhex(asked.get("hex", "")) + b"x" * int(asked.get("size", 0))
    lines = ["HTTP/1.1 %d Whatever" % status, "content-length: %d" % len(answer)]
    if "location" in asked:
        lines.append("location: " + asked["location"])
    writer.write(("\r\n".join(lines) + "\r\n\r\n").encode() + answer)
    await writer.drain()

async def serve(reader, writer):
    try:
        while True:
            await one(reader, writer)
    except (asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        pass
    finally:
        writer.close()

def listen():
    for line in sys.stdin:
        secrets.append(line.strip())
        print("known")

async def main():
    tls = None
    if len(sys.argv) > 1:
        tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        tls.load_cert_chain(*sys.argv[1:3])
    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls)
    print(server.sockets[0].getsockname()[1])
    threading.Thread(target=listen, daemon=True).start()
    await server.serve_forever()

asyncio.run(main())
"#;

/// Longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_mins(1);

/// A running receiver.
pub struct Receiver {
    python: Python,
    port: u16,
}

impl Receiver {
    /// Starts one.
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// Starts one that speaks TLS, with the certificate and key in these files.
    pub fn with_tls(certificate: &Path, key: &Path) -> Self {
        Self::with(&[certificate.to_str().unwrap(), key.to_str().unwrap()])
    }

    fn with(arguments: &[&str]) -> Self {
        let python = Python::run(SCRIPT, arguments);
        let port = python.line().parse().unwrap();
        Self { python, port }
    }

    /// Its port at 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where it is asked for this.
    pub fn url(&self, path: &str) -> String {
        format!("http://127.0.0.1:{}{path}", self.port)
    }

    /// Tells it a secret; the places of those that a request is signed with are `verified`.
    pub fn knows(&mut self, secret: &str) {
        self.python.tell(secret);
        assert_eq!(self.python.line(), "known");
    }

    /// The next request that it gets.
    pub fn got(&self) -> Value {
        // The server needs its threads meanwhile.
        serde_json::from_str(&block_in_place(|| self.python.line())).unwrap()
    }

    /// The requests that it has got and nobody has asked for, after so long without one.
    pub fn got_until_quiet(&self, quiet: Duration) -> Vec<Value> {
        let lines = block_in_place(|| self.python.lines_until_quiet(quiet));
        lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect()
    }
}

/// A webhook, and its secret.
pub struct Webhook {
    /// Its id.
    pub id: String,
    /// Its secret.
    pub secret: String,
}

impl Webhook {
    /// The path of its deliveries.
    pub fn deliveries(&self) -> String {
        format!("/webhooks/{}/deliveries", self.id)
    }
}

impl TestApp {
    /// Makes a webhook for these events.
    pub async fn webhook(&self, url: &str, events: &[&str]) -> Webhook {
        let attributes = json!({"url": url, "events": events});
        let document = json!({"data": {"type": "webhooks", "attributes": attributes}});
        let reply = self.post("/webhooks", document).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        let made = reply.json();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let data = &made["data"];
        Webhook { id: text(&data["id"]), secret: text(&data["attributes"]["secret"]) }
    }

    /// `POST` without a document.
    pub async fn order(&self, path: &str) -> crate::support::Reply {
        self.write("POST", path, "").await
    }

    /// Has a webhook tested; the path of the delivery.
    pub async fn test_webhook(&self, webhook: &Webhook) -> String {
        let reply = self.order(&format!("/webhooks/{}/test", webhook.id)).await;
        assert_eq!(reply.status, 201, "{}", reply.body);
        format!("/deliveries/{}", reply.json()["data"]["id"].as_str().unwrap())
    }

    /// Sends a delivery out now.
    pub async fn redeliver(&self, webhook: &Webhook, delivery: &str) {
        let id = delivery.rsplit('/').next().unwrap();
        let path = format!("{}/{id}/redeliver", webhook.deliveries());
        let reply = self.order(&path).await;
        assert_eq!(reply.status, 200, "{}", reply.body);
    }

    /// The attributes of a delivery after so many attempts.
    pub async fn attempted(&self, delivery: &str, attempts: u64) -> Value {
        let since = Instant::now();
        loop {
            let attributes = self.attributes(delivery).await;
            if attributes["attempts"].as_u64().unwrap() >= attempts {
                return attributes;
            }
            assert!(since.elapsed() < PATIENCE, "{attributes}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// Waits until every event was tried to be posted once.
    pub async fn all_tried(&self) {
        let since = Instant::now();
        while self.errands() > 0 {
            assert!(since.elapsed() < PATIENCE, "{}", self.get("/deliveries").await.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }

    /// How many errands there are.
    pub fn errands(&self) -> i64 {
        self.stored("SELECT count(*) FROM errands")
    }

    /// Waits until no delivery waits.
    pub async fn all_delivered(&self) {
        self.all_tried().await;
        let since = Instant::now();
        while self.total("/deliveries?filter[state_eq]=pending").await > 0 {
            assert!(since.elapsed() < PATIENCE, "{}", self.get("/deliveries").await.body);
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}
