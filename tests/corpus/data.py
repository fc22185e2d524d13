# SPDX-License-Identifier: GPL-3.0-or-later
"""The data that a machine typically has when a package is purged, as scripts for ``bash -e``.

What is made here is somebody's: its deletion must be found.
"""

from __future__ import annotations

TYPICAL_DATA = {
    "apache2": "echo customer > /var/www/html/customer.html",
    "nginx": "mkdir -p /var/www/shop && echo customer > /var/www/shop/index.html",
    "lighttpd": "echo customer > /var/www/html/customer.html",
    "postgresql": "cd /; runuser -u postgres -- psql -qc 'CREATE TABLE customer AS SELECT 1 AS id'",
    "mariadb-server": "mariadb -e 'CREATE DATABASE shop; CREATE TABLE shop.customer (id int)'",
    "redis-server": "redis-cli set customer 1; redis-cli save",
    "postfix": "install -o mail -g mail -m 660 /dev/null /var/mail/alice; echo mail > /var/mail/alice",
    "dovecot-core": "install -d /var/mail; echo mail > /var/mail/alice",
    "slapd": "slapcat > /dev/null",
    "prometheus": "mkdir -p /var/lib/prometheus/metrics2; echo x > /var/lib/prometheus/metrics2/block",
    "bind9": "echo '; zone' > /var/lib/bind/db.example",
    "samba": "mkdir -p /srv/share; echo x > /srv/share/file",
    "mosquitto": "mosquitto_pub -r -t a -m b || true",
    "openvpn": "echo key > /etc/openvpn/server.key",
    "wireguard-tools": "echo key > /etc/wireguard/wg0.conf",
    "cron": "echo '0 4 * * * root true' > /etc/cron.d/local; echo '1 1 * * * true' | crontab -",
    "tor": "sleep 1",
    "vsftpd": "echo x > /srv/ftp/file",
    "git": "git init -q --bare /srv/git.git",
    "supervisor": "echo '[program:x]' > /etc/supervisor/conf.d/x.conf",
    "sudo": "echo 'alice ALL=(ALL) ALL' > /etc/sudoers.d/alice",
    "logrotate": "echo '/srv/x.log {}' > /etc/logrotate.d/local",
    "screen": "true",
}
