# SPDX-License-Identifier: GPL-3.0-or-later
"""A page to be looked at in a browser, in one file: no network, no script, light and dark, narrow and wide.

The parts are functions from values to HTML; each of them escapes what it is given, so that a caller never
handles markup of its own, only the values of type Html that come from here. Pure.
"""

from __future__ import annotations

import html
from collections.abc import Iterable, Sequence
from typing import NewType

from aptguard.report.quantity import number
from aptguard.report.tree import Branch, name_below, verb_of
from aptguard.shown import shown

Html = NewType("Html", str)

_MOST_ROWS = 20_000  # of a tree; a browser still folds that without delay

# Nothing is loaded and nothing runs, whatever a file's name tries: Content-Security-Policy, CSP level 3.
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"

_STYLE = """
:root { color-scheme: light dark; --page: #fcfcfb; --text: #1d1d1b; --quiet: #5f5f5a; --line: #dcdcd6;
  --card: #f3f3f0; --block: #b3261e; --allow: #1d6b35; --unknown: #7a5200; --bar: #4a6fa5; }
@media (prefers-color-scheme: dark) { :root { --page: #161615; --text: #ecece6; --quiet: #a8a8a0;
  --line: #3a3a37; --card: #20201e; --block: #ff8a80;
  --allow: #7fd197; --unknown: #f0c060; --bar: #88a9dc; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 75rem; padding: 1rem; background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
p { margin: .25rem 0; }
.quiet { color: var(--quiet); }
.block { color: var(--block); } .allow { color: var(--allow); } .unknown { color: var(--unknown); }
.mono, .tree, code { font-family: ui-monospace, monospace; font-size: .9rem; }
.card { background: var(--card); border-left: .25rem solid var(--line); padding: .5rem .75rem;
  margin: .5rem 0; }
.card.block { border-color: var(--block); } .card.unknown { border-color: var(--unknown); }
.card > * { color: var(--text); } .card > .quiet { color: var(--quiet); }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .25rem .75rem .25rem 0;
  border-bottom: 1px solid var(--line); }
th { color: var(--quiet); font-weight: 600; }
.tree details > :not(summary), .tree details > summary ~ * { margin-left: 1.1rem; }
.tree summary { cursor: pointer; }
.tree summary:focus-visible { outline: 2px solid var(--bar); }
.tree .leaf { padding-left: 1.1rem; }
.amount { color: var(--quiet); font-family: system-ui, sans-serif; font-size: .85rem; }
.row { display: grid; grid-template-columns: minmax(10rem, 20rem) 1fr 5rem; gap: .75rem; align-items: center;
  padding: .15rem 0; }
.row .track { background: var(--card); height: .9rem; }
.row .bar { background: var(--bar); height: 100%; min-width: 2px; }
.row .amount { text-align: right; }
@media (max-width: 40rem) {
  table, tbody, tr, td { display: block; } thead { display: none; }
  tr { border-bottom: 1px solid var(--line); padding: .35rem 0; } td { border: 0; padding: 0; }
  td:empty { display: none; }
  .row { grid-template-columns: 1fr 4.5rem; } .row .track { grid-column: 1 / -1; order: 3; }
}
@media print { details { display: block; } }
""".strip()


def text(value: str | bytes, kind: str = "") -> Html:
    """Return ``value`` escaped, in a span of the class ``kind`` (block, allow, unknown, quiet, mono)."""
    escaped = html.escape(shown(value), quote=True)
    return Html(f'<span class="{kind}">{escaped}</span>' if kind else escaped)


def paragraph(*parts: Html, kind: str = "") -> Html:
    """Return the parts as one paragraph of the class ``kind``."""
    return Html(f'<p class="{kind}">{" ".join(parts)}</p>' if kind else f"<p>{' '.join(parts)}</p>")


def card(paragraphs: Iterable[Html], kind: str = "") -> Html:
    """Return a box with a coloured edge: block, unknown, or none."""
    return Html(f'<div class="card {kind}">{"".join(paragraphs)}</div>')


def section(heading: str, body: Iterable[Html]) -> Html:
    """Return a heading with what belongs to it."""
    return Html(f"<section><h2>{text(heading)}</h2>{''.join(body)}</section>")


def table(headings: Sequence[str], rows: Iterable[Sequence[Html]]) -> Html:
    """Return a table; on a narrow screen each row becomes a block of lines."""
    head = "".join(f"<th>{text(heading)}</th>" for heading in headings)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return Html(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")


def timeline(rows: Iterable[tuple[str, float, float]]) -> Html:
    """Return bars on one axis; a row is a label, when it began and how long it took, in seconds."""
    rows = list(rows)
    end = max((begin + seconds for _, begin, seconds in rows), default=0.0) or 1.0
    lines = []
    for label, begin, seconds in rows:
        style = f"margin-left:{100 * begin / end:.2f}%;width:{100 * seconds / end:.2f}%"
        lines.append(
            f'<div class="row"><span class="mono">{text(label)}</span>'
            f'<div class="track"><div class="bar" style="{style}"></div></div>'
            f'<span class="amount">{seconds:.2f} s</span></div>'
        )
    return Html("".join(lines))


def tree(root: Branch) -> Html:
    """Return the tree, to be folded; its first two levels are open."""
    out: list[str] = ['<div class="tree">']
    left = _MOST_ROWS
    # On a stack of its own: a path may be deeper than Python's.
    stack: list[tuple[Branch, bytes, int] | str] = [(root, b"", 0)]
    while stack:
        step = stack.pop()
        if isinstance(step, str):
            out.append(step)
            continue
        branch, parent, depth = step
        left -= 1
        name = name_below(branch.path, parent)
        if not branch.children:
            out.append(f'<div class="leaf">{text(name)} {_what(branch)}</div>')
        elif left <= 0:
            out.append(f'<div class="leaf">{text(name)}/ {_what(branch)}</div>')
        else:
            slash = "" if name == b"/" else "/"
            out.append(f"<details{' open' if depth < 2 and not branch.gone else ''}>")
            out.append(f"<summary>{text(name)}{slash} {_what(branch)}</summary>")
            stack.append("</details>\n")
            stack += [(child, branch.path, depth + 1) for child in reversed(branch.children)]
    if left <= 0:
        out.append(f"<p>Only {number(_MOST_ROWS)} entries are unfolded here.</p>")
    return Html("".join(out) + "</div>")


def _what(branch: Branch) -> str:
    own = "" if branch.change is None else f"{verb_of(branch.change)}"
    kind = ' class="block"' if own == "deleted" else ""
    told = f"<b{kind}>{own}</b> " if own else ""
    below = text(branch.amount() if branch.children else _one(branch))
    return f'{told}<span class="amount">{below}</span>'


def _one(branch: Branch) -> str:
    assert branch.change is not None
    kinds = ", ".join(kind for kind in branch.change.kinds if kind not in ("deleted", "created"))
    amount = branch.amount().partition(", ")[2]
    return "; ".join(part for part in (kinds, amount, branch.change.owner_class) if part)


def page(title: str, head: Iterable[Html], sections: Iterable[Html]) -> str:
    """Return the whole document."""
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<meta name="referrer" content="no-referrer"><title>{text(title)}</title>'
        f"<style>\n{_STYLE}\n</style></head>\n<body><header>{''.join(head)}</header>\n"
        f"<main>{''.join(sections)}</main></body></html>\n"
    )


def heading(title: str, verdict: str = "", kind: str = "") -> Html:
    """Return the title of the page, with a verdict in its colour."""
    told = f' <span class="{kind}">{text(verdict)}</span>' if verdict else ""
    return Html(f"<h1>{text(title)}{told}</h1>")
