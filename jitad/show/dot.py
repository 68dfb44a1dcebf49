"""Boxes and arrows in Graphviz's language, and Graphviz itself where it is installed.

A Box is a node of a graph in words; `dot` writes all of them, `svg` has them drawn.
"""

from __future__ import annotations

import html
import shutil
import subprocess
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from .formula import Piece

_FONT = 'fontname="Helvetica,Arial,sans-serif"'
_INK, _FAINT, _VALUE, _COTANGENT = "#262624", "#85847e", "#1f5a96", "#b4491a"
# The fill, the frame and its width.
_PLAIN = ("#f7f7f5", "#b9b8b2", 1)
_INPUT = ("#e6eff8", "#6f9bc8", 1)
_OUTPUT = ("#e9f3e6", "#6da05f", 2)
_TYPESET = {"-": "−", "*": "×", "<=": "≤", ">=": "≥", "!=": "≠"}
_LONGEST_LINE = 36
_SECONDS = 20


class Box(NamedTuple):
    """A node as it is shown.

    formula   what it is, in terms of its operands; the name of an input
    result    what it is called where it is a result
    value, cotangent, place, source   text, or empty
    operands  numbers of the boxes that it is computed from
    """

    number: int
    formula: tuple[Piece, ...]
    type: str
    is_input: bool
    result: str
    value: str
    cotangent: str
    place: str
    source: str
    operands: tuple[int, ...]


def dot(title: str, objective: str, boxes: Sequence[Box]) -> str:
    """The picture of boxes; cotangents, if any, are derivatives of objective."""
    return "\n".join(_lines(title, objective, boxes))


def svg(text: str) -> str | None:
    """The picture that Graphviz draws; None where it is missing or fails."""
    program = shutil.which("dot")
    if program is None:
        return None
    try:
        drawn = subprocess.run(
            [program, "-Tsvg"], input=text, capture_output=True, encoding="utf-8",
            timeout=_SECONDS, check=True,
        ).stdout  # fmt: skip
    except (OSError, subprocess.SubprocessError):
        return None
    return drawn[drawn.index("<svg") :]


def _lines(title: str, objective: str, boxes: Sequence[Box]) -> Iterator[str]:
    yield "digraph {"
    yield "  graph [labelloc=t, ranksep=0.35, nodesep=0.25, bgcolor=white,"
    yield f"    {_FONT}, label=<{_caption(title, objective)}>]"
    yield f'  node [shape=plain, fontsize=13, {_FONT}, fontcolor="{_INK}"]'
    yield f'  edge [arrowsize=0.6, color="{_FAINT}"]'
    for box in boxes:
        yield f"  n{box.number} [label=<{_label(box)}>]"
    inputs = "; ".join(f"n{box.number}" for box in boxes if box.is_input)
    if inputs:
        yield f"  {{rank=source; {inputs}}}"
    drawn = {box.number for box in boxes}
    for box in boxes:
        for operand in dict.fromkeys(box.operands):
            if operand in drawn:
                yield f"  n{operand} -> n{box.number}"
    yield "}"


def _caption(title: str, objective: str) -> str:
    head = f"<b>{_escaped(title)}</b><br/>"
    if not objective:
        return f"{head} "
    value = _colored("value", _VALUE)
    cotangent = _colored(f"cotangent ∂ {objective} / ∂ node", _COTANGENT)
    return f'{head}<font point-size="10">{value}  ·  {cotangent}</font><br/> '


def _label(box: Box) -> str:
    """A rounded table with a row for everything there is to say."""
    fill, frame, border = _OUTPUT if box.result else _INPUT if box.is_input else _PLAIN
    source = box.source
    if len(source) > _LONGEST_LINE:
        source = f"{source[: _LONGEST_LINE - 1]}…"
    rows = [_definition(box), _small(box.type)]
    rows += [_colored(box.value, _VALUE)] if box.value else []
    rows += [_colored(box.cotangent, _COTANGENT)] if box.cotangent else []
    if box.place:
        rows.append(f"{_small(box.place)}  <i>{_small(source)}</i>")
    cells = "".join(f"<tr><td>{row}</td></tr>" for row in rows)
    inside = f'<table border="0" cellspacing="0" cellpadding="2">{cells}</table>'
    return (
        f'<table border="{border}" cellborder="0" cellspacing="0" cellpadding="4" '
        f'style="rounded" bgcolor="{fill}" color="{frame}"><tr><td>{inside}</td></tr>'
        "</table>"
    )


def _definition(box: Box) -> str:
    parts = [
        f"<b>{_escaped(_TYPESET.get(text, text))}</b>" if bold else _escaped(text)
        for text, bold in box.formula
        if text
    ]
    whole = "".join(parts)
    if box.is_input:
        whole = f"<b>{whole}</b>"
    else:
        whole = f"{_colored(f'%{box.number} = ', _FAINT)}{whole}"
    return f"<b>{_escaped(box.result)}</b> = {whole}" if box.result else whole


def _colored(text: str, color: str) -> str:
    return f'<font color="{color}">{_escaped(text)}</font>'


def _small(text: str) -> str:
    return f'<font point-size="9" color="{_FAINT}">{_escaped(text)}</font>'


def _escaped(text: str) -> str:
    """Text inside a label; Graphviz wants brackets escaped there, too."""
    return html.escape(text).replace("[", "&#91;").replace("]", "&#93;")
