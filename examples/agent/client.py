"""A system that speaks HTTP tells the department's agent of an order."""

from pathlib import Path

import httpx

order = Path(__file__).with_name("order.json").read_bytes()
headers = {"Content-Type": "application/json", "Idempotency-Key": "HX0201-received"}
url = "http://127.0.0.1:8300/v1/events/hotline.order?wait=acknowledged"
agent = httpx.Client(transport=httpx.HTTPTransport(retries=7), timeout=30)  # it may just start
answer = agent.post(url, content=order, headers=headers)
print(answer.status_code, answer.json()["status"])
