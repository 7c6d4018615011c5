"""Maple Bridge: an event-sourced bus on which a city's departments share data."""

from maplebridge.errors import MapleBridgeError
from maplebridge.processors.subscriber import Subscriber, View
from maplebridge.producers import Delivery, Department, Receipt, import_file
from maplebridge.settings import Settings, load_settings

__all__ = [
    "Delivery",
    "Department",
    "MapleBridgeError",
    "Receipt",
    "Settings",
    "Subscriber",
    "View",
    "import_file",
    "load_settings",
]
