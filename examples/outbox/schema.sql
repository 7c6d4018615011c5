-- The made-up hotline system's own database: its orders, and the outbox beside them.
CREATE TABLE orders (
    order_no   text PRIMARY KEY,
    community  text NOT NULL,
    category   text NOT NULL,
    urgency    text NOT NULL,
    caller     text,
    phone      text,
    told       text NOT NULL,
    state      text NOT NULL DEFAULT 'open',
    called_at  timestamptz NOT NULL DEFAULT now()
);

-- The columns of the Debezium outbox event router, under their default names.
CREATE TABLE outbox (
    id            uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    aggregatetype varchar(255) NOT NULL,
    aggregateid   varchar(255) NOT NULL,
    type          varchar(255) NOT NULL,
    payload       jsonb NOT NULL,
    "timestamp"   timestamptz NOT NULL DEFAULT now()
);
