-- What the hotline system does in a day: a fact and its outbox row in one transaction.
BEGIN;
INSERT INTO orders VALUES ('HX0101', '330681001001', 'gas', 'emergency', '枫甲乙', '10000000001',
                           '楼道内闻到燃气味', 'open', '2025-03-03 08:12+08');
INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
SELECT 'order', order_no, 'OrderReceived', to_jsonb(orders) FROM orders WHERE order_no = 'HX0101';
COMMIT;

BEGIN;
INSERT INTO orders VALUES ('HX0102', '330681001004', 'road', 'general', '枫丙丁', '10000000002',
                           '路面有坑', 'open', '2025-03-03 09:30+08');
INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
SELECT 'order', order_no, 'OrderReceived', to_jsonb(orders) FROM orders WHERE order_no = 'HX0102';
COMMIT;

-- A payload may be the event itself.
BEGIN;
UPDATE orders SET state = 'dispatched' WHERE order_no = 'HX0101';
INSERT INTO outbox (aggregatetype, aggregateid, type, payload) VALUES ('order', 'HX0101', 'OrderDispatched', '{
  "community": "330681001001", "occurred_at": "2025-03-03T08:20:00+08:00", "case_ref": "hotline/HX0101",
  "fields": {"order_no": "HX0101", "channel": "phone", "demand_type": "help", "category": "gas",
             "urgency": "emergency", "unit": "U-GAS", "state": "dispatched", "content": "楼道内闻到燃气味"}}');
COMMIT;

-- The second order was about noise: a row that names the earlier one takes its place.
BEGIN;
UPDATE orders SET category = 'noise', told = '深夜施工噪声' WHERE order_no = 'HX0102';
INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
SELECT 'order', order_no, 'OrderCorrected', to_jsonb(orders) || jsonb_build_object('corrects', outbox.id)
FROM orders JOIN outbox ON aggregateid = order_no AND type = 'OrderReceived' WHERE order_no = 'HX0102';
COMMIT;

-- A row that cannot be published: nobody knows this community.
INSERT INTO outbox (aggregatetype, aggregateid, type, payload)
VALUES ('order', 'HX0103', 'OrderReceived', '{"order_no": "HX0103", "community": "1", "category": "road",
        "urgency": "general", "told": "路灯不亮", "called_at": "2025-03-03T10:00:00+08:00"}');
