-- What an import reads of a YETI release of about 2019, as its models describe the tables:
-- thresholds and recipients in the account's row, zones by number, invoices of customers and of
-- vendors apart, payments without uuids and statuses.

CREATE SCHEMA billing;
CREATE SCHEMA gui;
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
  global boolean NOT NULL DEFAULT true
);
CREATE TABLE sys.timezones (
  id serial PRIMARY KEY,
  name varchar NOT NULL UNIQUE,
  abbrev varchar,
  utc_offset interval,
  is_dst boolean
);
CREATE TABLE sys.api_access (
  id serial PRIMARY KEY,
  customer_id integer NOT NULL,
  login varchar NOT NULL UNIQUE,
  password_digest varchar NOT NULL
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
CREATE TABLE billing.invoice_periods (
  id smallserial PRIMARY KEY,
  name varchar NOT NULL UNIQUE
);
CREATE TABLE billing.invoice_templates (
  id serial PRIMARY KEY,
  name varchar NOT NULL UNIQUE,
  filename varchar NOT NULL,
  data bytea,
  sha1 varchar,
  created_at timestamptz
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
  customer_invoice_period_id smallint REFERENCES billing.invoice_periods (id),
  customer_invoice_template_id integer,
  vendor_invoice_template_id integer,
  next_customer_invoice_at timestamptz,
  next_vendor_invoice_at timestamptz,
  vendor_invoice_period_id smallint REFERENCES billing.invoice_periods (id),
  send_invoices_to integer[],
  timezone_id integer NOT NULL DEFAULT 1 REFERENCES sys.timezones (id),
  next_customer_invoice_type_id smallint,
  next_vendor_invoice_type_id smallint,
  balance_high_threshold numeric,
  balance_low_threshold numeric,
  send_balance_notifications_to integer[],
  uuid uuid NOT NULL UNIQUE,
  external_id bigint UNIQUE,
  vat numeric NOT NULL DEFAULT 0,
  destination_rate_limit numeric,
  max_call_duration integer,
  customer_invoice_ref_template varchar NOT NULL DEFAULT '$id',
  vendor_invoice_ref_template varchar NOT NULL DEFAULT '$id'
);
CREATE TABLE billing.payments (
  id bigserial PRIMARY KEY,
  account_id integer NOT NULL REFERENCES billing.accounts (id),
  amount numeric NOT NULL,
  notes varchar,
  created_at timestamp NOT NULL
);

INSERT INTO sys.timezones (id, name) VALUES (1, 'UTC'), (2, 'posix/Europe/Kiev'), (3, 'US/Pacific');
INSERT INTO billing.invoice_periods VALUES
  (1, 'Daily'), (2, 'Weekly'), (3, 'BiWeekly'), (4, 'Monthly');
INSERT INTO billing.invoice_templates VALUES (3, 'old one', 'old one.odt', '\x504b', 'abc', now());
INSERT INTO gui.admin_users VALUES (1, 'admin');
INSERT INTO public.contractors (id, name, enabled, vendor, customer, external_id) VALUES
  (2, 'Both Ways', true, true, true, -5);
INSERT INTO notifications.contacts (id, contractor_id, email) VALUES
  (5, 2, 'billing@both.example'), (6, 2, '');
INSERT INTO sys.api_access VALUES (1, 2, 'both', 'x');

INSERT INTO billing.accounts (
  id, contractor_id, name, balance, min_balance, max_balance, uuid, external_id, timezone_id,
  balance_low_threshold, balance_high_threshold, send_balance_notifications_to, send_invoices_to,
  customer_invoice_period_id, customer_invoice_template_id, next_customer_invoice_at,
  next_customer_invoice_type_id, vendor_invoice_period_id, vendor_invoice_template_id,
  next_vendor_invoice_at, next_vendor_invoice_type_id, vat, vendor_invoice_ref_template
) VALUES
  (11, 2, 'first', 12.5, -100, 1000, '6f9d2e4a-0000-11e9-8000-000000000011', 77, 2,
   10, 20.25, '{6,5}', '{5}',
   2, 3, '2019-06-10 00:00:00+03', 2, 4, 3, '2019-07-01 00:00:00+03', 2, 20, 'V-$id'),
  (12, 2, 'second', -0.5, -1, 0, '6f9d2e4a-0000-11e9-8000-000000000012', NULL, 3,
   0, NULL, NULL, NULL,
   NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL, 0, '$id');

INSERT INTO billing.payments VALUES
  (1001, 11, 12.5, 'cash', '2019-05-06 07:08:09.123456'),
  (1002, 12, -0.5, NULL, '2019-05-07 00:00:00');
