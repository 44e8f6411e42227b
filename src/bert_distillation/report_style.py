"""The style sheet of the report: light, dark and print, from 320 pixels wide."""

STYLE = """
:root { color-scheme: light dark; --page: #fff; --card: #f5f6f8; --ink: #16181d; --soft: #5b6270; --rule: #d9dce2;
  --student: #2563eb; --teacher: #9aa3b2; --b: #0f766e; --c: #c2410c; --d: #7c3aed; }
@media (prefers-color-scheme: dark) { :root { --page: #14161a; --card: #1e2127; --ink: #eceef2; --soft: #a4abb8;
  --rule: #353a44; --student: #6ea3ff; --teacher: #6d7686; --b: #4fd1c0; --c: #ff9d66; --d: #b99cff; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--page); color: var(--ink);
  font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .5rem; } h2 { font-size: 1.2rem; margin: 2.5rem 0 .75rem; }
.lead { font-size: 1.1rem; margin: 0 0 1.5rem; } .note, figcaption { color: var(--soft); font-size: .875rem; }
.caution { border-left: 4px solid var(--c); padding-left: .75rem; margin: 0 0 1.5rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(10rem, 1fr)); gap: .75rem;
  padding: 0; margin: 0; }
.tiles div { background: var(--card); border-radius: .5rem; padding: .75rem 1rem; }
.tiles dt { color: var(--soft); font-size: .875rem; }
.tiles dd { margin: 0; font-size: 1.5rem; font-weight: 650; font-variant-numeric: tabular-nums; }
.tiles dd small { display: block; font-size: .8125rem; font-weight: 400; color: var(--soft); }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; font-size: .9375rem; }
th, td { padding: .4rem .5rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: top; }
th:first-child, td:first-child { text-align: left; } thead th { color: var(--soft); font-weight: 600; }
table.numbers td { white-space: nowrap; }
table.text td, table.text th { text-align: left; overflow-wrap: anywhere; }
table.text th:first-child { overflow-wrap: normal; } table.text tbody th { hyphens: auto; }
table.text td:nth-child(2):not(:last-child) { overflow-wrap: normal; }
tbody th { font-weight: 600; } tbody th small { display: block; font-weight: 400; color: var(--soft); }
tr.mean > * { border-top: 2px solid var(--ink); font-weight: 700; } .missing { color: var(--soft); }
figure { margin: 0 0 1.5rem; } .legend { display: flex; flex-wrap: wrap; gap: .25rem 1rem; font-size: .875rem;
  margin: 0 0 .75rem; }
.swatch { display: inline-block; width: 1.1rem; height: .7rem; margin-right: .4rem; border-radius: 2px; }
.swatch.student { background: var(--student); } .swatch.teacher { background: var(--teacher); }
.swatch.mark { width: 3px; height: .9rem; background: var(--ink); vertical-align: -.15rem; }
.swatch[class*="line-"] { height: 0; border-top: 3px solid; vertical-align: .2rem; border-radius: 0; }
.swatch.line-a { border-color: var(--student); } .swatch.line-b { border-color: var(--b); border-top-style: dashed; }
.swatch.line-c { border-color: var(--c); border-top-style: dotted; } .swatch.line-d { border-color: var(--d); }
svg { display: block; } svg text { fill: var(--ink); font-size: 13px; } svg .task { font-weight: 650; }
svg .metric, svg .tick { fill: var(--soft); font-size: 12px; } svg .value { font-size: 12px; }
svg .student { fill: var(--student); } svg .teacher { fill: var(--teacher); }
h3 { font-size: 1rem; margin: 1.75rem 0 .5rem; } svg .span { stroke: var(--rule); stroke-width: 3; }
svg .zero { stroke: var(--soft); } .half .plot { height: 7rem; } .half .y-axis { height: 8.2rem; }
svg .grid { stroke: var(--rule); stroke-width: 1; vector-effect: non-scaling-stroke; }
svg .halo { stroke: var(--page); stroke-width: 7; } svg .mark { stroke: var(--ink); stroke-width: 3; }
.curves { display: grid; grid-template-columns: auto 1fr; column-gap: .5rem; }
.plot { width: 100%; height: 15rem; overflow: visible; }
.y-axis { display: flex; flex-direction: column; justify-content: space-between; margin: -.6rem 0; height: 16.2rem;
  text-align: right; } .x-axis { grid-column: 2; display: flex; justify-content: space-between; margin-top: .4rem; }
.x-axis, .y-axis { color: var(--soft); font-size: .8125rem; font-variant-numeric: tabular-nums; }
polyline { fill: none; stroke-width: 2; vector-effect: non-scaling-stroke; }
.plot .line-a { stroke: var(--student); stroke-width: 2.5; } .plot .line-b { stroke: var(--b); stroke-dasharray: 7 4; }
.plot .line-c { stroke: var(--c); stroke-dasharray: 2 4; } .plot .line-d { stroke: var(--d); }
@media (max-width: 36rem) { table.glue small { display: none; } table { font-size: .8125rem; }
  th, td { padding: .35rem .25rem; } }
@media print { body { max-width: none; padding: 0; font-size: 11pt; } h2 { break-after: avoid; }
  figure, table, .tiles { break-inside: avoid; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
"""
