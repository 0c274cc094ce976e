/** Style of the dashboard: one column of figures and tables, by the reader's colour scheme. */
export const STYLE = `
:root { color-scheme: light dark; --line: #8883; --soft: #8881; --quiet: #6a6a72; --bad: #b3261e; --good: #1b7f4b }
@media (prefers-color-scheme: dark) { :root { --quiet: #a5a5ae; --bad: #ff8a80; --good: #6dd19c } }
* { box-sizing: border-box }
[hidden] { display: none !important }
body { margin: 0; font: 15px/1.45 system-ui, sans-serif }
main, header { max-width: 72rem; margin: 0 auto; padding: 1rem }
header { display: flex; flex-wrap: wrap; gap: .5rem 1rem; align-items: center }
main { padding-top: 0 }
h1 { font-size: 1.15rem; margin: 0; flex: 1 1 auto }
h2 { font-size: .8rem; text-transform: uppercase; letter-spacing: .06em; margin: 0 0 .4rem; color: var(--quiet) }
form { display: flex; gap: .5rem; flex: 1 1 18rem; max-width: 30rem }
input { flex: 1; min-width: 0; font: inherit; padding: .4rem .6rem; border: 1px solid var(--line); border-radius: .4rem; background: transparent; color: inherit }
button { font: inherit; padding: .4rem .8rem; border: 1px solid var(--line); border-radius: .4rem; background: var(--soft); color: inherit; cursor: pointer }
button:disabled { opacity: .45; cursor: default }
#state { font-size: .85rem; flex: 1 1 100%; min-height: 1.45em; color: var(--quiet) }
#state.good::before { content: '\\25cf  '; color: var(--good) }
#state.bad { color: var(--bad) }
.cards { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: .6rem }
.card { border: 1px solid var(--line); border-radius: .6rem; padding: .7rem .8rem; background: var(--soft) }
.card b { display: block; font-size: 1.45rem; font-weight: 600; font-variant-numeric: tabular-nums; line-height: 1.25; overflow-wrap: anywhere }
.card small { display: block; color: var(--quiet) }
meter { display: block; width: 100%; height: .55rem; margin-top: .35rem }
.tables { display: grid; gap: 1.5rem 2rem; margin: 1.5rem 0 }
@media (min-width: 44rem) {
  .cards { grid-template-columns: repeat(4, minmax(0, 1fr)) }
  .tables { grid-template-columns: repeat(3, minmax(0, 1fr)) }
}
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums }
th, td { text-align: left; vertical-align: top; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line) }
th { font-weight: 500; font-size: .85rem; color: var(--quiet) }
td:first-child { overflow-wrap: anywhere }
td:not(:first-child), th:not(:first-child) { text-align: right; white-space: nowrap }
td:last-child, th:last-child { padding-right: 0 }
td.none { color: var(--quiet) }
nav { display: flex; gap: .5rem; align-items: center; margin-top: .8rem; color: var(--quiet) }
`
