"""Made-up loop programs, as text: nests, triangles, while, break, writes, early return.

`programs` draws the text of a function f(x) of five numbers, which Python and Numba run
alike.  Values stay small, indices in range, and every loop ends.
"""

from __future__ import annotations

from hypothesis import strategies as st

FLOATS, WHOLES = ("a", "b", "c"), ("k", "m")


class Writer:
    """Draws statements, indented; `draw` is Hypothesis's."""

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw
        self.lines: list[str] = []
        self.loops = 0
        self.left = 14

    def pick(self, *choices: str) -> str:
        return self.draw(st.sampled_from(choices))

    def whole(self, depth: int = 2) -> str:
        """A whole number."""
        names = [*WHOLES, *[f"i{n}" for n in range(self.loops)]]
        kind = self.draw(st.integers(0, 5)) if depth else 0
        if kind < 2:
            return self.pick(*names, "0", "1", "2", "3", "-2")
        x, y = self.whole(depth - 1), self.whole(depth - 1)
        if kind == 2:
            return f"({x} {self.pick('+', '-', '*')} {y}) % 7"
        if kind == 3:
            return f"({x}) // {self.pick('2', '3', '-2')}"
        if kind == 4:
            return f"{self.pick('min', 'max')}({x}, {y})"
        return f"int({self.number(depth - 1)})"

    def place(self, extent: int) -> str:
        """An index in range, negative ones too."""
        shift = self.pick("", f" - {extent}")
        return f"({self.whole(1)}) % {extent}{shift}"

    def number(self, depth: int = 2) -> str:
        """A number, of either kind."""
        kind = self.draw(st.integers(0, 9)) if depth else 0
        if kind < 3:
            return self.pick(*FLOATS, "0.5", "-1.25", *WHOLES)
        if kind == 3:
            return f"x[{self.place(5)}]"
        if kind == 4:
            return f"w[{self.place(4)}]"
        x = self.number(depth - 1)
        if kind == 5:
            return f"np.sin({x})"
        y = self.number(depth - 1)
        if kind == 6:
            return f"{self.pick('min', 'max')}({x}, {y})"
        return f"({x} {self.pick('+', '-', '*')} {y})"

    def test(self) -> str:
        """A condition."""
        one = f"{self.number(1)} {self.pick('<', '>', '<=')} {self.number(1)}"
        if self.draw(st.integers(0, 3)):
            return one
        return f"{one} {self.pick('and', 'or')} {self.whole(1)} != {self.whole(1)}"

    def say(self, depth: int, text: str) -> None:
        self.lines.append("    " * depth + text)

    def block(self, depth: int, inside: bool) -> None:
        for _ in range(self.draw(st.integers(1, 3))):
            self.statement(depth, inside)

    def statement(self, depth: int, inside: bool) -> None:
        """One statement, in a loop or not."""
        self.left -= 1
        deep = depth < 5 and self.left > 0
        kind = self.draw(st.integers(0, 11 if deep else 5))
        if kind < 2:
            self.say(depth, f"{self.pick(*FLOATS)} = np.sin({self.number()})")
        elif kind == 2:
            self.say(depth, f"{self.pick(*WHOLES)} = ({self.whole()}) % 9")
        elif kind == 3:
            self.say(depth, f"w[{self.place(4)}] = 0.5 * np.sin({self.number()})")
        elif kind == 4:
            x, y = self.pick("a, b", "b, c", "c, a").split(", ")
            self.say(depth, f"{x}, {y} = {y}, 0.5 * {x} + x[{self.place(5)}]")
        elif kind == 5:
            self.say(depth, f"{self.pick(*FLOATS)} += 0.25 * np.sin({self.number()})")
        elif kind < 8:
            self.branch(depth, inside)
        elif kind < 11:
            self.loop(depth)
        else:
            self.repeat(depth)

    def branch(self, depth: int, inside: bool) -> None:
        self.say(depth, f"if {self.test()}:")
        self.block(depth + 1, inside)
        kind = self.draw(st.integers(0, 5))
        if kind == 0:
            self.say(depth + 1, f"return {self.pick(*FLOATS)} + 0.0")
        elif kind < 3 and inside:
            self.say(depth + 1, self.pick("break", "continue"))
        elif kind < 5:
            self.say(depth, "else:")
            self.block(depth + 1, inside)

    def loop(self, depth: int) -> None:
        ends = ["3", "1, 4", "3, -1, -1", "0", "k % 4", "5, 0, -2"]
        if self.loops:
            ends += [f"i{self.loops - 1} + 1, 4", f"i{self.loops - 1}"]
        name = f"i{self.loops}"
        self.say(depth, f"for {name} in range({self.pick(*ends)}):")
        self.loops += 1
        self.block(depth + 1, True)
        self.loops -= 1

    def repeat(self, depth: int) -> None:
        name = f"n{len(self.lines)}"
        self.say(depth, f"{name} = 0")
        self.say(depth, f"while {name} < 3 and ({self.test()}):")
        self.say(depth + 1, f"{name} += 1")
        self.block(depth + 1, True)


@st.composite
def programs(draw: st.DrawFn) -> str:
    """The text of a function."""
    writer = Writer(draw)
    for line in ("a = x[0]", "b = 0", "c = 0.5", "k = 2", "m = int(4 * x[1])",
                 "w = np.zeros(4)"):  # fmt: skip
        writer.say(1, line)
    writer.loop(1)
    while writer.left > 0:
        writer.statement(1, False)
    writer.say(1, "return a + 2 * b + 3 * c + w[0] + w[1] * w[3] + k + m * w[2]")
    return "\n".join(["def f(x):", *writer.lines]) + "\n"
