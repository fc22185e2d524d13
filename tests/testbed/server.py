# SPDX-License-Identifier: GPL-3.0-or-later
"""A server to lose: a PostgreSQL cluster with rows in it, and aptguard on it."""

from __future__ import annotations

import os
import subprocess

from testbed.guest import Container
from testbed.trees import Tree, guest_tree_with

PROJECT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DEB_IN_GUEST = "/root/aptguard.deb"

# The server listens on its socket only, for guests share the network; nothing writes by itself.
POSTGRESQL_SETUP = """
cd /
for directory in /etc/postgresql/*/main/conf.d; do
    printf "listen_addresses = ''\\nautovacuum = off\\n" > "$directory/testbed.conf"
done
systemctl restart 'postgresql@*-main.service'
runuser -u postgres -- psql --quiet --set ON_ERROR_STOP=1 <<'SQL'
CREATE TABLE customer (id integer PRIMARY KEY, name text NOT NULL, balance numeric NOT NULL);
INSERT INTO customer SELECT n, 'customer ' || n, n * 1.25 FROM generate_series(1, 5000) AS n;
SQL
"""

CHECKSUM = "SELECT count(*), md5(string_agg(c::text, ',' ORDER BY id)) FROM customer AS c"


def tree_with_postgresql(version: str) -> Tree:
    """Return the tree of a server whose PostgreSQL, from Debian's archive, starts with its rows in place."""
    return guest_tree_with(version, ["postgresql"], POSTGRESQL_SETUP)


def rows_of_customers(machine: Container) -> str:
    """Return count and checksum of all rows, asked from the running server."""
    psql = ["runuser", "-u", "postgres", "--", "psql", "--no-psqlrc", "--quiet", "-tA", "-c", CHECKSUM]
    return machine.run(psql).stdout.strip()


def install_aptguard(machine: Container, deb: str) -> None:
    """Install the package as an administrator would."""
    machine.copy_in(deb, DEB_IN_GUEST)
    machine.install(DEB_IN_GUEST)


def copy_project(machine: Container, directory: str = "/usr/local/src/aptguard") -> str:
    """Put the sources, without what was built from them, into the machine and return where they are."""
    os.makedirs(machine.path(directory))
    pack = ["tar", "--create", "--exclude=./build", "--exclude=./.git", "--exclude=__pycache__", "."]
    packed = subprocess.run(pack, cwd=PROJECT, check=True, stdout=subprocess.PIPE).stdout
    subprocess.run(["tar", "--extract", "-C", machine.path(directory)], input=packed, check=True)
    return directory
