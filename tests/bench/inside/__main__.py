# SPDX-License-Identifier: GPL-3.0-or-later
"""``python3 -m inside NAME``: measures one question and prints it as JSON."""

from __future__ import annotations

import importlib
import json
import sys

from inside import hooks


def main() -> None:
    """Print title, way of measuring and rows."""
    question = importlib.import_module(f"inside.{sys.argv[1]}")
    hooks.only()
    print(json.dumps({"title": question.TITLE, "how": question.HOW, "rows": question.measure()}))


if __name__ == "__main__":
    main()
