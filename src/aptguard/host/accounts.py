# SPDX-License-Identifier: GPL-3.0-or-later
"""passwd(5), group(5) and sysusers.d(5), read without losing a line."""

from __future__ import annotations

from aptguard.host.sysusers import declarations
from aptguard.policy.facts import Account, Accounts, Group
from aptguard.shown import shown


def read_accounts(passwd: bytes, group: bytes) -> Accounts:
    """Return the accounts and groups in the contents of /etc/passwd and /etc/group.

    A line that cannot be read goes to ``broken`` (with the file's name before it), so that nobody takes it
    for absent. Empty lines and comments, which glibc skips, and the ``+`` and ``-`` lines of NIS
    (nsswitch.conf(5), compat mode), which name no account of this machine, are left out.
    """
    accounts: list[Account] = []
    groups: list[Group] = []
    broken: list[str] = []
    for line in _lines(passwd):
        account = _account(line.split(b":"))
        if account is None:
            broken.append(f"passwd: {shown(line)}")
        else:
            accounts.append(account)
    for line in _lines(group):
        one = _group(line.split(b":"))
        if one is None:
            broken.append(f"group: {shown(line)}")
        else:
            groups.append(one)
    return Accounts(tuple(accounts), tuple(groups), tuple(broken))


def declared_accounts(configuration: bytes) -> frozenset[str]:
    """Return the account names that a sysusers.d(5) file declares (lines of type ``u`` and ``u!``)."""
    return frozenset(one.name for one in declarations(configuration))


def _lines(data: bytes) -> list[bytes]:
    return [line for line in data.split(b"\n") if line.strip() and line[:1] not in (b"#", b"+", b"-")]


def _account(fields: list[bytes]) -> Account | None:
    if len(fields) != 7 or not fields[0]:
        return None
    uid, gid = _number(fields[2]), _number(fields[3])
    if uid is None or gid is None:
        return None
    return Account(_text(fields[0]), uid, gid, fields[5], fields[6])


def _group(fields: list[bytes]) -> Group | None:
    if len(fields) != 4 or not fields[0]:
        return None
    gid = _number(fields[2])
    if gid is None:
        return None
    members = frozenset(_text(member.strip()) for member in fields[3].split(b",") if member.strip())
    return Group(_text(fields[0]), gid, members)


def _number(field: bytes) -> int | None:
    return int(field) if field.isdigit() and len(field) <= 10 else None


def _text(field: bytes) -> str:
    return field.decode("utf-8", "surrogateescape")
