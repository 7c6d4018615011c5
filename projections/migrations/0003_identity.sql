-- An event is known by its id, its department and its type together: no department can take an
-- id away from another. What was left out as repeated before is in Kafka, and a rebuild
-- (`maplebridge projection rebuild`) counts it.
ALTER TABLE events DROP CONSTRAINT events_pkey;
ALTER TABLE events ADD PRIMARY KEY (event_id, department, event_type);
ALTER TABLE events ADD COLUMN repeats_department text;
UPDATE events e SET repeats_department = o.department FROM events o WHERE o.event_id = e.repeats;

ALTER TABLE amendments ADD COLUMN amending_type text;
UPDATE amendments a SET amending_type = e.event_type FROM events e WHERE e.event_id = a.amending_id;
ALTER TABLE amendments ALTER COLUMN amending_type SET NOT NULL;
ALTER TABLE amendments DROP CONSTRAINT amendments_pkey;
ALTER TABLE amendments
    ADD PRIMARY KEY (target_id, department, event_type, amending_id, amending_type);

ALTER TABLE window_orders DROP CONSTRAINT window_orders_pkey;
ALTER TABLE window_orders ADD PRIMARY KEY (rule, event_id, department);
ALTER TABLE window_amendments DROP CONSTRAINT window_amendments_pkey;
ALTER TABLE window_amendments ADD PRIMARY KEY (target_id, department, amending_id);

GRANT UPDATE (repeats_department) ON events TO mb_combine;
