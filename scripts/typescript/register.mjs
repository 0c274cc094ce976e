/**
 * `node --import ./scripts/typescript/register.mjs file.ts` runs the TypeScript of the repository in a third of the
 * time that tsx takes to load it. All that the file imports is found before the hooks are there: modules are found
 * first, and run afterwards, and what starts the hooks is one of them. The file runs within this import, so what has to
 * be there before it is imported before.
 */
import { MIRROR, mirror, mirrored } from './mirror.mjs'

// What a process starts finds the mirror as it is.
if (process.env.TYPESCRIPT_MIRROR !== MIRROR) mirror()
process.env.TYPESCRIPT_MIRROR = MIRROR
const dynamic = new URL('./dynamic.mjs', import.meta.url).href
const main = process.argv[1] === undefined ? undefined : mirrored(process.argv[1])
const imports = [dynamic, ...main === undefined ? [] : [main]].map((url) => `import ${JSON.stringify(url)}\n`)
await import(`data:text/javascript,${encodeURIComponent(imports.join(''))}`)
