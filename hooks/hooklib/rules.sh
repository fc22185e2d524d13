# SPDX-License-Identifier: GPL-3.0-or-later
# shellcheck shell=dash
# What apt-hook and dpkg-hook have in common: to be read by sh, with nothing else that could be missing.
# The rule for a guard that cannot answer: nothing is taken away unjudged, all else goes on, loudly;
# aptguard itself can always go.

# shellcheck disable=SC2034  # used by the scripts that read this
python=/usr/bin/python3
run=/run/aptguard
# shellcheck disable=SC2034
nl='
'

# Set $parent and $started (fields 4 and 22 of stat, proc(5)) of process $1.
process() {
    { read -r stat <"/proc/$1/stat"; } 2>/dev/null || return 1
    # shellcheck disable=SC2086  # fields of numbers
    set -- ${stat##*) }
    parent=$2
    shift 19
    started=$1
}

# Set $approval to the file for process $1.
approval_of() {
    process "$1" || return 1
    # shellcheck disable=SC2034
    approval=$run/approved/$1-$started
}

# Set $apt to the process above $1 that is no shell: the one that runs apt's hooks.
apt_above() {
    apt=$1
    for _ in 1 2 3; do
        { read -r name <"/proc/$apt/comm"; } 2>/dev/null || return 1
        case $name in
        sh | dash | bash) process "$apt" && apt=$parent || return 1 ;;
        *) break ;;
        esac
    done
}

# Set $approval to that of the run of apt which process $1 belongs to. For DPkg::Post-Invoke apt starts its
# shells from a child of its own, so the run is found by who has an approval.
approval_above() {
    apt_above "$1" || return 1
    for _ in 1 2; do
        approval_of "$apt" || return 1
        [ ! -f "$approval" ] || return 0
        apt=$parent
    done
    return 1
}

# True during 'aptguard pause': {"until": SECONDS, ...} in a file of root's own directory. That comes first,
# as the words of a reason may look like it.
paused() {
    [ -f "$run/pause" ] && [ -O "$run/pause" ] || return 1
    until=$(sed -n '1s/^{"until": \([0-9][0-9]*\).*/\1/p' "$run/pause")
    [ -n "$until" ] && [ "$(date +%s)" -lt "$until" ]
}

# True when the words are packages that belong to aptguard, itself among them.
only_aptguard() {
    itself=no
    for package; do
        case ${package%%:*} in
        aptguard) itself=yes ;;
        python3-apt | python-apt-common | python3-pydantic | python3-pydantic-core | python3-structlog) ;;
        python3-systemd | python3-typing-extensions | python3-annotated-types | python3-typing-inspection) ;;
        *) return 1 ;;
        esac
    done
    [ "$itself" = yes ]
}

say() {
    printf 'aptguard: %s\n' "$1" >&2 || :
}

say_ways_out() {
    unchanged='nothing has been changed'
    # A front end may have made other calls before this one.
    [ -z "${DPKG_HOOK_ACTION:-}" ] || unchanged='this call of dpkg has changed nothing'
    say "BLOCKED - $unchanged. The guard cannot judge, so the verdict is unknown."
    printf '%s\n' >&2 \
        '  Find out why                aptguard status; journalctl -t aptguard' \
        '  Let all pass for a while    aptguard pause --for 30min --reason TEXT' \
        '  Take the guard away         apt-get purge aptguard      (this always passes)' \
        '                              or, as a last resort, delete' \
        '                              /etc/apt/apt.conf.d/05aptguard and /etc/dpkg/dpkg.cfg.d/aptguard' || :
}
