//! The server as its clients see it: real requests, real database.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]
#![expect(clippy::too_many_lines, reason = "tables of cases are long")]

mod account_attributes;
mod account_invoicing;
mod accounts;
mod alert_laws;
mod alerts;
mod audit;
mod balancer;
mod balances;
mod browser;
mod builders;
mod cli;
mod clusters;
mod concurrency;
mod connections;
mod console;
mod console_access;
mod console_desk;
mod console_forgery;
mod console_forms;
mod console_hands;
mod console_pages;
mod console_pictures;
mod console_sessions;
mod console_tables;
mod console_walk;
mod contacts;
mod contractors;
mod copy;
mod crash;
mod cursors;
mod definitions;
mod differential;
mod documents;
mod draining;
mod failover;
mod forecasts;
mod founding;
mod generated;
mod hostile;
mod idempotency;
mod import;
mod inside;
mod invoice_templates;
mod jobs;
mod journal;
mod ledger_laws;
mod limits;
mod linkages;
mod listings;
mod mail;
mod mail_injection;
mod mail_kill;
mod mail_server;
mod mail_servers;
mod mail_texts;
mod manners;
mod movements;
mod nasty;
mod nodes;
mod outages;
mod own_cluster;
mod payments;
mod postings;
mod program;
mod proof;
mod python;
mod reaching;
mod receiver;
mod replay;
mod replica;
mod retries;
mod sign_in;
mod smtp_connections;
mod statements;
mod storage;
mod streams;
mod support;
mod tasks;
mod thresholds;
mod timezones;
mod tls;
mod transactions;
mod verify;
mod webhook_events;
mod webhook_nodes;
mod webhook_posts;
mod webhooks;
mod wire;
mod yeti;

use support::TestApp;

#[tokio::test]
async fn it_answers() {
    let app = TestApp::start().await;
    assert_eq!(app.get("/accounts").await.status, 200);
}
