"""Publishing on trial: every check that a department makes, and nothing leaves the process."""

from __future__ import annotations

import os
import time
from datetime import datetime
from typing import Any, cast

from maplebridge.access_policy.keys import GradeDomain, Master, ScopeKind
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.errors import EventInvalid, EventTooLarge
from maplebridge.producers.completion import Completer, check_size
from maplebridge.producers.delivery import Delivery
from maplebridge.producers.mapping import MappedEvent, RowMapping
from maplebridge.producers.sealing import EventSealer
from maplebridge.producers.times import micros
from maplebridge.schemas import AvroCodec, CodeLists, Contract, Event, Regions, Validator
from maplebridge.settings import Settings
