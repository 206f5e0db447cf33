-- Lines go in the order of events: who adds to one last need not have the highest id.
DROP INDEX deliveries_line;
CREATE INDEX deliveries_line ON deliveries (line, event_id, id) WHERE state = 'pending';
