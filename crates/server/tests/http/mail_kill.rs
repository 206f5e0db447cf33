//! A sudden death between the message and what is written down of it: the mail comes twice, under
//! one name.

use jiff::SignedDuration;
use jsonapi::Value as Stored;
use serde_json::{Value, json};
use tollkeeper::clock;

use crate::clusters::wait_until;
use crate::mail_server::{MailServer, header};
use crate::program::{Here, ask, correct};
use crate::support::linkage;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_mail_that_was_sent_and_not_written_down_comes_again_under_the_same_name() {
    let here = Here::new();
    let server = MailServer::start(&json!({"delays": [2]}));
    let program = here.serve();
    let token = here.run(&["token", "admin"]).well().trim().to_owned();
    let create = async |kind: &str, attributes: Value, links: Value| {
        let document =
            json!({"data": {"type": kind, "attributes": attributes, "relationships": links}});
        let line = format!("POST /api/rest/admin/{kind}");
        let reply = ask(program.address, &line, &token, &document.to_string()).await;
        assert_eq!(reply.status, 201, "{reply:?}");
        reply.json()["data"]["id"].as_str().unwrap().to_owned()
    };
    let attributes = json!({
        "name": "relay", "host": "127.0.0.1", "port": server.port,
        "from-address": "billing@carrier.test",
    });
    create("smtp-connections", attributes, json!({})).await;
    let attributes = json!({"name": "acme", "enabled": true, "vendor": true, "customer": true});
    let contractor = create("contractors", attributes, json!({})).await;
    let links = json!({"contractor": linkage("contractors", &contractor)});
    let contact = create("contacts", json!({"email": "noc@customer.test"}), links.clone()).await;
    let attributes = json!({
        "name": "main", "balance-low-threshold": 0, "send-balance-notifications-to": [contact],
    });
    let account = create("accounts", attributes, links).await;
    correct(program.address, &token, &account, "-1").await;
    // The server has the whole message, and takes its time to say so.
    let first = server.next();
    program.end("KILL");
    let database = here.database();
    assert_eq!(database.value::<String>("SELECT state FROM deliveries"), "pending");
    assert_eq!(database.value::<i64>("SELECT count(*) FROM email_logs"), 0);
    // The dead node's claim runs out in 90 seconds; here it has.
    let past = database.literal(&Stored::Time(clock::system() - SignedDuration::from_secs(1)));
    database.execute(&format!("UPDATE delivery_lines SET due_at = {past}"));
    let program = here.serve();
    let second = server.next();
    assert_eq!(header(&second, "message-id"), header(&first, "message-id"));
    assert_eq!(second["parts"], first["parts"]);
    // The line is left after its mail is written down.
    let lines = "SELECT count(*) FROM delivery_lines";
    wait_until("the line is left", || database.value::<i64>(lines) == 0);
    assert_eq!(database.value::<i64>("SELECT count(*) FROM email_logs"), 1);
    assert_eq!(database.value::<String>("SELECT state FROM deliveries"), "delivered");
    drop(program);
    assert_eq!(server.rest(), [json!(null); 0]);
}
