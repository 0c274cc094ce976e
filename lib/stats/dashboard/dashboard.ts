import { createHash } from 'node:crypto'
import { SCRIPT, STYLE } from './built.js'

const sha = (text: string): string => `'sha256-${createHash('sha256').update(text).digest('base64')}'`

/** The policy lets the page run its own script and style and talk to its own server only. */
export const DASHBOARD_HEADERS = {
  'content-security-policy':
    `default-src 'none'; script-src ${sha(SCRIPT)}; style-src ${sha(STYLE)}; img-src data:; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'`,
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer'
} as const

function table (id: string, title: string, ...columns: string[]): string {
  const head = columns.length === 0
    ? ''
    : `<thead><tr>${columns.map((name) => `<th scope="col">${name}</th>`).join('')}</tr></thead>`
  return `<section><h2 id="of-${id}">${title}</h2><table aria-labelledby="of-${id}">${head}<tbody id="${id}"></tbody></table></section>`
}

/**
 * The page of the dashboard. It is public, because it holds no data: it fetches all figures with the token that the
 * reader types.
 */
export const DASHBOARD = `<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>realtime stats</title><link rel="icon" href="data:,"><style>${STYLE}</style></head>
<body>
<header><h1>realtime stats</h1>
<form id="form"><input id="token" type="password" autocomplete="off" spellcheck="false" aria-label="admin's token or scrape token" placeholder="admin's token or scrape token"><button>Show</button></form>
<div id="state" role="status"></div></header>
<main id="main" hidden>
<div class="cards" id="cards"></div>
<div class="tables">
${table('transports', 'Transports', 'transport', 'open', 'opened')}
${table('ledger', 'Ledger', 'event and connection', 'pairs')}
${table('definitions', 'Definitions', 'definition', 'rooms', 'members')}
${table('refusals', 'Refusals', 'code', 'times')}
${table('closes', 'Closes', 'code', 'times')}
${table('errors', 'Message errors', 'code', 'times')}
</div>
${table('rooms', 'Rooms', 'room', 'members', 'offset')}
<nav aria-label="pages of rooms"><button id="back" type="button" disabled>Back</button><button id="next" type="button" disabled>Next</button><span id="page"></span></nav>
</main>
<script>${SCRIPT}</script>
</body>
</html>
`
