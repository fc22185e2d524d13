# SPDX-License-Identifier: GPL-3.0-or-later
"""Every known way out, by number, with the test that tries it: none may be lost from the suite."""

from __future__ import annotations

import glob
import os
import re

import pytest

from escape import all_routes, further_routes, module_routes

_TESTS = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))

# Names of routes, or of test functions; in the order of the list that the suite was made from.
LIST = {
    "signal a process outside": ["kill a process outside", "kill everything that can be seen"],
    "pid 1's root": ["write through the root of pid 1", "enter pid 1's root"],
    "climbing out of chroot": ["climb out of a chroot"],
    "an inherited descriptor": ["use an inherited descriptor"],
    "kernel settings": ["change a kernel setting", "change a kernel setting after a remount"],
    "/sys": ["change /sys"],
    "control groups": ["make a control group"],
    "kernel log, loop control, kvm": [
        "write into the kernel's log",
        "open the loop control",
        "open devices that matter",
    ],
    "fuse": ["open fuse"],
    "a new device node": ["make a device node and open it"],
    "a device node on the disk": ["open a device node that lies on the machine"],
    "mount": ["mount a tmpfs", "bind a directory"],
    "fresh kernel file systems": ["mount fresh kernel file systems"],
    "unmount": ["unmount everything and write below"],
    "reboot": ["reboot"],
    "swap and accounting": ["switch swap off", "start accounting"],
    "fanotify, perf, bpf, syslog": [
        "fanotify",
        "perf events of the whole machine",
        "bpf",
        "read the kernel's log",
    ],
    "quotactl": ["quotactl"],
    "io_uring": ["io_uring"],
    "clock": ["set the clock", "adjust the clock"],
    "host name": ["set the host's name"],
    "keyrings": ["find a key of the user", "add a key", "join another session keyring"],
    "files by handle": ["open a file by handle"],
    "abstract sockets": ["talk to an abstract socket"],
    "sockets with a path": ["talk to a socket on disk", "talk to a socket below /run"],
    "loopback": ["talk to the loopback"],
    "audit and packet sockets": ["an audit socket", "a packet socket"],
    "a process that survives": [
        "test_a_process_left_behind_is_named_and_ended",
        "test_nothing_runs_while_the_changes_are_read",
    ],
    "fork bomb": ["test_a_fork_bomb_ends", "test_a_bomb_of_threads_ends"],
    "filling the upper": [
        "test_a_script_that_fills_the_room_is_unknown",
        "test_a_workspace_without_inodes_is_unknown",
    ],
    "memory": ["test_a_memory_hog_is_unknown", "test_shared_memory_without_an_owner_is_bounded"],
    "output": ["test_a_flood_of_output_is_bounded"],
    "time": ["test_a_script_that_never_ends_is_cut_off_and_what_it_did_is_known"],
    "killing those who watch": [
        "test_whoever_is_killed_nothing_stays",
        "test_whoever_is_killed_at_whatever_stage_nothing_stays",
    ],
    "terminal input": ["push input into a terminal", "write to a terminal of the machine"],
    "System V and POSIX IPC": ["write to shared memory of System V", "send to a message queue"],
    "memory and program of the helper": ["read pid 1's memory", "use pid 1's program file"],
    "an inherited namespace": ["use an inherited namespace", "enter a namespace"],
    "a received descriptor": ["receive a descriptor from outside"],
    "hard link and truncate": ["change a file through a hard link", "change a file through its other name"],
    "reading a moving upper": [
        "test_a_symbolic_link_in_the_lower_is_never_followed",
        "test_nothing_runs_while_the_changes_are_read",
    ],
    "odd names": ["test_odd_names_are_read_byte_for_byte", "test_a_deed_is_told_however_it_is_hidden"],
    "whiteout of a directory": ["test_a_deleted_directory_counts_every_file_below_it_with_its_size_and_time"],
    "opaque directory": ["test_each_upper_entry_over_each_lower_entry_reads_as_the_kernel_shows_it"],
    "rename away": ["test_a_renamed_directory_names_where_each_path_below_came_from"],
    "attributes only": ["test_reading_the_upper_equals_a_naive_comparison_of_merged_and_lower"],
    "same size": ["test_a_deed_is_told_however_it_is_hidden"],
    "restored times": ["test_a_deed_is_told_however_it_is_hidden"],
    "a mount below": ["test_a_mount_over_a_mount_shows_the_upper_one"],
    "vfat and FUSE": ["test_a_socket_where_nothing_can_be_covered_leads_nowhere"],
    "an overlay as lower": ["test_hard_links_stay_one_file"],  # as all here: the machine's root is one
    "changes on the machine meanwhile": ["test_a_file_that_both_change_is_doubtful"],
    "two at once": ["test_two_rehearsals_at_once_do_not_meet"],
    "modules": [
        "load a module",
        "load a line discipline",
        "load a module by a rare protocol",
        "load a module by a netlink family",
        "a netlink socket of the security module",
        "ask a socket for bridges and virtual networks",
        "have a module loaded by a request on a socket",
        "have a module loaded by an odd type of socket",
        "have a module loaded by a socket of no family",
        "have a module loaded by a pair of sockets",
        "have a module loaded by the key of a connection",
    ],
    "a script that notices": [],  # not solved: docs/threat-model.md
    "asking a service": ["talk to a socket below /run"],
    "deeds for later": ["plant a unit, a cron job and a profile"],
}


def known() -> set[str]:
    found = {route.name for route in (*all_routes.WITNESSED, *all_routes.ANSWERED)}
    for path in glob.glob(_TESTS + "/*/test_*.py"):
        with open(path, encoding="utf-8") as file:
            found.update(re.findall(r"^def (test_\w+)", file.read(), re.MULTILINE))
    return found


@pytest.mark.parametrize("way", LIST)
def test_each_known_way_has_its_tests(way: str) -> None:
    assert set(LIST[way]) <= known()
    assert LIST[way] or way == "a script that notices"


def test_the_list_is_whole_and_each_route_has_a_name_of_its_own() -> None:
    assert len(LIST) == 57
    names = [route.name for route in (*all_routes.WITNESSED, *all_routes.ANSWERED)]
    assert len(names) == len(set(names))
    of_our_own = [
        one for part in (further_routes, module_routes) for one in (*part.WITNESSED, *part.ANSWERED)
    ]
    assert len(of_our_own) >= 20
