"""Publishing on trial: every check that a department makes, and nothing leaves the process."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self, Unpack

from maplebridge.access_policy.department_store import DepartmentStore
from maplebridge.access_policy.keystore import DepartmentKeys
from maplebridge.producers.amendments import Amendment, Amendments
from maplebridge.producers.import_state import ImportState
from maplebridge.producers.lifecycle import Change, Lifecycles, Step
from maplebridge.producers.preparation import Envelope, Preparation
from maplebridge.producers.spool import Spool
from maplebridge.schemas import Catalogue, CodeLists, Regions
from maplebridge.settings import Settings


@dataclass(frozen=True)
class Taken:
    """An event that has arrived nowhere, and is done."""

    done: bool = True
    error: None = None

    def result(self, timeout_s: float = 30.0) -> None:
        pass


TAKEN = Taken()


class TrialBatch:
    """Takes events like a batch; what they leave in the store is all that stays of them."""

    def __init__(self, department: TrialDepartment) -> None:
        self._of = department
        self._changes: list[Change] = []
        self._digests: list[tuple[str, bytes]] = []
        self._amendments: list[Amendment] = []

    def publish(
        self,
        event_type: str,
        fields: Mapping[str, Any],
        *,
        import_digest: bytes | None = None,
        **envelope: Unpack[Envelope],
    ) -> Taken:
        """Raises EventInvalid and EventTooLarge where a department would."""
        case_ref, corrects = envelope.get("case_ref"), envelope.get("corrects")
        lifecycles, change = self._of.lifecycles, None
        if corrects is not None:
            self._of.amendments.target(corrects, envelope.get("event_id"), path="meta.corrects")
            self._of.lifecycles.check_correction(
                corrects, event_type=event_type, transition=envelope["transition"]
            )
        prepared = self._of.preparation.prepare(event_type, fields, **envelope)
        if case_ref is not None:
            step = Step(prepared.occurred_at, prepared.event_id, envelope["transition"])
            judged = not envelope.get("backfill", False)
            change = lifecycles.take(
                prepared.contract, case_ref, step, replaces=corrects, judged=judged
            )
        elif corrects is not None:
            change = lifecycles.withdraw(corrects)
        if change is not None:
            self._changes.append(change)
        if import_digest is not None:
            self._of.imports.take(prepared.event_id, import_digest)
            self._digests.append((prepared.event_id, import_digest))
        if corrects is not None:
            amendment = Amendment(prepared.event_id, corrects, False)
            self._amendments.append(self._of.amendments.take(amendment))
        return TAKEN

    @contextmanager
    def together(self) -> Iterator[None]:
        """See `Batch.together`."""
        changes, digests = len(self._changes), len(self._digests)
        amendments = len(self._amendments)
        try:
            yield
        except BaseException:
            self._of.lifecycles.forget(self._changes[changes:])
            self._of.imports.forget(event_id for event_id, _ in self._digests[digests:])
            self._of.amendments.forget(self._amendments[amendments:])
            del self._changes[changes:], self._digests[digests:], self._amendments[amendments:]
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            with self._of.store.transaction():
                self._of.keys.write_new()
                self._of.lifecycles.write(self._changes)
                self._of.imports.add(self._digests)
                self._of.amendments.write(self._amendments)


class TrialDepartment:
    """Checks, seals with made-up keys and encodes as a department does, and forgets the event."""

    def __init__(
        self,
        name: str,
        *,
        catalogue: Catalogue,
        codes: CodeLists,
        regions: Regions,
        folder: Path,
        before: Path | None,
    ) -> None:
        """folder: a temporary one, for keys that open nothing. before: the department's own
        store, whose imports, steps and amendments are known on trial too.

        Raises InputError if a publisher is at work on that store.
        """
        self.name = name
        self.store = DepartmentStore(folder / "trial.db", department=name)
        self.keys = DepartmentKeys(self.store)
        self.lifecycles = Lifecycles(self.store)
        self.imports = ImportState(self.store)
        self.amendments = Amendments(self.store)
        if before is not None:
            self._know(before)
        self.preparation = Preparation(
            name,
            Settings.model_construct(),
            catalogue=catalogue,
            codes=codes,
            regions=regions,
            keys=self.keys,
            spool=Spool(self.store),
        )

    def _know(self, path: Path) -> None:
        with DepartmentStore(path, department=self.name) as own:
            self.lifecycles.begin_as(Lifecycles(own))
            self.imports.begin_as(ImportState(own))
            self.amendments.write(Amendments(own).every())

    @property
    def waiting(self) -> int:
        """None: an event on trial goes nowhere."""
        return 0

    def batch(self) -> TrialBatch:
        return TrialBatch(self)

    def flush(self, timeout_s: float) -> None:
        pass

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.store.close()
