# SPDX-License-Identifier: GPL-3.0-or-later
"""dpkg's command line: what one call of dpkg is told to do; standard library only.

Source: dpkg(1), and dpkg_options_parse of dpkg 1.21 to 1.22: options end at the first word that is none, a
long option takes its value after ``=`` or as the next word, short options cluster. What is forced or refused
stands after ``-`` (``--force-depends``) or in the next word.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from aptguard.shown import shown

_SHORT = {
    b"i": b"install",
    b"A": b"record-avail",
    b"r": b"remove",
    b"P": b"purge",
    b"V": b"verify",
    b"C": b"audit",
    b"?": b"help",
    b"b": b"build",
    b"c": b"contents",
    b"e": b"control",
    b"f": b"field",
    b"I": b"info",
    b"x": b"extract",
    b"X": b"vextract",
    b"W": b"show",
    b"l": b"list",
    b"L": b"listfiles",
    b"s": b"status",
    b"S": b"search",
    b"p": b"print-avail",
    b"a": b"pending",
    b"R": b"recursive",
    b"E": b"skip-same-version",
    b"G": b"refuse-downgrade",
    b"O": b"selected-only",
    b"N": b"no-also-select",
    b"B": b"auto-deconfigure",
    b"D": b"debug",
}
_ARCHIVE_ACTIONS = frozenset(("install", "unpack"))
_PACKAGE_ACTIONS = frozenset(("configure", "triggers-only", "remove", "purge"))
# What changes packages on disk: dpkg calls its hooks for these (dpkg(1), DPKG_HOOK_ACTION).
CHANGING = _ARCHIVE_ACTIONS | _PACKAGE_ACTIONS
# fmt: off
_OTHER_ACTIONS = frozenset((
    "add-architecture", "remove-architecture", "record-avail", "verify", "yet-to-unpack", "audit",
    "get-selections", "set-selections", "clear-selections", "update-avail", "merge-avail", "clear-avail",
    "forget-old-unavail", "print-architecture", "print-foreign-architectures", "predep-package",
    "compare-versions", "command-fd", "help", "force-help", "version", "build", "contents", "control",
    "field", "info", "extract", "vextract", "ctrl-tarfile", "fsys-tarfile", "raw-extract", "show", "list",
    "listfiles", "status", "search", "print-avail", "control-list", "control-show", "control-path",
))
_WITH_VALUE = frozenset((
    "debug", "root", "admindir", "instdir", "ignore-depends", "abort-after", "status-fd", "status-logger",
    "log", "pre-invoke", "post-invoke", "path-exclude", "path-include", "verify-format", "command-fd",
))
# fmt: on
_FORCING = ("force", "no-force", "refuse")
_WORDS_IN_NAME = ("force-", "no-force-", "refuse-", "assert-", "validate-")
_NO_ACT = frozenset(("no-act", "simulate", "dry-run"))
# fmt: off
_FLAGS = frozenset((
    "pending", "recursive", "skip-same-version", "refuse-downgrade", "selected-only", "no-also-select",
    "auto-deconfigure", "no-debsig", "no-pager", "no-triggers", "triggers", "robot", "largemem", "smallmem",
))
# fmt: on


class DpkgCommandError(ValueError):
    """dpkg itself would refuse this command line; the message is one sentence."""


@dataclass(frozen=True, slots=True)
class DpkgCommand:
    """One call of dpkg.

    ``action`` is dpkg's long name (``purge``), None where the command line names none. ``names`` are
    packages, ``archives`` .deb files (or, with ``recursive``, directories of them). ``options`` are all other
    options, each in one word as dpkg takes it again (``--force-depends``, ``--ignore-depends=x``), without
    those that bind the call to its caller (file descriptors, hooks, loggers).
    """

    action: str | None
    names: tuple[bytes, ...] = ()
    archives: tuple[bytes, ...] = ()
    arguments: tuple[bytes, ...] = ()  # of actions that take neither packages nor archives
    pending: bool = False
    recursive: bool = False
    no_act: bool = False
    root: bytes | None = None
    instdir: bytes | None = None
    admindir: bytes | None = None
    options: tuple[bytes, ...] = field(default=())

    @property
    def changes_packages(self) -> bool:
        """Whether this call can change packages on disk; these are the actions with dpkg hooks."""
        return not self.no_act and self.action in CHANGING

    @property
    def scripts_outside(self) -> bool:
        """Whether maintainer scripts are run outside of another root (``--force-script-chrootless``)."""
        outside = False
        for option in self.options:
            for forcing in _FORCING:
                things = option.removeprefix(f"--{forcing}-".encode())
                if things != option and runs_scripts_outside(things):
                    outside = forcing == "force"
        return outside


def runs_scripts_outside(forced: bytes) -> bool:
    """Whether the things that dpkg was told to force (``depends,all``) include script-chrootless."""
    return not {b"all", b"script-chrootless"}.isdisjoint(forced.split(b","))


def read_dpkg_command(argv: Sequence[bytes]) -> DpkgCommand:
    """Return what ``argv`` (``argv[0]`` being dpkg itself) tells dpkg to do.

    Raises DpkgCommandError where dpkg would refuse it, or where an option is not known here.
    """
    words = iter(argv[1:])
    action: str | None = None
    flags: set[str] = set()
    places: dict[str, bytes] = {}
    options: list[bytes] = []
    rest: list[bytes] = []
    for name, value in _options(words, rest):
        if _is_action(name):
            if action not in (None, name):
                raise DpkgCommandError(f"dpkg was told both --{action} and --{name}; it does one of them")
            action = name
        elif name in _NO_ACT:
            flags.add("no-act")
        elif name in ("pending", "recursive"):
            flags.add(name)
        elif name in ("root", "instdir", "admindir"):
            places[name] = value or b""
            if name == "root":  # dpkg(1): sets the other two as well; a later one overrides
                places["instdir"] = places["root"]
                places["admindir"] = places["root"].rstrip(b"/") + b"/var/lib/dpkg"
        elif name not in ("status-fd", "status-logger", "pre-invoke", "post-invoke", "log", "debug"):
            word = b"--" + name.encode("ascii", "surrogateescape")
            options.append(word if value is None else word + b"=" + value)
    return DpkgCommand(
        action=action,
        names=tuple(rest) if action in _PACKAGE_ACTIONS else (),
        archives=tuple(rest) if action in _ARCHIVE_ACTIONS else (),
        arguments=() if action in _PACKAGE_ACTIONS or action in _ARCHIVE_ACTIONS else tuple(rest),
        pending="pending" in flags,
        recursive="recursive" in flags,
        no_act="no-act" in flags,
        root=places.get("root"),
        instdir=places.get("instdir"),
        admindir=places.get("admindir"),
        options=tuple(options),
    )


def _options(words: Iterator[bytes], rest: list[bytes]) -> Iterator[tuple[str, bytes | None]]:
    """Yield the options with their values; what stands behind them is put into ``rest``."""
    for word in words:
        if word == b"--":
            break
        if not word.startswith(b"-") or word == b"-":
            rest.append(word)
            break
        if word.startswith(b"--"):
            yield _long_option(word[2:], words)
        else:
            yield from _short_options(word[1:], words)
    rest.extend(words)


def _long_option(text: bytes, words: Iterator[bytes]) -> tuple[str, bytes | None]:
    raw, separator, value = text.partition(b"=")
    name = raw.decode("ascii", "surrogateescape")
    if name in _FORCING and not separator:
        return f"{name}-{_next(words, f'--{name}').decode('ascii', 'surrogateescape')}", None
    known = name in _FLAGS or name in _NO_ACT or name in _WITH_VALUE or _is_action(name)
    if not known and not any(name.startswith(word) for word in _WORDS_IN_NAME):
        raise DpkgCommandError(f"--{shown(name)[:60]} is no option of dpkg that aptguard knows")
    if name in _WITH_VALUE:
        return name, value if separator else _next(words, f"--{name}")
    if separator and not any(name.startswith(word) for word in _WORDS_IN_NAME):
        raise DpkgCommandError(f"--{name} takes no value, but has one")
    return text.decode("ascii", "surrogateescape"), None


def _short_options(cluster: bytes, words: Iterator[bytes]) -> Iterator[tuple[str, bytes | None]]:
    for position in range(len(cluster)):
        sign = cluster[position : position + 1]
        if sign not in _SHORT:
            raise DpkgCommandError(f"-{shown(sign)} is no option of dpkg that aptguard knows")
        name = _SHORT[sign].decode()
        if name in _WITH_VALUE:
            value = cluster[position + 1 :]
            yield name, (value.removeprefix(b"=") if value else _next(words, f"-{sign.decode()}"))
            return
        yield name, None


def _is_action(name: str) -> bool:
    return (
        name in _ARCHIVE_ACTIONS
        or name in _PACKAGE_ACTIONS
        or name in _OTHER_ACTIONS
        or name.startswith(("assert-", "validate-"))
    )


def _next(words: Iterator[bytes], option: str) -> bytes:
    try:
        return next(words)
    except StopIteration:
        raise DpkgCommandError(f"dpkg's option {option} stands without its value") from None
