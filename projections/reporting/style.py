"""How a page looks: on screens of any width, light or dark, and on paper. Nothing is loaded: fonts are the system's."""

from __future__ import annotations

from typing import Final

_COLOURS: Final = """
:root {
  color-scheme: light dark;
  --page: #ffffff; --raised: #f4f6f8; --line: #d3d9e0; --text: #1b1f24; --quiet: #545d68;
  --link: #0a53be; --good: #176639; --bad: #b3261e; --busy: #8a4b00; --undone: #6a3fa0;
  --bad-ground: #fdeeec; --good-ground: #eaf6ee; --busy-ground: #fdf3e3; --undone-ground: #f4eefb;
  --running: #2467c9; --worker: #6b7785; --worker-ground: #e9edf1; --lost: #b3261e; --lost-ground: #fbdedb;
  --recording: #2467c9; --recording-ground: #d5e4fa; --backoff: #8a4b00; --backoff-ground: #fbe6c8;
  --person: #6a3fa0; --person-ground: #e8dbf7; --others: #12707a; --others-ground: #d3eef0;
  --late: #b3261e; --late-ground: #ffffff; --definition: #4b5560; --definition-ground: #ffffff;
}
"""
_DARK: Final = """
@media screen and (prefers-color-scheme: dark) {
  :root {
    --page: #14171a; --raised: #1d2126; --line: #3a424b; --text: #e6e9ed; --quiet: #a9b2bd;
    --link: #86b6ff; --good: #6fd194; --bad: #ff9a90; --busy: #f2b866; --undone: #cbaaf5;
    --bad-ground: #3a1f1d; --good-ground: #17301f; --busy-ground: #35280f; --undone-ground: #2b2138;
    --running: #6aa3f5; --worker: #9aa5b1; --worker-ground: #2c333a; --lost: #ff9a90; --lost-ground: #4a2320;
    --recording: #86b6ff; --recording-ground: #1d3557; --backoff: #f2b866; --backoff-ground: #47340f;
    --person: #cbaaf5; --person-ground: #3d2c55; --others: #6ccbd4; --others-ground: #123c40;
    --late: #ff9a90; --late-ground: #14171a; --definition: #b4bdc7; --definition-ground: #14171a;
  }
}
"""
_TEXT: Final = """
*, ::before, ::after { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body {
  margin: 0 auto; padding: 1.25rem clamp(0.75rem, 3vw, 2rem) 4rem; max-width: 68rem;
  background: var(--page); color: var(--text);
  font: 1rem/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif;
  overflow-wrap: anywhere;
}
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0.1rem 0 0.5rem; }
h2 { font-size: 1.25rem; line-height: 1.3; margin: 2.5rem 0 0.75rem; padding-top: 0.75rem;
  border-top: 1px solid var(--line); }
h3 { font-size: 1.02rem; margin: 1.5rem 0 0.5rem; }
p, ul, ol, dl { margin: 0 0 0.75rem; }
a { color: var(--link); text-underline-offset: 0.15em; }
a:focus-visible, summary:focus-visible, [tabindex]:focus-visible { outline: 3px solid var(--link);
  outline-offset: 2px; }
code, pre, .digest { font-family: ui-monospace, "Cascadia Mono", Menlo, Consolas, "Liberation Mono", monospace; }
code, .digest { font-size: 0.9em; }
.quiet, .note { color: var(--quiet); }
.note { font-size: 0.92rem; }
.kind { margin: 0; color: var(--quiet); font-size: 0.85rem; letter-spacing: 0.06em; text-transform: uppercase; }
.goal { font-size: 1.12rem; max-width: 52rem; }
.badge { display: inline-block; padding: 0.1em 0.55em; border: 1px solid; border-radius: 0.4em; font-size: 0.55em;
  font-weight: 600; vertical-align: middle; }
.bad { color: var(--bad); } .good { color: var(--good); } .busy { color: var(--busy); }
.undone { color: var(--undone); } .idle { color: var(--quiet); }
nav ul { display: flex; flex-wrap: wrap; gap: 0.15rem 1rem; padding: 0; list-style: none; }
nav a { display: inline-block; padding: 0.2rem 0; }
dl.facts { display: grid; grid-template-columns: minmax(7rem, max-content) 1fr; gap: 0.25rem 1rem; }
dl.facts dt { color: var(--quiet); }
dl.facts dd { margin: 0; min-width: 0; }
dl.facts ul { padding-left: 1.1rem; margin: 0; }
.answer { color: var(--text); border: 1px solid var(--line); border-left: 6px solid var(--bad); border-radius: 0.4rem;
  background: var(--bad-ground); padding: 0.9rem 1.1rem 0.4rem; }
.answer.good { color: var(--text); border-left-color: var(--good); background: var(--good-ground); }
.answer.busy { color: var(--text); border-left-color: var(--busy); background: var(--busy-ground); }
.answer.bad { color: var(--text); }
.answer.notice { padding: 0.6rem 1rem; }
.answer p { margin-bottom: 0.5rem; }
.answer .words { font-weight: 600; font-size: 1.08rem; }
ol.chain { list-style: none; padding: 0; margin-left: 0.5rem; }
ol.chain li { position: relative; padding: 0 0 0.5rem 1.4rem; border-left: 2px solid var(--line); }
ol.chain li::before { content: ""; position: absolute; left: -0.44rem; top: 0.42rem; width: 0.75rem; height: 0.75rem;
  border-radius: 50%; background: var(--page); border: 2px solid var(--quiet); }
ol.chain li.first::before { background: var(--bad); border-color: var(--bad); border-radius: 0; }
ol.chain li.first.wait::before { background: var(--busy); border-color: var(--busy); }
ol.chain li:last-child { border-left-color: transparent; }
ol.chain .here { font-weight: 600; }
.scroll { overflow-x: auto; max-width: 100%; margin: 0 0 0.75rem; border: 1px solid var(--line);
  border-radius: 0.4rem; }
table { border-collapse: collapse; width: 100%; font-size: 0.92rem; }
th, td { text-align: left; vertical-align: top; padding: 0.4rem 0.65rem; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; }
tbody tr:last-child > * { border-bottom: 0; }
thead th { background: var(--raised); white-space: nowrap; }
tbody th { font-weight: 600; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
td.wide { min-width: 15rem; overflow-wrap: anywhere; }
td.when, th.when { white-space: nowrap; font-variant-numeric: tabular-nums; }
.track { display: inline-block; width: 8rem; vertical-align: middle; }
figure { margin: 0 0 1rem; }
figcaption { font-size: 0.92rem; color: var(--quiet); margin-top: 0.5rem; }
ul.legend { display: flex; flex-wrap: wrap; gap: 0.25rem 1.2rem; padding: 0; list-style: none; font-size: 0.92rem; }
.swatch { vertical-align: -2px; }
"""
_DRAWN: Final = """
svg { display: block; }
svg.swatch { display: inline-block; }
svg text { font: 12px system-ui, -apple-system, "Segoe UI", Roboto, "Liberation Sans", sans-serif; fill: var(--text);
  unicode-bidi: isolate; }
.timeline, .graph { background: var(--page); max-width: 100%; height: auto; }
.timeline, .graph.broad { min-width: 42rem; }
.timeline .lane { text-anchor: end; }
.timeline .rule, .timeline .tick { stroke: var(--line); fill: none; }
.timeline .axis { font-size: 11px; fill: var(--quiet); }
.timeline .far { font-weight: 600; fill: var(--text); }
.timeline .break { fill: var(--raised); }
.timeline .zigzag { stroke: var(--quiet); fill: none; }
.timeline .cause { stroke: var(--bad); stroke-width: 2; stroke-dasharray: 5 3; fill: none; }
.timeline .cause-head { fill: var(--bad); }
.timeline .cause-label { fill: var(--bad); font-weight: 600; }
.timeline.waits .cause { stroke: var(--busy); }
.timeline.waits .cause-head, .timeline.waits .cause-label { fill: var(--busy); }
.bar { stroke-width: 1; }
.bar.between { fill: none; stroke: none; }
.graph .edge { stroke: var(--quiet); stroke-width: 1.5; fill: none; }
.graph .arrow { fill: var(--quiet); }
.graph .frame { fill: var(--raised); stroke: var(--quiet); stroke-width: 1.5; }
.graph .name { font-weight: 600; }
.graph .good .frame { fill: var(--good-ground); stroke: var(--good); }
.graph .good .status { fill: var(--good); }
.graph .bad .frame { fill: var(--bad-ground); stroke: var(--bad); stroke-width: 3; }
.graph .bad .status { fill: var(--bad); }
.graph .busy .frame { fill: var(--busy-ground); stroke: var(--busy); stroke-dasharray: 7 3; }
.graph .busy .status { fill: var(--busy); }
.graph .undone .frame { fill: var(--undone-ground); stroke: var(--undone); stroke-dasharray: 2 2; }
.graph .undone .status { fill: var(--undone); }
.graph .idle .frame { fill: var(--page); stroke-dasharray: 3 4; }
.graph .idle .status { fill: var(--quiet); }
.graph .corner { fill: var(--bad); }
"""
_EVENTS: Final = """
.decisions, .transitions { list-style: none; padding: 0; margin: 0; }
.decisions > li { padding: 0.55rem 0; border-bottom: 1px solid var(--line); }
.group .decisions > li { content-visibility: auto; contain-intrinsic-size: auto 6rem; }
.trigger { margin: 0 0 0.2rem; font-size: 0.92rem; color: var(--quiet); }
.transitions > li { display: grid; grid-template-columns: 3.4rem minmax(0, 1fr); gap: 0 0.6rem; padding: 0.15rem 0; }
.transitions > li:target { background: var(--busy-ground); outline: 2px solid var(--busy); }
.transitions .version { text-align: right; font-variant-numeric: tabular-nums; color: var(--quiet); }
.transitions .why { display: block; color: var(--quiet); font-size: 0.94rem; }
.transitions .trouble { font-weight: 600; }
details > summary { cursor: pointer; }
.transitions summary { font-size: 0.85rem; color: var(--quiet); width: fit-content; }
details.group { margin: 0 0 0.5rem; border: 1px solid var(--line); border-radius: 0.4rem; padding: 0 0.75rem; }
details.group > summary { padding: 0.5rem 0; font-weight: 600; }
pre { margin: 0.3rem 0 0.5rem; padding: 0.6rem 0.75rem; background: var(--raised); border-radius: 0.4rem;
  font-size: 0.82rem; line-height: 1.4; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 30rem;
  overflow-y: auto; }
"""
_NARROW: Final = """
@media (max-width: 34rem) {
  h1 { font-size: 1.4rem; }
  dl.facts { grid-template-columns: 1fr; gap: 0; }
  dl.facts dd { margin-bottom: 0.5rem; }
  .transitions > li { grid-template-columns: 2.4rem minmax(0, 1fr); }
}
"""
_PAPER: Final = """
@page { margin: 14mm; }
@media print {
  :root { color-scheme: light; }
  html { font-size: 9.5pt; }
  body { max-width: none; padding: 0; }
  nav, .on-screen { display: none; }
  a { color: inherit; text-decoration: none; }
  h2 { break-after: avoid; margin-top: 1.5rem; }
  h3 { break-after: avoid; }
  figure, .answer, tr, ol.chain li, .transitions > li { break-inside: avoid; }
  thead { display: table-header-group; }
  .scroll { overflow: visible; border: 0; }
  .timeline, .graph.broad { min-width: 0; }
  table { font-size: 8pt; }
  td.wide { min-width: 0; }
  th, td { padding: 0.2rem 0.35rem; }
  td.when, thead th { white-space: normal; }
  .decisions > li { padding: 0.3rem 0; }
  .group .decisions > li { content-visibility: visible; }
  pre { max-height: none; overflow: visible; }
  .transitions details:not([open]) { display: none; }
}
"""


def _parts() -> str:
    """The patterns of the timeline: the ground, what is drawn on it, and the bars that are filled with it."""
    lines = [".ground.running, .bar.running { fill: var(--running); } .bar.running { stroke: var(--running); }"]
    for part in ("worker", "lost", "recording", "backoff", "person", "others", "late", "definition"):
        lines += [
            f".ground.{part} {{ fill: var(--{part}-ground); }}",
            f".stroke.{part} {{ stroke: var(--{part}); stroke-width: 1.5; fill: none; }}",
            f".bar.{part} {{ fill: url(#pattern-{part}); stroke: var(--{part}); }}",
        ]
    return "\n".join(lines) + "\n"


STYLE: Final = f"{_COLOURS}{_DARK}{_TEXT}{_DRAWN}{_parts()}{_EVENTS}{_NARROW}{_PAPER}"
"""The style of every page: nothing of a workflow is in it. It holds no `<` and no `&`, and so is XML as well."""
