-- Several rules, on events of several types: what a rule counts is no longer an order alone, and an
-- amendment says of which type the event is that it names.
ALTER TABLE window_orders RENAME TO window_causes;
ALTER TABLE window_causes RENAME COLUMN order_no TO number;
ALTER INDEX window_orders_by_time RENAME TO window_causes_by_time;
ALTER INDEX window_orders_by_number RENAME TO window_causes_by_number;
ALTER TABLE window_causes RENAME CONSTRAINT window_orders_pkey TO window_causes_pkey;
ALTER TABLE window_amendments ADD COLUMN event_type text NOT NULL DEFAULT 'hotline.order';
ALTER TABLE window_amendments ALTER COLUMN event_type DROP DEFAULT;
ALTER TABLE window_amendments DROP CONSTRAINT window_amendments_pkey;
ALTER TABLE window_amendments ADD PRIMARY KEY (target_id, department, event_type, amending_id);
