# SPDX-License-Identifier: GPL-3.0-or-later
"""What a rehearsal is asked to do and what it says afterwards; standard library only.

The helper process that rehearses runs without site packages, so nothing here may import them.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from aptguard.changes.model import Cause, Change

# Kinds of effects that decide: what would be destroyed; what succeeds on the machine only, so that what
# follows is not seen; and what is asked of the machine and cannot be answered.
DESTRUCTION = "destruction"
UNCLEAR = "unclear"
UNANSWERED = "unanswered"
# A call that is refused in a rehearsal and not on the machine: what would follow cannot be told.
REFUSED = "refused"


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one rehearsal: seconds, bytes, counts.

    ``upper_spare_bytes`` is room beyond ``upper_bytes``: it may be filled before the bound is noticed.
    ``upper_likely_bytes`` is what probably will be written there; it lies on disk where memory is too small.
    """

    seconds: float = 120.0
    leftover_seconds: float = 3.0  # for processes that outlive their script
    upper_bytes: int = 1 << 30
    upper_spare_bytes: int = 512 << 20
    upper_inodes: int = 1_000_000
    memory_bytes: int = 2 << 30
    processes: int = 1024
    output_bytes: int = 1 << 20
    changes: int = 500_000
    upper_likely_bytes: int = 0
    trigger_seconds: float = 60.0  # of these, for the step that runs triggers


@dataclass(frozen=True, slots=True)
class Step:
    """One call of dpkg, as apt will make it; ``argv[0]`` is a path. ``triggers``: it runs triggers only.

    ``stdin`` is what the call reads from its standard input; empty stands for /dev/null. With ``left_out``
    the names of the packages whose triggers wait are added to ``argv`` when the step begins, but for those
    that match one of ``left_out`` (fnmatch(3)) and are not ``brought``; with none left nothing is called.
    """

    argv: tuple[bytes, ...]
    triggers: bool = False
    stdin: bytes = b""
    left_out: tuple[bytes, ...] = ()
    brought: tuple[bytes, ...] = ()


@dataclass(frozen=True, slots=True)
class RehearsalRequest:
    """All that the helper process needs to know.

    ``environment``, ``cwd`` and ``umask`` are the ones the scripts will really have. ``collect`` are
    files and directories whose content after the run is wanted (a directory: each regular file directly
    in it). ``silenced`` are programs that must do nothing inside (the guard's own hooks).
    ``stop_patterns`` are path prefixes whose first deletion makes the outcome certain: the run ends a short
    grace after it (empty: never). ``answers`` are given to scripts that ask debconf these questions, whatever
    its database says (a name such as ``slapd/purge_database`` to ``true`` or ``false``).
    """

    steps: tuple[Step, ...]
    environment: dict[bytes, bytes]
    cwd: bytes = b"/"
    umask: int = 0o022
    limits: Limits = field(default_factory=Limits)
    collect: tuple[bytes, ...] = ()
    silenced: tuple[bytes, ...] = ()
    stop_patterns: tuple[bytes, ...] = ()
    answers: dict[bytes, bytes] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepResult:
    """How one call ended: ``status`` as waitpid(2) gave it, converted by waitstatus_to_exitcode."""

    argv: tuple[bytes, ...]
    status: int | None  # None: not reached, or cut off
    seconds: float


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something that could not be rehearsed or covered, and why; one of these forbids ``allow``.

    ``path`` is set where it concerns a place (an uncovered mount).
    """

    what: str
    reason: str
    path: bytes | None = None


@dataclass(frozen=True, slots=True)
class Effect:
    """Something attempted beyond files: ``kind`` is socket, network, signal, service, mount, device, ...

    ``path`` is set where an attempt (``attempt``, DESTRUCTION) was aimed at one place.
    """

    kind: str
    detail: str
    cause: str | None = None
    path: bytes | None = None


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a rehearsal is: the script that runs (None: dpkg itself) and the number of paths changed."""

    package: str | None
    script: str | None
    paths: int


@dataclass(frozen=True, slots=True)
class ScriptRun:
    """One run of a maintainer script: when it began, in seconds of the rehearsal, and how long it took.

    ``script`` is with its argument (``postrm purge``); ``seconds`` reach to what was seen next of dpkg.
    """

    package: str | None
    script: str
    begin: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Question:
    """A yes-no question of debconf whose answer a prerm or postrm wanted to know (debconf-devel(7)).

    ``answer`` is what debconf says by itself. ``asked``: on the machine a person would be asked first, if
    there is one, so that the answer is not known. ``text`` is the question as it is shown.
    """

    name: str
    answer: bool
    asked: bool
    package: str | None
    script: str
    text: str


@dataclass(frozen=True, slots=True)
class AccountStep:
    """One writing of passwd(5) or group(5): the lines that went and came, and who may have done it."""

    path: bytes
    lost: tuple[bytes, ...]
    gained: tuple[bytes, ...]
    causes: tuple[Cause, ...]


@dataclass(frozen=True, slots=True)
class LyingBelow:
    """The directory that was being emptied when the run was ended early, and how many paths lay below it.

    ``at_least``: there are more, or some could not be counted.
    """

    directory: bytes
    paths: int
    at_least: bool = False


@dataclass(frozen=True, slots=True)
class RehearsalResult:
    """What happened in a rehearsal.

    ``scripts`` are the runs of maintainer scripts in their order, as far as they were seen.
    ``mount_points`` are the places of the machine at which something is mounted, with whether the machine
    itself refuses writing there.
    ``complete`` is False when the run was cut off (deadline, early stop, a limit); the changes then are what
    had happened so far. ``collected`` has None for a file that is not there afterwards. ``output`` is the
    tail of what dpkg and the scripts wrote. ``timing`` is in seconds by stage. ``notes`` are facts for the
    report that are no unknowns (for example that attribution fell back to the package). ``questions`` are
    those whose answers scripts that take packages away wanted. ``ended_early``: by a deletion below one of
    the stop patterns; ``lying_below`` then says how much more there is. ``earlier_causes`` are, for a path of
    ``changes`` that several have changed, those before the one that its change names, the last one first.
    ``account_steps`` are in their order, none where they could not be told apart.
    """

    steps: tuple[StepResult, ...]
    changes: tuple[Change, ...]
    complete: bool
    collected: dict[bytes, bytes | None] = field(default_factory=dict)
    unknowns: tuple[Unknown, ...] = ()
    effects: tuple[Effect, ...] = ()
    notes: tuple[str, ...] = ()
    output: bytes = b""
    timing: dict[str, float] = field(default_factory=dict)
    scripts: tuple[ScriptRun, ...] = ()
    mount_points: dict[bytes, bool] = field(default_factory=dict)
    questions: tuple[Question, ...] = ()
    ended_early: bool = False
    lying_below: LyingBelow | None = None
    earlier_causes: dict[bytes, tuple[Cause, ...]] = field(default_factory=dict)
    account_steps: tuple[AccountStep, ...] = ()
