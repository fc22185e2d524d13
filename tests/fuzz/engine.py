# SPDX-License-Identifier: GPL-3.0-or-later
"""One target under atheris, in a process of its own, by an interpreter that has atheris.

    python -m fuzz.engine TARGET DIRECTORY [OPTION OF LIBFUZZER...]

The inputs in DIRECTORY are the beginning; what finds something new is added to it. An input that breaks a
property ends the process and is written to DIRECTORY/../found-TARGET-*.
"""

from __future__ import annotations

import sys

import atheris


def main(words: list[str]) -> None:
    """Fuzz until libFuzzer has had its runs; does not return."""
    name, directory, *options = words[1:]
    with atheris.instrument_imports(include=["aptguard", "conversation", "approval"]):
        from fuzz.targets import TARGETS

        target = TARGETS[name]()
    atheris.Setup([words[0], *options, directory], target.attempt)
    try:
        atheris.Fuzz()
    finally:
        target.close()


if __name__ == "__main__":
    main(sys.argv)
