# SPDX-License-Identifier: GPL-3.0-or-later
"""The lines of the stand-ins for systemctl, service, invoke-rc.d, systemd-run and others that start programs.

Calls that act are answered with success: nothing runs inside that could be stopped. Questions are answered by
unit_answers, what is to be started is run by started_programs, and what is asked of deb-systemd-invoke and
invoke-rc.d is decided by service_policy; all in Perl, which every Debian has.
Where systemd does not run on the machine, systemctl is let fail as it does there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from aptguard.rehearsal import service_policy, started_programs, unit_answers, virtualization
from aptguard.rehearsal.call_notes import UNANSWERED_CALL, UNCLEAR_CALL, noted_as

_PERL: Final = b"/usr/bin/perl"
# As sd_booted(3) does; so do maintainer scripts.
_BOOTED: Final = b"[ -d /run/systemd/system ]"


def service_lines(calls: bytes, caller: bytes) -> Mapping[bytes, bytes]:
    """Return for each program the lines that follow the recording of its call.

    In them ``$o`` is the program's original. ``calls`` is the path of the record, ``caller`` the word in a
    record that says whose script it is, as the shell writes it.
    """
    unanswered, unclear = (noted_as(mark, calls, caller) for mark in (UNANSWERED_CALL, UNCLEAR_CALL))
    needs_perl = b"[ -x " + _PERL + b" ] || { "
    units = b"exec " + _PERL + b" " + unit_answers.PROGRAM_PATH
    programs = b"exec " + _PERL + b" " + started_programs.PROGRAM_PATH
    verbs = b"|".join(unit_answers.ONLINE_VERBS)
    systemctl = (
        b'case "${0##*/}" in systemctl) ;; '
        # It goes by its name, which the shell cannot give it.
        b"runlevel) exec " + _PERL + b" -e 'exec {$ARGV[0]} q(runlevel)' \"$o\";; *) exit 0;; esac\n"
        + _BOOTED + b' || { unset SYSTEMD_OFFLINE; exec "$o" "$@"; }\n'
        # Its own offline mode answers the calls that act, and really does those that only change files. Where
        # an option comes first, the verb is known only to who knows which options take a value.
        b'case "$1" in ""|-*|' + verbs + b') ;; *) SYSTEMD_OFFLINE=1 exec "$o" "$@";; esac\n'
        + needs_perl + unanswered + b"; exit 1; }\n"
        + units + b' "$o" "$@"'
    )  # fmt: skip
    policy = needs_perl + unclear + b"; exit 0; }\nexec " + _PERL + b" " + service_policy.PROGRAM_PATH
    return {
        b"systemctl": systemctl,
        b"service": (
            b'case "$1 $2" in --status-all*) '
            + unanswered
            + b";; *' status')\nif "
            + _BOOTED
            + b"; then\n"
            + needs_perl
            + unanswered
            + b"; exit 1; }\n"
            + units
            + b' "${o%/*}/systemctl" status "$1"\nfi\n'
            b'[ ! -e "/etc/init.d/$1" ] || ' + unanswered + b"\n"
            b'exec "$o" "$@";; esac\nexit 0'
        ),
        b"deb-systemd-invoke": policy + b' deb-systemd-invoke "$o" "$@"',
        b"invoke-rc.d": policy + b' invoke-rc.d "$o" "$@"',
        **{
            name: needs_perl + unclear + b"; exit 0; }\n" + programs + b" " + name + b' "$o" "$@"'
            for name in (b"start-stop-daemon", b"systemd-run", b"systemd-cat")
        },
        b"systemd-detect-virt": (
            needs_perl + unanswered + b"; exit 1; }\n"
            b"exec " + _PERL + b" " + virtualization.PROGRAM_PATH + b' "$o" "$@"'
        ),
    }


def service_programs(calls: bytes) -> tuple[tuple[bytes, bytes], ...]:
    """Return where the programs in Perl belong, inside, and their text."""
    return tuple(
        (module_path, text.replace(b"@CALLS@", calls))
        for module_path, text in (
            (unit_answers.PROGRAM_PATH, unit_answers.PROGRAM),
            (started_programs.PROGRAM_PATH, started_programs.PROGRAM),
            (virtualization.PROGRAM_PATH, virtualization.PROGRAM),
            (service_policy.PROGRAM_PATH, service_policy.PROGRAM),
        )
    )
