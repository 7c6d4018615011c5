"""Erasure: orders to departments, what the record tells of a person's cases, certificates."""

from maplebridge.access_policy.erasure.orders import Acknowledgement, Order

__all__ = ["Acknowledgement", "Order"]
