# SPDX-License-Identifier: Apache-2.0
"""Bars as SVG: no library, no script, readable on light and on dark ground."""

import html

WIDTH, LEFT, RIGHT = 760, 190, 150  # pixels; names stand on the left, figures on the right
BAR, GAP, HEAD, FOOT = 16, 8, 46, 14
STYLE = """
text { font: 13px system-ui, sans-serif; fill: #1f2328 }
.title { font-weight: 600; font-size: 15px }
.note { fill: #59636e }
.bar { fill: #8c959f } .ours { fill: #0969da }
@media (prefers-color-scheme: dark) {
  text { fill: #f0f6fc } .note { fill: #9198a1 } .bar { fill: #656c76 } .ours { fill: #4493f8 }
}
"""


def escape(text):
    return html.escape(str(text), quote=True)


def amount(value):
    """Three digits say enough."""
    return f"{value:.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def bar(y, name, value, longest, unit, base, ours):
    """One line: the name, its bar, its figure and how many times the base's it is."""
    length = max(1, (WIDTH - LEFT - RIGHT) * value / longest)
    times = f" &#160;{amount(value / base)}&#215;" if base else ""
    middle = y + BAR - 4
    return (f'<text x="{LEFT - 10}" y="{middle}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{"ours" if ours else "bar"}" x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR}" rx="2"/>'
            f'<text x="{LEFT + length + 8:.1f}" y="{middle}">{amount(value)} {escape(unit)}'
            f'<tspan class="note">{times}</tspan></text>')


def panel(y, title, unit, rows, base):
    """(lines, where the next one begins); rows: (name, value, is it ours?), from a common zero."""
    lines = [f'<text class="title" x="10" y="{y + 26}">{escape(title)}</text>']
    longest, y = max(value for _, value, _ in rows), y + HEAD
    for name, value, ours in rows:
        lines.append(bar(y, name, value, longest, unit, base, ours))
        y += BAR + GAP
    return lines, y


def draw(panels, note):
    """The document. panels: (title, unit, rows, value that is 1x or None); those without rows are left out."""
    lines, y = [], 0
    for title, unit, rows, base in panels:
        if rows:
            more, y = panel(y, title, unit, rows, base)
            lines += more
    y += FOOT
    lines.append(f'<text class="note" x="10" y="{y}">{escape(note)}</text>')
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {y + FOOT}" width="{WIDTH}" '
                      f'height="{y + FOOT}" role="img" aria-label="{escape(note)}">', f"<style>{STYLE}</style>",
                      *lines, "</svg>", ""])
