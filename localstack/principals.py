"""Who there is in the embedded stack, and which databases each may open."""

from __future__ import annotations

SUPER_USER = "admin"
CONTROLLER = "controller"
"""Kafka's controller listener knows this user only; no client can log in as it."""

SERVICES = ("combine", "relay", "react", "deliver", "key-broker", "audit", "acl-sync", "query")
DEPARTMENTS = (
    "dept-citymgt", "dept-civil", "dept-community", "dept-court", "dept-emergency",
    "dept-govsvc", "dept-grid", "dept-hotline", "dept-justice",
)  # fmt: skip
APPLICATIONS = (
    "app-town-mediation", "app-city-dashboard", "app-data-officer", "app-county-mediation",
    "app-court-liaison", "app-civil-affairs-worker", "app-emergency-duty",
)  # fmt: skip
OFFICERS = ("officer-bureau-1", "officer-bureau-2", "officer-justice-1", "officer-hotline-1")
REGISTRY = "apicurio"

KAFKA_USERS = (SUPER_USER, *SERVICES, *DEPARTMENTS, *APPLICATIONS, *OFFICERS)
POSTGRES_USERS = (*SERVICES, REGISTRY)
ALL = (*KAFKA_USERS, REGISTRY, CONTROLLER)

DATABASES: dict[str, tuple[str, ...]] = {
    "maplebridge": ("combine", "relay", "react", "deliver", "query"),
    "maplebridge_keys": ("key-broker",),
    "maplebridge_audit": ("audit", "key-broker", "deliver", "query"),
    "apicurio": (REGISTRY,),
}
"""Database -> principals that may connect to it; what they may do there, migrations say."""

OWNERS = {"apicurio": REGISTRY}
"""The registry makes its own tables; every other database belongs to the super user."""


def postgres_role(principal: str) -> str:
    return "mb_" + principal.replace("-", "_")
