-- What an import reads of a YETI release of July 2026, as its models describe the tables:
-- thresholds and recipients in a table of their own, zones by name, currencies, payments with
-- uuids, statuses, types and rollbacks, templates in HTML. And some of what it only counts.

CREATE SCHEMA billing;
CREATE SCHEMA gui;
CREATE SCHEMA logs;
CREATE SCHEMA notifications;
CREATE SCHEMA sys;

CREATE TABLE sys.smtp_connections (
  id serial PRIMARY KEY,
  name varchar NOT NULL UNIQUE,
  host varchar NOT NULL,
  port integer NOT NULL DEFAULT 25,
  from_address varchar NOT NULL,
  auth_user varchar,
  auth_password varchar,
  global boolean NOT NULL DEFAULT true,
  auth_type varchar NOT NULL DEFAULT 'plain'
);
CREATE TABLE sys.customer_portal_access_profiles (
  id smallserial PRIMARY KEY,
  name varchar NOT NULL UNIQUE
);
CREATE TABLE sys.api_access (
  id serial PRIMARY KEY,
  customer_id integer NOT NULL,
  login varchar NOT NULL UNIQUE,
  password_digest varchar NOT NULL,
  account_ids integer[] NOT NULL DEFAULT '{}',
  customer_portal_access_profile_id smallint NOT NULL DEFAULT 1
);
CREATE TABLE gui.admin_users (
  id serial PRIMARY KEY,
  username varchar NOT NULL UNIQUE
);
CREATE TABLE public.contractors (
  id serial PRIMARY KEY,
  name varchar UNIQUE,
  enabled boolean,
  vendor boolean,
  customer boolean,
  description varchar,
  address varchar,
  phones varchar,
  smtp_connection_id integer REFERENCES sys.smtp_connections (id),
  external_id bigint UNIQUE
);
CREATE TABLE notifications.contacts (
  id serial PRIMARY KEY,
  contractor_id integer REFERENCES public.contractors (id),
  admin_user_id integer REFERENCES gui.admin_users (id),
  email varchar NOT NULL,
  notes varchar,
  created_at timestamptz,
  updated_at timestamptz
);
CREATE TABLE notifications.event_subscriptions (
  id serial PRIMARY KEY,
  event varchar NOT NULL UNIQUE,
  send_to integer[],
  url varchar
);
CREATE TABLE billing.currencies (
  id smallserial PRIMARY KEY,
  name varchar NOT NULL UNIQUE,
  rate double precision NOT NULL
);
CREATE TABLE billing.invoice_templates (
  id serial PRIMARY KEY,
  name varchar NOT NULL UNIQUE,
  filename varchar,
  data bytea,
  sha1 varchar,
  created_at timestamptz,
  html_template text
);
CREATE TABLE billing.accounts (
  id serial PRIMARY KEY,
  contractor_id integer NOT NULL REFERENCES public.contractors (id),
  balance numeric NOT NULL,
  min_balance numeric NOT NULL,
  max_balance numeric NOT NULL,
  name varchar NOT NULL UNIQUE,
  origination_capacity smallint,
  termination_capacity smallint,
  total_capacity smallint,
  destination_rate_limit numeric,
  max_call_duration integer,
  vat numeric NOT NULL DEFAULT 0,
  external_id bigint UNIQUE,
  uuid uuid NOT NULL UNIQUE,
  send_invoices_to integer[],
  invoice_period_id smallint,
  invoice_template_id integer,
  invoice_ref_template varchar NOT NULL DEFAULT '$id',
  next_invoice_at timestamptz,
  next_invoice_type_id smallint,
  timezone varchar NOT NULL DEFAULT 'UTC',
  currency_id smallint NOT NULL DEFAULT 0 REFERENCES billing.currencies (id),
  currency_name varchar NOT NULL DEFAULT 'USD'
);
CREATE TABLE billing.account_balance_notification_settings (
  id bigserial PRIMARY KEY,
  account_id bigint NOT NULL UNIQUE REFERENCES billing.accounts (id),
  low_threshold numeric,
  high_threshold numeric,
  state_id smallint NOT NULL DEFAULT 0,
  send_to integer[]
);
CREATE TABLE billing.payments (
  id bigserial PRIMARY KEY,
  account_id integer NOT NULL REFERENCES billing.accounts (id),
  amount numeric NOT NULL,
  notes varchar,
  private_notes varchar,
  created_at timestamptz NOT NULL DEFAULT now(),
  uuid uuid NOT NULL UNIQUE,
  status_id smallint NOT NULL DEFAULT 20,
  type_id smallint NOT NULL DEFAULT 20,
  balance_before_payment numeric,
  rolledback_at timestamptz,
  metadata jsonb,
  currency_id smallint NOT NULL DEFAULT 0 REFERENCES billing.currencies (id)
);
CREATE TABLE billing.service_types (
  id smallserial PRIMARY KEY,
  name varchar NOT NULL UNIQUE
);
CREATE TABLE billing.services (
  id bigserial PRIMARY KEY,
  account_id integer NOT NULL REFERENCES billing.accounts (id),
  type_id smallint NOT NULL REFERENCES billing.service_types (id)
);
CREATE TABLE billing.transactions (
  id bigserial PRIMARY KEY,
  account_id integer NOT NULL REFERENCES billing.accounts (id),
  amount numeric NOT NULL
);
CREATE TABLE logs.balance_notifications (
  id bigserial PRIMARY KEY,
  account_id bigint NOT NULL
);

INSERT INTO billing.currencies VALUES (0, 'USD', 1), (1, 'EUR', 1.1);
INSERT INTO gui.admin_users VALUES (1, 'admin');
INSERT INTO sys.customer_portal_access_profiles VALUES (1, 'Default');
INSERT INTO sys.smtp_connections VALUES
  (1, 'main', 'mail.example.com', 587, 'noc@example.com', 'noc', 'secret', true, 'plain'),
  (3, 'second', '192.0.2.25', 25, 'billing@example.com', NULL, NULL, false, 'login');
INSERT INTO billing.invoice_templates VALUES
  (2, 'classic', 'classic.odt', '\x504b', 'abc', now(), NULL),
  (5, 'web', NULL, NULL, NULL, now(), '<p>{{ invoice.reference }}</p>');
INSERT INTO public.contractors VALUES
  (4, 'Ida Fjord Mobile', true, false, true, 'since 2012', E'Storgata 1\nTromsø', '+47 1, +47 2', 3, 4004),
  (9, 'Vega', false, true, false, NULL, NULL, NULL, NULL, NULL);
INSERT INTO notifications.contacts (id, contractor_id, admin_user_id, email, notes) VALUES
  (1, 4, NULL, 'ida@fjord.example', 'the boss'),
  (2, NULL, 1, 'admin@example.com', NULL),
  (7, 9, NULL, 'billing@vega.example', NULL);
INSERT INTO notifications.event_subscriptions (event) VALUES
  ('AccountLowThesholdReached'), ('AccountHighThesholdReached');
INSERT INTO sys.api_access (customer_id, login, password_digest) VALUES (4, 'ida', 'x');

INSERT INTO billing.accounts (
  id, contractor_id, name, balance, min_balance, max_balance, vat, destination_rate_limit,
  max_call_duration, external_id, uuid, origination_capacity, termination_capacity,
  total_capacity, send_invoices_to, invoice_period_id, invoice_template_id, next_invoice_at,
  next_invoice_type_id, timezone, invoice_ref_template
) VALUES
  (23, 4, 'ida main', -1234567890.123456789012, -5000, 100000.50, 23.5, 0.25,
   3600, 4711, 'fd868b74-e7d8-11f0-bf40-0a63caf27539', 100, 110,
   32767, '{2,1}', 4, 2, '2026-08-01 00:00:00+03', 2, 'Europe/Kyiv', 'INV-$id'),
  (24, 4, 'ida spare', 0.000, 0, 0, 0, NULL,
   NULL, NULL, 'fd868b74-e7d8-11f0-bf40-0a63caf27540', NULL, NULL,
   NULL, '{}', NULL, NULL, NULL, NULL, 'UTC', '$id'),
  (31, 9, 'vega', 0.000000000001000, -10, 10, 0, NULL,
   NULL, 9223372036854775807, 'fd868b74-e7d8-11f0-bf40-0a63caf27541', NULL, NULL,
   NULL, NULL, 7, NULL, NULL, NULL, 'Etc/GMT+5', '$id'),
  (40, 9, 'vega deposit', 100000000000000000000000000, 0, 1, 0, NULL,
   NULL, NULL, 'fd868b74-e7d8-11f0-bf40-0a63caf27542', NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, 'UTC', '$id');
INSERT INTO billing.account_balance_notification_settings
  (account_id, low_threshold, high_threshold, state_id, send_to)
VALUES
  (23, 90, 95, 1, '{1}'),
  (24, NULL, NULL, 0, NULL),
  -- On its threshold: YETI keeps such an account in the state where it was.
  (31, 0.000000000001, NULL, 1, NULL),
  -- Beyond its threshold, which YETI has not noticed yet.
  (40, -7.5, 5, 0, '{1,7}');

INSERT INTO billing.payments
  (id, account_id, amount, notes, private_notes, created_at, uuid, status_id, type_id,
   balance_before_payment, rolledback_at, metadata)
VALUES
  (101, 23, 100.5, E'May,\nfirst half', 'ask Olga', '2026-05-01 10:20:30.123456+00',
   '11111111-e7d8-11f0-bf40-0a63caf27539', 20, 20, -1234567990.623456789012, NULL, NULL),
  (102, 23, -3.000000000001, NULL, NULL, '2026-05-02 00:00:00+02',
   '22222222-e7d8-11f0-bf40-0a63caf27539', 40, 20, 7, '2026-05-03 00:00:00+02', NULL),
  (103, 24, 50, NULL, NULL, '2026-05-04 00:00:00+00',
   '33333333-e7d8-11f0-bf40-0a63caf27539', 30, 10, NULL, NULL, '{"order": 1}'),
  (2147483648, 24, 60, NULL, NULL, '2026-05-05 00:00:00+00',
   '44444444-e7d8-11f0-bf40-0a63caf27539', 10, 10, NULL, NULL, '{"order": 2}');

INSERT INTO billing.service_types VALUES (1, 'number');
INSERT INTO billing.services (account_id, type_id) VALUES (23, 1), (24, 1);
INSERT INTO billing.transactions (account_id, amount) VALUES (23, 1), (23, 2), (24, 3);
INSERT INTO logs.balance_notifications (account_id) VALUES (23);
