# SPDX-License-Identifier: GPL-3.0-or-later
"""A bug tracking system without bugs, on the loopback: what apt-listbugs asks in each run of apt."""

from __future__ import annotations

import contextlib
import http.server
import threading
from collections.abc import Iterator

# What Debian's answers to get_bugs where nothing is found.
_NO_BUGS = b"""<?xml version="1.0" encoding="UTF-8"?>
<soap:Envelope soap:encodingStyle="http://schemas.xmlsoap.org/soap/encoding/"
 xmlns:soap="http://schemas.xmlsoap.org/soap/envelope/" xmlns:soapenc="http://schemas.xmlsoap.org/soap/encoding/"
 xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance">
<soap:Body><get_bugsResponse xmlns="Debbugs/SOAP"><soapenc:Array soapenc:arrayType="xsd:anyType[0]"
 xsi:type="soapenc:Array"/></get_bugsResponse></soap:Body></soap:Envelope>"""


class _Answer(http.server.BaseHTTPRequestHandler):
    asked = 0

    def do_POST(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers.get("Content-Length", "0")))
        self.send_response(200)
        self.send_header("Content-Type", "text/xml; charset=utf-8")
        self.send_header("Content-Length", str(len(_NO_BUGS)))
        self.end_headers()
        self.wfile.write(_NO_BUGS)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def without_bugs(configuration: str) -> Iterator[None]:
    """Have the apt-listbugs of this configuration file of apt ask here; RuntimeError if it never did."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Answer)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with open(configuration, encoding="utf-8") as file:
        former = file.read()
    try:
        port = server.server_address[1]
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(former.replace("apt-listbugs apt", f"apt-listbugs -H 127.0.0.1 -p {port} apt"))
        yield
        if not _Answer.asked:
            raise RuntimeError("apt-listbugs did not ask for bugs")
    finally:
        server.shutdown()
        server.server_close()
        with open(configuration, "w", encoding="utf-8") as file:
            file.write(former)
