//! The tollkeeper server: configuration, HTTP, the resources and their operations.
//!
//! `main` is a thin command line over this library; tests and the benchmark use it directly.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Where the admin API is.
pub const API_PREFIX: &str = "/api/rest/admin";

pub mod accounts;
pub mod alerts;
pub mod api;
pub mod app;
pub mod audit;
pub mod auth;
pub mod balances;
pub mod cli;
pub mod clock;
pub mod commands;
pub mod config;
pub mod console;
pub mod contacts;
pub mod contractors;
pub mod copy;
pub mod courier;
pub mod csv;
pub mod demo;
pub mod error;
pub mod events;
pub mod export;
pub mod forecasts;
pub mod http;
pub mod inside;
pub mod invoice_templates;
pub mod jobs;
pub mod journal;
pub mod mail;
pub mod notifications;
pub mod openapi;
pub mod operators;
pub mod outbox;
pub mod overview;
pub mod payments;
pub mod progress;
pub mod reply;
pub mod rest;
pub mod router;
pub mod runtime;
pub mod secrets;
pub mod services;
pub mod sign_in;
pub mod smtp_connections;
pub mod tasks;
pub mod timezones;
pub mod transactions;
pub mod webhooks;
pub mod yeti;
