/** The policy lets the page run its own code and style, and talk to its own server only. */
export function policy (nonce: string): string {
  return `default-src 'none'; script-src 'nonce-${nonce}'; style-src 'nonce-${nonce}'; img-src data:; connect-src 'self'; ` +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
}

/**
 * The page of the dashboard. It is public, because it holds no data: its code fetches everything as the reader who is
 * signed in.
 *
 * @param base where its code and style are, relative to it
 */
export function page (base: string, nonce: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<title>Realtime</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="${base}dashboard.css" nonce="${nonce}">
<script src="${base}dashboard.js" defer nonce="${nonce}"></script>
</head>
<body><noscript>This page needs JavaScript. The same figures are JSON at ?format=json.</noscript></body>
</html>
`
}
