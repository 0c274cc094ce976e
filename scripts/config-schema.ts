/** Writes the schema of the gateway's config, as it is published with the package. */
import { writeFileSync } from 'node:fs'
import { publishedSchema } from '../lib/gateway/config/schema.js'
import { ROOT } from './matrix/tarball.js'

writeFileSync(`${ROOT}realtime.schema.json`, publishedSchema())
