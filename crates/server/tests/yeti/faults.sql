-- Rows on top of new.sql that a database of YETI may hold, but that break a rule here, and rows
-- that belong to them.

INSERT INTO sys.smtp_connections (id, name, host, port, from_address) VALUES
  (8, 'nobody', 'mail', 25, 'nobody'), (9, 'high', 'mail', 70000, 'noc@example.com');
INSERT INTO billing.invoice_templates (id, name, filename) VALUES (6, 'letter', 'letter.doc');
INSERT INTO public.contractors VALUES
  (50, 'neither', true, false, false, NULL, NULL, NULL, NULL, NULL),
  (51, NULL, NULL, true, true, NULL, NULL, NULL, NULL, NULL),
  (52, 'no sender', true, true, true, NULL, NULL, NULL, 8, NULL);
INSERT INTO notifications.contacts (id, contractor_id, email) VALUES (50, 50, 'x@neither.example');

INSERT INTO billing.accounts (id, contractor_id, name, balance, min_balance, max_balance, uuid)
SELECT id, 9, 'fault ' || id, 1, 0, 10, ('00000000-0000-11f0-8000-' || lpad(id::text, 12, '0'))::uuid
FROM (VALUES (0)) zero (id) UNION ALL
SELECT id, 9, 'fault ' || id, 1, 0, 10, ('00000000-0000-11f0-8000-' || lpad(id::text, 12, '0'))::uuid
FROM generate_series(60, 75) id;
INSERT INTO billing.account_balance_notification_settings (account_id)
SELECT id FROM billing.accounts WHERE id BETWEEN 60 AND 75;

UPDATE billing.accounts SET contractor_id = 50 WHERE id = 60;
UPDATE billing.accounts SET balance = 0.1234567890123 WHERE id = 61;
UPDATE billing.accounts SET balance = 100000000000000000000000000.5 WHERE id = 62;
UPDATE billing.accounts SET balance = 'NaN' WHERE id = 63;
UPDATE billing.accounts SET min_balance = 11 WHERE id = 64;
UPDATE billing.accounts SET vat = 100.01 WHERE id = 65;
UPDATE billing.accounts SET max_call_duration = 0, origination_capacity = 0 WHERE id = 66;
UPDATE billing.accounts SET destination_rate_limit = -1 WHERE id = 67;
UPDATE billing.accounts SET timezone = 'Mars/Base' WHERE id = 68;
UPDATE billing.accounts SET invoice_period_id = 8 WHERE id = 69;
UPDATE billing.accounts SET currency_id = 1, currency_name = 'EUR' WHERE id = 70;
UPDATE billing.account_balance_notification_settings
SET low_threshold = 5, high_threshold = 5 WHERE account_id = 71;
-- These come over, but not as they are.
UPDATE billing.accounts SET invoice_template_id = 77 WHERE id = 72;
UPDATE billing.accounts SET invoice_template_id = 6 WHERE id = 73;
UPDATE billing.accounts SET send_invoices_to = '{1,78,NULL,50}' WHERE id = 74;
UPDATE billing.account_balance_notification_settings SET send_to = '{79}' WHERE account_id = 74;
UPDATE billing.accounts SET timezone = 'posix/Asia/Tokyo' WHERE id = 75;

INSERT INTO billing.payments (id, account_id, amount, uuid, status_id, type_id, created_at)
SELECT id, 75, 1, ('00000000-0000-11f0-9000-' || lpad(id::text, 12, '0'))::uuid, 20, 20, '2026-01-01'
FROM generate_series(300, 305) id;
UPDATE billing.payments SET account_id = 61 WHERE id = 300;
UPDATE billing.payments SET amount = 0 WHERE id = 301;
UPDATE billing.payments SET status_id = 50 WHERE id = 302;
UPDATE billing.payments SET type_id = 30 WHERE id = 303;
UPDATE billing.payments SET created_at = 'infinity' WHERE id = 304;
UPDATE billing.payments SET balance_before_payment = 1e-13 WHERE id = 305;
