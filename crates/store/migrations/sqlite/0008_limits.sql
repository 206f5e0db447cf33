-- Lists of accounts by state. Where the balance is between the limits: null until the accounts of
-- an older database are judged, and where there is nothing to say.
ALTER TABLE accounts ADD COLUMN limit_state TEXT;
CREATE INDEX accounts_limit_state ON accounts (limit_state) WHERE limit_state IS NOT NULL;
-- Of all states: what a bound number is compared with does not prove that the number is not 0.
CREATE INDEX accounts_threshold_state ON accounts (threshold_state);
