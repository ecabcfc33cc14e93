"""HTML of a timeline: one file that opens by double click and needs nothing else; its script only filters and zooms.

The script is allowed by its hash and nothing else is: whatever an id or an error says, it cannot run.
"""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256
from typing import TYPE_CHECKING

from ..story import Span
from .bars import UNKNOWN_WAIT, WAITS
from .paint import NAMES, PAPER, SIGN, SIGNS, SOFT, STATES
from .text import duration, escape_xml, printable, times
from .timeline import BINS, STICKING_OUT, Bar, Chart, Row, chart, ticks

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

STYLE = """
:root{color-scheme:light dark}
*{box-sizing:border-box}
body{margin:0;padding:20px;background:var(--paper);color:var(--ink);font:13px/1.4 system-ui,sans-serif}
h1{margin:0;font-size:18px}
p{margin:2px 0 12px;color:var(--soft)}
.pair{display:flex;gap:6px;align-items:center}
form{display:flex;flex-wrap:wrap;gap:8px 14px;align-items:center;margin-bottom:10px}
input[type=search],button{font:inherit;color:inherit;background:var(--paper);border:1px solid var(--line);
border-radius:6px;padding:5px 10px;min-height:32px}
button{min-width:34px;cursor:pointer}
button:hover{border-color:var(--soft)}
:focus-visible{outline:2px solid var(--focus);outline-offset:1px}
#chart{overflow:auto;border:1px solid var(--line);border-radius:8px;max-height:78vh}
#rows{position:relative;min-width:760px;width:calc(var(--label) + (100% - var(--label)) * var(--zoom))}
.row{display:flex;height:26px;align-items:stretch}
.row:nth-child(even){background:var(--shade)}
.row:hover{background:var(--hover)}
.row[hidden]{display:none}
.name{position:sticky;left:0;z-index:2;flex:none;width:var(--label);display:flex;gap:6px;align-items:center;
padding:0 10px 0 calc(10px + 14px * var(--depth));background:inherit;background-color:var(--paper);
border-right:1px solid var(--line);font-family:var(--mono);font-size:12px;overflow:hidden;white-space:nowrap}
.row:nth-child(even) .name{background-color:var(--shade)}
.name b,.name span{overflow:hidden;text-overflow:ellipsis}
.name b{font-weight:400;flex:1}
.critical .name b{font-weight:700}
.name span{color:var(--soft);font-size:11px;flex:none;max-width:50%}
.name svg{flex:none}
.track{position:relative;flex:1;margin:0 8px}
.axis{height:28px;position:sticky;top:0;z-index:3;background:var(--paper);border-bottom:1px solid var(--line)}
.axis .name{padding-left:12px;font-family:inherit;color:var(--soft)}
.tick{position:absolute;top:6px;transform:translateX(-50%);color:var(--soft);font-size:11px;white-space:nowrap}
.tick:first-child{transform:none}.tick.last{transform:translateX(-100%)}
.line{position:absolute;top:0;bottom:0;width:1px;background:var(--line)}
.bar{position:absolute;top:6px;height:14px;min-width:2px;border-radius:3px;background:var(--c);opacity:.9}
.bar.path{box-shadow:0 0 0 2px var(--ink);opacity:1}
.many .bar{top:17px;height:4px;border-radius:0}
.many .bar.path{top:21px;height:3px;background:var(--ink);box-shadow:none}
.many .bar.path.wrong{top:17px;height:7px;background:linear-gradient(var(--c) 4px,var(--ink) 0)}
.many svg.load{position:absolute;inset:3px 0 5px;width:100%;height:18px;fill:var(--c);opacity:.45}
.wait{position:absolute;top:9px;height:8px;min-width:2px;border:1px solid var(--c);border-radius:2px;
background:var(--h)}
.bar.is-retrying{opacity:.5}
.bar.is-queued{top:12px;height:2px;opacity:.6;border-radius:0}
#legend{display:flex;flex-wrap:wrap;gap:6px 18px;margin:12px 0 0;padding:0;list-style:none;
color:var(--soft);font-size:12px}
#legend li{display:flex;gap:6px;align-items:center}
#legend .wait,#legend .thick{position:static;width:26px;height:10px}
#legend .thick{height:3px;background:var(--ink)}
#about{position:fixed;z-index:9;max-width:420px;padding:8px 10px;border:1px solid var(--line);border-radius:8px;
background:var(--paper);box-shadow:0 6px 24px #0004;white-space:pre-line;overflow-wrap:anywhere;pointer-events:none}
#none{padding:24px;color:var(--soft)}
@media (max-width:640px){:root{--label:170px}.name span{display:none}body{padding:12px}}
"""

SCRIPT = """
'use strict';
const rows = [...document.querySelectorAll('.row[data-name]')], chart = document.getElementById('chart');
const find = document.getElementById('find'), path = document.getElementById('path');
const about = document.getElementById('about'), none = document.getElementById('none');
document.getElementById('controls').hidden = false;
const filter = () => {
  const wanted = find.value.trim().toLowerCase();
  let shown = 0;
  for (const row of rows) {
    row.hidden = !row.dataset.name.toLowerCase().includes(wanted)
      || (path !== null && path.checked && !row.classList.contains('critical'));
    shown += row.hidden ? 0 : 1;
  }
  none.hidden = shown > 0;
};
let zoom = 1;
const scale = (factor, at) => {
  const before = chart.scrollLeft + at, width = chart.scrollWidth;
  zoom = factor === 0 ? 1 : Math.min(Math.max(zoom * factor, 1), 64);
  document.documentElement.style.setProperty('--zoom', zoom);
  chart.scrollLeft = before * chart.scrollWidth / width - at;
};
find.addEventListener('input', filter);
if (path !== null) path.addEventListener('change', filter);
for (const button of document.querySelectorAll('button[data-zoom]')) {
  button.addEventListener('click', () => scale(Number(button.dataset.zoom), chart.clientWidth / 2));
}
chart.addEventListener('wheel', (event) => {
  if (!event.ctrlKey && !event.metaKey) return;
  event.preventDefault();
  scale(event.deltaY < 0 ? 1.25 : 0.8, event.clientX - chart.getBoundingClientRect().left);
}, {passive: false});
document.addEventListener('pointermove', (event) => {
  const over = event.target.closest('[data-about]');
  about.hidden = over === null;
  if (over === null) return;
  about.textContent = over.dataset.about;
  about.style.left = Math.min(event.clientX + 14, innerWidth - about.offsetWidth - 8) + 'px';
  about.style.top = Math.min(event.clientY + 14, innerHeight - about.offsetHeight - 8) + 'px';
});
document.getElementById('controls').addEventListener('submit', (event) => event.preventDefault());
"""

HATCH = {
    "input": "radial-gradient(circle,var(--c) 1px,var(--f) 1.2px) 0 0/4px 4px",
    "limit": "repeating-linear-gradient(135deg,var(--c) 0 1.2px,var(--f) 0 4px)",
    "retry": "repeating-linear-gradient(45deg,var(--c) 0 1.2px,var(--f) 0 4px)",
    "person": "repeating-linear-gradient(45deg,var(--c) 0 1px,#0000 0 4px),"
    "repeating-linear-gradient(135deg,var(--c) 0 1px,var(--f) 0 4px)",
    "event": "repeating-linear-gradient(0deg,var(--c) 0 1px,var(--f) 0 3px)",
    "child": "repeating-linear-gradient(90deg,var(--c) 0 1px,var(--f) 0 3px)",
    "sleep": "repeating-linear-gradient(90deg,var(--c) 0 1px,var(--f) 0 8px)",
    "worker": "repeating-linear-gradient(0deg,var(--c) 0 1px,#0000 0 4px),"
    "repeating-linear-gradient(90deg,var(--c) 0 1px,var(--f) 0 4px)",
    "loop": "repeating-linear-gradient(120deg,var(--c) 0 2.5px,var(--f) 0 5px)",
}


def timeline_html(
    spans: Sequence[Span], *, critical: Iterable[Span] = (), heading: str = "", now: float | None = None
) -> str:
    """Draw the timeline of a run as an HTML page that needs nothing but itself.

    Args:
        spans: the attempts, as `run.timeline()` gives them.
        critical: those that are marked as the critical path, as `run.critical_path()` gives them.
        heading: the title of the page.
        now: until when to draw what has not ended, in seconds since the epoch.
    """
    drawn = chart(spans, critical, now)
    title = printable(heading) or "timeline"
    allowed = b64encode(sha256(SCRIPT.encode()).digest()).decode()
    policy = f"default-src 'none'; style-src 'unsafe-inline'; script-src 'sha256-{allowed}'"
    lines = [
        "<!doctype html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{policy}">',
        '<meta name="viewport" content="width=device-width,initial-scale=1">',
        f"<title>{escape_xml(title)}</title>",
        f"<style>{_colours()}{STYLE}</style>",
        "</head>",
        "<body>",
        f"<h1>{escape_xml(title)}</h1>",
        f"<p>{escape_xml(drawn.summary)}</p>",
        *_controls(drawn),
        '<div id="chart" tabindex="0" aria-label="timeline"><div id="rows">',
        *_axis(drawn),
        *(line for row in drawn.rows for line in _row(row, drawn.seconds)),
        '<div id="none" hidden>No task is called so.</div>',
        "</div></div>",
        f'<ul id="legend">{"".join(_legend(drawn))}</ul>',
        '<div id="about" hidden></div>',
        f"<script>{SCRIPT}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(lines) + "\n"


def _colours() -> str:
    """Write the colours for light and dark pages."""
    mono = "ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace"
    light = {"paper": PAPER.light.fill, "line": PAPER.light.line, "ink": PAPER.light.ink, "soft": SOFT.light.ink}
    dark = {"paper": PAPER.dark.fill, "line": PAPER.dark.line, "ink": PAPER.dark.ink, "soft": SOFT.dark.ink}
    light |= {"shade": "#f5f7fa", "hover": "#eaf0f7", "focus": "#1d63c8"}
    dark |= {"shade": "#141c26", "hover": "#1c2835", "focus": "#6ea8ff"}
    for state, paint in STATES.items():
        light[f"s-{state or 'open'}"], dark[f"s-{state or 'open'}"] = paint.light.line, paint.dark.line
    for kind, (bright, dim, _) in WAITS.items():
        light |= {f"w-{kind}": bright.line, f"f-{kind}": bright.fill}
        dark |= {f"w-{kind}": dim.line, f"f-{kind}": dim.fill}

    def sheet(colours: dict[str, str]) -> str:
        return ":root{" + "".join(f"--{name}:{value};" for name, value in colours.items()) + "}"

    kinds = "".join(f".w-{kind}{{--c:var(--w-{kind});--f:var(--f-{kind});--h:{HATCH[kind]}}}" for kind in WAITS)
    states = "".join(f".is-{state or 'open'}{{--c:var(--s-{state or 'open'})}}" for state in STATES)
    base = f":root{{--mono:{mono};--label:320px;--zoom:1}}"
    return f"{base}{sheet(light)}@media (prefers-color-scheme:dark){{{sheet(dark)}}}{kinds}{states}"


def _controls(drawn: Chart) -> Iterator[str]:
    """Make what can be set; without a script it is not there."""
    yield '<form id="controls" hidden>'
    yield '<label for="find">Find</label><input type="search" id="find" placeholder="task" autocomplete="off">'
    if drawn.path:
        yield '<span class="pair"><input type="checkbox" id="path"><label for="path">critical path only</label></span>'
    yield '<span role="group" aria-label="zoom"><button type="button" data-zoom="0.5" title="zoom out">&minus;</button>'
    yield '<button type="button" data-zoom="2" title="zoom in">+</button>'
    yield '<button type="button" data-zoom="0">fit</button></span>'
    yield "</form>"


def _part(seconds: float, whole: float) -> str:
    """Write a moment as a part of the whole."""
    return f"{(100 * seconds / whole if whole > 0 else 0.0):.3f}".rstrip("0").rstrip(".") + "%"


def _axis(drawn: Chart) -> Iterator[str]:
    """Name round moments."""
    yield f'<div class="row axis"><div class="name">{escape_xml(times(len(drawn.rows), "row"))}</div>'
    yield '<div class="track">'
    moments = ticks(drawn.seconds)
    for moment in moments:
        last = " last" if moment and moment > 0.96 * drawn.seconds else ""
        words = duration(moment) if moment else "0"
        yield f'<span class="tick{last}" style="left:{_part(moment, drawn.seconds)}">{escape_xml(words)}</span>'
    yield "</div></div>"


def _about(words: str) -> str:
    """Write what is shown to whoever points at something."""
    return f'data-about="{"&#10;".join(map(escape_xml, words.splitlines()))}"'


def _sign(state: str) -> str:
    """Draw the sign of a state."""
    radius = f"{SIGN:g}"
    return (
        f'<svg class="is-{state or "open"}" width="14" height="14" viewBox="-{radius} -{radius} 14 14" role="img" '
        f'aria-label="{NAMES.get(state, state)}"><circle r="{radius}" fill="var(--c)"/><path d="{SIGNS[state]}" '
        f'fill="none" stroke="var(--paper)" stroke-width="1.6" stroke-linecap="round" stroke-linejoin="round"/></svg>'
    )


def _row(row: Row, whole: float) -> Iterator[str]:
    """Write one row."""
    kinds = " ".join(["row", *(["critical"] if row.is_critical else []), *(["many"] if row.load else [])])
    label, note = escape_xml(row.label), escape_xml(row.note)
    yield f'<div class="{kinds}" data-name="{label}" style="--depth:{row.depth}">'
    yield f'<div class="name" {_about(row.words)}>{_sign(row.state)}<b>{label}</b><span>{note}</span></div>'
    yield '<div class="track">'
    yield from (f'<span class="line" style="left:{_part(moment, whole)}"></span>' for moment in ticks(whole) if moment)
    if any(row.load):
        yield _load(row)
    yield from (_bar(bar, whole) for bar in row.bars)
    yield from (_wait(wait, whole) for wait in row.waits)
    yield "</div></div>"


def _place(bar: Bar, whole: float) -> str:
    """Write where a bar stands."""
    return f'style="left:{_part(bar.begin, whole)};width:{_part(bar.end - bar.begin, whole)}"'


def _bar(bar: Bar, whole: float) -> str:
    """Write an attempt."""
    status = bar.status if bar.status in STATES else "completed"
    kinds = f"bar is-{status}" + (" path" if bar.is_critical else "") + (" wrong" if status in STICKING_OUT else "")
    return f'<span class="{kinds}" {_place(bar, whole)} {_about(bar.words)}></span>'


def _wait(wait: Bar, whole: float) -> str:
    """Write a wait."""
    kind = wait.status if wait.status in WAITS else UNKNOWN_WAIT
    return f'<span class="wait w-{kind}" {_place(wait, whole)} {_about(wait.words)}></span>'


def _load(row: Row) -> str:
    """Draw how many ran at once, as steps."""
    most = max(row.load)
    steps = "".join(f"V{most - count}H{place + 1}" for place, count in enumerate(row.load))
    state = max(row.counts, key=lambda state: row.counts[state])
    shape = f'<path d="M0 {most}{steps}V{most}Z"/>'
    view = f'viewBox="0 0 {BINS} {most}" preserveAspectRatio="none"'
    return f'<svg class="load is-{state}" {view} {_about(row.words)}>{shape}</svg>'


def _legend(drawn: Chart) -> Iterator[str]:
    """Explain what is there."""
    shown = {bar.status for row in drawn.rows for bar in row.bars} | {row.state for row in drawn.rows}
    yield from (f"<li>{_sign(state)}{state}</li>" for state in STATES if state and state in shown)
    if drawn.path:
        yield '<li><span class="thick"></span>critical path</li>'
    found = {wait.status if wait.status in WAITS else UNKNOWN_WAIT for row in drawn.rows for wait in row.waits}
    yield from (f'<li><span class="wait w-{kind}"></span>waits: {kind}</li>' for kind in WAITS if kind in found)
