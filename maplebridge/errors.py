"""Every error of Maple Bridge, in one tree.

    MapleBridgeError                 exit
    ├── InputError                    3    what was given cannot be taken as it is
    │   ├── EventInvalid                   an event breaks its contract
    │   ├── EventTooLarge                  an event is larger than the bus takes
    │   ├── MappingInvalid                 a mapping file cannot be used
    │   ├── RootMissing                    the key broker's root is not where it should be
    │   └── ContractRefused                a schema fails the linter or is not pinned
    ├── AccessDenied                  4    policy says no
    │   └── KeyWithheld                    no key was released for a field
    ├── Unavailable                   5    a server does not answer
    │   ├── KafkaUnavailable
    │   ├── RegistryUnavailable
    │   ├── StoreUnavailable               PostgreSQL
    │   ├── OutboxHeld                     another connection holds a department's outbox
    │   ├── KeyBrokerUnavailable
    │   ├── RootUnavailable                the hardware module with the key broker's root
    │   ├── DepartmentStoreUnavailable     a department's own file of keys and waiting events
    │   ├── SpoolFull                      no room for further waiting events
    │   ├── SenderFailed                   what brings waiting events to Kafka met a defect
    │   ├── WitnessUnavailable             it does not co-sign the audit log's checkpoint
    │   └── AuditUnavailable
    │       └── AuditOverdue               leaves wait too long for their witnesses
    ├── StackError                    6    the embedded stack cannot do what was asked
    │   ├── StackNotRunning
    │   └── StageFailed
    └── IntegrityError                7    something is not what it was when it was made
        ├── TokenInvalid                   a sealed field was altered, moved or cut
        └── AuditCorrupt                   the audit log was altered

A message names ids, fields and what to do next; it never holds a field's value.
The numbers are the exit codes of the command line; 0 is success, 1 a defect of
Maple Bridge itself, 2 a wrong use of a command.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Self

_FAULTS_MAX = 20
_START = "Run `maplebridge status`; `maplebridge up` starts what is down."
_MAKE_ROOM = "Make room there; nothing is lost, and what waits goes on by itself."


class MapleBridgeError(Exception):
    """Base of all; `todo` is the one thing to do next."""

    exit_code = 1

    def __init__(self, message: str, *, todo: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.todo = todo

    def __str__(self) -> str:
        return f"{self.message} {self.todo}".strip()


class InputError(MapleBridgeError):
    exit_code = 3


class EventInvalid(InputError):
    """An event breaks its contract; `path` is the failing field, never its value.

    others: further faults of the same event, as far as it could be looked at.
    """

    def __init__(self, message: str, *, path: str, todo: str = "") -> None:
        super().__init__(f"{path}: {message}" if path else message, todo=todo)
        self.path = path
        self.reason = message
        self.others: tuple[EventInvalid, ...] = ()

    def with_others(self, found: Iterable[EventInvalid]) -> Self:
        """Add faults of other paths, up to 20 in all."""
        known: dict[str, EventInvalid] = {self.path: self}
        known |= {each.path: each for each in self.others}
        for each in found:
            for one in (each, *each.others):
                known.setdefault(one.path, one)
        self.others = tuple(known.values())[1:_FAULTS_MAX]
        return self


class EventTooLarge(InputError):
    pass


class MappingInvalid(InputError):
    pass


class ContractRefused(InputError):
    pass


class RootMissing(InputError):
    pass


class AccessDenied(MapleBridgeError):
    """Policy says no; `rule` names the rule that decided, or `default-deny`."""

    exit_code = 4

    def __init__(self, message: str, *, rule: str = "default-deny", todo: str = "") -> None:
        super().__init__(message, todo=todo)
        self.rule = rule


class KeyWithheld(AccessDenied):
    pass


class Unavailable(MapleBridgeError):
    """A server does not answer; the message names it and its address.

    full: it answers, and says that its disk is full.
    """

    exit_code = 5
    server = "server"

    def __init__(
        self, address: str, detail: str = "", *, full: bool = False, todo: str = ""
    ) -> None:
        state = "has no room left on its disk" if full else "does not answer"
        message = f"{self.server} at {address} {state}"
        super().__init__(
            f"{message} ({detail})." if detail else f"{message}.",
            todo=todo or (_MAKE_ROOM if full else _START),
        )
        self.address = address


class KafkaUnavailable(Unavailable):
    server = "Kafka"


class RegistryUnavailable(Unavailable):
    server = "The schema registry"


class StoreUnavailable(Unavailable):
    server = "PostgreSQL"


class OutboxHeld(Unavailable):
    """Another connection holds a department's outbox.

    pid: of its process in the database, 0 if it has just let go. asked_at: when it last asked
    for something, None if this role may not know.
    """

    def __init__(self, address: str, pid: int, asked_at: datetime | None) -> None:
        MapleBridgeError.__init__(
            self,
            f"connection {pid} holds the outbox at {address}.",
            todo="If no other relay is at work it is one that was lost: end it with"
            f" SELECT pg_terminate_backend({pid}).",
        )
        self.address = address
        self.pid = pid
        self.asked_at = asked_at


class KeyBrokerUnavailable(Unavailable):
    server = "The key broker"


class RootUnavailable(Unavailable):
    """detail: what PKCS #11 calls the failure."""

    server = "The key broker's hardware module"

    def __init__(self, address: str, detail: str) -> None:
        super().__init__(address, detail, todo="Check that the module and its token are at work.")


class DepartmentStoreUnavailable(Unavailable):
    server = "The department's store"


class SpoolFull(Unavailable):
    """As many events wait as the spool may hold; the event was not taken."""

    def __init__(self, message: str, *, todo: str) -> None:
        MapleBridgeError.__init__(self, message, todo=todo)
        self.address = ""


class SenderFailed(Unavailable):
    """The thread that brings waiting events to Kafka met a defect of Maple Bridge."""

    def __init__(self, defect: str) -> None:
        MapleBridgeError.__init__(
            self,
            f"the department's sender met a defect of Maple Bridge ({defect}).",
            todo="Open the department anew, and report this.",
        )
        self.address = ""


class AuditUnavailable(Unavailable):
    server = "The audit log"


class AuditOverdue(AuditUnavailable):
    """Leaves have waited too long for a signed checkpoint with its quorum of witnesses."""

    def __init__(self, *, waited_s: str) -> None:
        MapleBridgeError.__init__(
            self,
            f"nothing is released: leaves of the audit log have waited {waited_s} s for a"
            " checkpoint with its quorum of witnesses.",
            todo="Start the service `audit` (`maplebridge status`) and see that the witnesses"
            " answer (`maplebridge witness list`); releases then go on by themselves.",
        )
        self.address = ""


class WitnessUnavailable(Unavailable):
    """A witness gave no cosignature of a checkpoint of `size` leaves."""

    def __init__(self, name: str, url: str, *, size: int, reason: str) -> None:
        MapleBridgeError.__init__(
            self,
            f"{name} at {url} does not co-sign {size} leaves: {reason}.",
            todo="Run `maplebridge audit verify`; ask whoever runs the witness.",
        )
        self.address = url


class StackError(MapleBridgeError):
    exit_code = 6


class StackNotRunning(StackError):
    pass


class SchemaDiffers(StackError):
    """A worker's build and the tables it would write to are of different versions.

    known, found: the newest migration of each, by name.
    """

    def __init__(self, known: str, found: str) -> None:
        is_older = known < found
        super().__init__(
            f"the projections are at {found}, and this build knows {known}.",
            todo="Start the newer build's worker; what this one left is waiting for it."
            if is_older
            else "Migrate them first: `maplebridge provision`, or `maplebridge up`.",
        )
        self.known = known
        self.found = found


class StageFailed(StackError):
    """One stage of `maplebridge up` failed; `log_tail` holds its last lines."""

    def __init__(
        self, stage: str, message: str, *, log_tail: Sequence[str] = (), todo: str = ""
    ) -> None:
        super().__init__(f"{stage}: {message}", todo=todo)
        self.stage = stage
        self.log_tail = tuple(log_tail)


class IntegrityError(MapleBridgeError):
    exit_code = 7


class TokenInvalid(IntegrityError):
    pass


class AuditCorrupt(IntegrityError):
    """The audit log was altered; `index` is the first bad leaf."""

    def __init__(self, message: str, *, index: int | None = None, todo: str = "") -> None:
        super().__init__(message, todo=todo)
        self.index = index
