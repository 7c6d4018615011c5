-- When the broker took an event's record: what was known by a moment is told by it. Rows from
-- before do not know it: a rebuild (`maplebridge projection rebuild`) gives it to them.
ALTER TABLE events ADD COLUMN appended_at timestamptz;

-- What is asked of a place finds it, however much there is.
CREATE INDEX events_of_community ON events (community text_pattern_ops);
CREATE INDEX warnings_of_community ON warnings (community text_pattern_ops);
CREATE INDEX warnings_by_time ON warnings (window_from DESC, warning_id);
