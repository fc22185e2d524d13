# SPDX-License-Identifier: GPL-3.0-or-later
"""Homes whose removal would take more along than an account's own files; standard library only.

``userdel -r`` and ``deluser --remove-home`` delete what stands in the sixth field of passwd(5).
"""

from __future__ import annotations

from collections.abc import Container, Iterable

from aptguard.policy.check_settings import check_setting
from aptguard.policy.facts import Account, Accounts
from aptguard.policy.finding import Finding, Severity
from aptguard.policy.model import Place, Policy
from aptguard.policy.places import Places
from aptguard.shown import shown

# Not directories, or made to be missing (Debian policy 9.2.3; base-passwd's users-and-groups).
_NO_HOME = frozenset({b"", b"/nonexistent", b"/dev/null", b"/var/empty", b"/run/empty", b"/no/home"})
# Named after what is in it: many services have it as the directory that they lock themselves into.
_NOTHING_IN_IT = b"/empty"
_SYSTEM = frozenset(
    {
        *(b"/", b"/bin", b"/boot", b"/dev", b"/etc", b"/home", b"/lib", b"/lib32", b"/lib64", b"/libx32"),
        *(b"/media", b"/mnt", b"/opt", b"/root", b"/run", b"/sbin", b"/srv", b"/sys", b"/tmp"),
        *(
            b"/usr",
            b"/var",
            b"/boot/efi",
            b"/boot/grub",
            b"/usr/bin",
            b"/usr/sbin",
            b"/usr/lib",
            b"/usr/lib64",
        ),
        *(b"/usr/libexec", b"/usr/share", b"/usr/local", b"/usr/local/bin", b"/usr/local/sbin", b"/usr/src"),
        *(b"/usr/local/lib", b"/usr/local/share", b"/usr/local/etc", b"/usr/include", b"/usr/games"),
        *(
            b"/var/backups",
            b"/var/cache",
            b"/var/lib",
            b"/var/lib/dpkg",
            b"/var/lib/apt",
            b"/var/lib/systemd",
        ),
        *(b"/var/local", b"/var/log", b"/var/mail", b"/var/opt", b"/var/run", b"/var/spool", b"/var/tmp"),
        *(b"/var/spool/mail", b"/var/spool/cron", b"/var/www", b"/var/www/html", b"/etc/ssh", b"/etc/ssl"),
    }
)
_THERE = "Its home is"
_COMING = "sysusers.d will make it at the next boot with the home"
# Accounts of Debian's own services, declared in sysusers.d(5) without a home and never removed.
_SYSTEMD = "systemd-"
_SERVICES = frozenset({"polkitd", "messagebus"})
_FIRST_DYNAMIC_UID = 100  # 0-99 are base-passwd's, the same on every Debian system (policy 9.2.2)
_FIRST_PERSON = 1000
_NOBODY = 65534


def is_person(account: Account) -> bool:
    """Return whether the account is one of a human being (policy 9.2.2: 1000 to 59999, as root too)."""
    return account.uid == 0 or _FIRST_PERSON <= account.uid < 60_000


def is_static(account: Account) -> bool:
    """Return whether the account belongs to Debian's base system and stands outside any package's reach."""
    return account.uid < _FIRST_DYNAMIC_UID or account.uid == _NOBODY


def has_the_default_home(account: Account) -> bool:
    """Return whether this is one of the base services' accounts, with the home that nobody has chosen.

    systemd-sysusers(8) gives / to whoever declares no home. That sysusers.d(5) declares it, the caller knows.
    """
    known = account.name.startswith(_SYSTEMD) or account.name in _SERVICES
    return known and normal(account.home) == b"/"


def normal(home: bytes) -> bytes:
    """Return ``home`` without doubled or trailing slashes and dots."""
    parts = [part for part in home.split(b"/") if part not in (b"", b".")]
    resolved: list[bytes] = []
    for part in parts:
        if part == b"..":
            resolved = resolved[:-1]
        else:
            resolved.append(part)
    return b"/" + b"/".join(resolved) if home else b""


def why_dangerous(
    account: Account, accounts: Accounts, places: Places, companions: Container[str] = frozenset()
) -> str | None:
    """Return the words that say whose directory the account's home really is, None when it is harmless.

    A home is dangerous that is a directory of the system, a protected one, or another account's.
    ``companions`` are accounts that come and go with it: they may share a home.
    """
    home = normal(account.home)
    if home in _NO_HOME:
        return None
    if home in _SYSTEM and not (home == b"/root" and account.uid == 0):
        return "the root of the file system" if home == b"/" else "a directory of the system"
    if places.covers(Place.PROTECTED, home) is not None:
        return "a protected directory"
    for other in accounts.accounts:
        if other.name == account.name or other.uid == account.uid or other.name in companions:
            continue
        if normal(other.home) == home and not home.endswith(_NOTHING_IN_IT):
            return f"the home of {shown(other.name)} too"
    return None


def dormant_dangers(
    accounts: Accounts,
    policy: Policy,
    declared: frozenset[str] = frozenset(),
    *,
    coming: Iterable[Account] = (),
    everything: bool = False,
) -> tuple[Finding, ...]:
    """Return a finding for each account whose removal with its home would be a disaster.

    Severity WARN where a package or an administrator may remove it one day. The accounts of the base system,
    systemd's own and those in ``declared`` (sysusers.d(5)), which nothing ever removes, are told only with
    ``everything``, and with severity IGNORE. ``coming`` are accounts that are not there yet, and that
    sysusers.d(5) will make. Lines of passwd(5) that could not be read are findings too.
    """
    setting = check_setting(policy, "account-home")
    places = Places(policy)
    found = []
    expected = tuple(coming)
    for account in (*accounts.accounts, *expected):
        why = why_dangerous(account, accounts, places)
        if why is None or (account.uid == 0 and normal(account.home) == b"/root"):
            continue
        kept = is_static(account) or account.name.startswith(_SYSTEMD) or account.name in declared
        if kept and not everything:
            continue
        found.append(
            Finding(
                rule=setting.name,
                severity=Severity.IGNORE if kept else Severity.WARN,
                reason=f"{_THERE if account not in expected else _COMING} {shown(account.home)}, {why}: "
                "whatever removes the account with its home deletes that.",
                change="home",
                account=account.name,
                origin=setting.origin,
            )
        )
    for line in accounts.broken:
        found.append(
            Finding(
                rule=setting.name,
                severity=Severity.WARN,
                reason=f"The line '{line[:100]}' cannot be read, so nobody knows which home it means.",
                change="unreadable",
                account=line.split(":")[1].strip()[:60],
                origin=setting.origin,
            )
        )
    return tuple(sorted(found, key=lambda one: (one.severity is Severity.IGNORE, one.account or "")))
