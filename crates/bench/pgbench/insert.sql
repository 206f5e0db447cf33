-- The rows of one POST create. Texts that the server makes are as long as its own. Each client
-- counts in a slot of its own, as each lane of the server does.
BEGIN;
INSERT INTO accounts (name, balance, min_balance, max_balance, vat, balance_low_threshold,
    balance_high_threshold, send_balance_notifications_to, uuid, origination_capacity,
    termination_capacity, total_capacity, timezone, contractor_id, threshold_state)
  VALUES ('limit ' || gen_random_uuid(), 0, 1, 10, 11, 90,
    95, '{1}', gen_random_uuid(), 100,
    110, 100, 'Europe/Kyiv', 4, 1);
INSERT INTO list_members (list, member_id, record_id)
  VALUES ('accounts.send-balance-notifications-to', 1, currval('accounts_id_seq'));
INSERT INTO audit_records (event, item_type, item_id, actor, ip, request_id, created_at, after)
  VALUES ('create', 'accounts', currval('accounts_id_seq'), 'bench', '127.0.0.1',
    gen_random_uuid(), now(), repeat('x', 567));
INSERT INTO events (event_type, event_type_alias, data, created_at, account_id)
  VALUES ('AccountLowThesholdReached', 'AccountLowThresholdReached', repeat('x', 570), now(),
    currval('accounts_id_seq'));
INSERT INTO balance_notifications (event_id, balance, balance_low_threshold,
    balance_high_threshold, created_at, account_id)
  VALUES (3, 0, 90, 95, now(), currval('accounts_id_seq'));
INSERT INTO totals (kind, slot, total)
  VALUES ('accounts', :client_id, 1), ('audit-records', :client_id, 1),
    ('balance-notifications', :client_id, 1), ('events', :client_id, 1)
  ON CONFLICT (kind, slot) DO UPDATE SET total = totals.total + 1;
COMMIT;
