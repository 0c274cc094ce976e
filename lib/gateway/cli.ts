#!/usr/bin/env node
import { once } from 'node:events'
import { parseArgs } from 'node:util'
import { VERSION } from '../version.js'
import { CliError } from './commands/cli-error.js'
import { ConfigError, lineOf, nearest } from './config/faults.js'

// Each command loads what it needs when it runs: a shell waits for it each time.

const USAGE = `fastify-realtime serve --config <file> [--check] [--port <n>] [--host <address>]
fastify-realtime publish <room> <event> <json> [--url <url>] [--key <key> | --token <token>]
fastify-realtime tail <room> [--last <n>] [--url <url>] [--token <token>]
fastify-realtime conformance --url <where to listen for a client under test> [--transport sse]
fastify-realtime token <user> --config <file> [--claims <json>] [--expires <seconds>]

Also from the environment: REALTIME_URL, REALTIME_KEY, REALTIME_TOKEN.
`
const COMMANDS = ['serve', 'publish', 'tail', 'conformance', 'token']
const OPTIONS = {
  config: { type: 'string', short: 'c' },
  check: { type: 'boolean' },
  port: { type: 'string' },
  host: { type: 'string' },
  url: { type: 'string' },
  key: { type: 'string' },
  token: { type: 'string' },
  last: { type: 'string' },
  transport: { type: 'string' },
  claims: { type: 'string' },
  expires: { type: 'string' },
  help: { type: 'boolean', short: 'h' },
  version: { type: 'boolean', short: 'v' }
} as const

type Options = ReturnType<typeof parse>['values']

function parse (args: readonly string[]) {
  try {
    return parseArgs({ args: [...args], options: OPTIONS, allowPositionals: true, strict: true })
  } catch (error) {
    const { message } = error as Error
    const unknown = /Unknown option '--([^']+)'/.exec(message)?.[1]
    const near = unknown === undefined ? undefined : nearest(unknown, Object.keys(OPTIONS))
    throw new CliError(unknown === undefined
      ? message.split('\n')[0]!
      : `--${unknown} is unknown${near === undefined ? '; --help shows what there is' : `; did you mean --${near}?`}`)
  }
}

async function print (text: string): Promise<void> {
  if (!process.stdout.write(`${text}\n`)) await once(process.stdout, 'drain')
}

function note (text: string): void { process.stderr.write(`${text}\n`) }

function configOf ({ config }: Options): string {
  if (config === undefined) throw new CliError('give the config, such as --config realtime.json')
  return config
}

function portOf ({ port }: Options): { port?: number } {
  if (port === undefined) return {}
  if (!/^\d{1,5}$/.test(port) || Number(port) > 65_535) throw new CliError('--port is a number from 0 to 65535')
  return { port: Number(port) }
}

async function runServe (options: Options): Promise<void> {
  const path = configOf(options)
  const { host, check } = options
  const { readConfig } = await import('./config/read.js')
  const settings = await readConfig(path, process.env, { ...portOf(options), ...(host === undefined ? {} : { host }) })
  if (check === true) {
    const { tryConfig } = await import('./check.js')
    await tryConfig(settings)
    const count = settings.rooms.length
    await print(`${path} is fine: ${count} ${count === 1 ? 'room' : 'rooms'}, to listen at ${settings.listen.host}:${settings.listen.port}`)
    return
  }
  const { serve, stop } = await import('./commands/serve.js')
  const app = await serve(settings)
  const [signal] = await Promise.race(['SIGTERM', 'SIGINT'].map(async (name) => await once(process, name) as [string]))
  app.log.info({ signal }, 'the gateway drains')
  // Whoever asks a second time does not want to wait.
  for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => { process.exit(1) })
  await stop(app, settings, () => {
    app.log.error('the gateway could not end in good order')
    process.exit(1)
  })
  process.exit(0)
}

async function runTail (args: readonly string[], options: Options): Promise<void> {
  const ending = new AbortController()
  for (const name of ['SIGTERM', 'SIGINT']) process.once(name, () => { ending.abort() })
  // Whoever read the lines, such as head, has had enough.
  process.stdout.once('error', () => { process.exit(0) })
  const { tail } = await import('./commands/tail.js')
  await tail(args, options, process.env, { line: print, note }, ending.signal)
  process.exit(0)
}

async function runPublish (args: readonly string[], options: Options): Promise<void> {
  const { publish } = await import('./commands/publish.js')
  await print(JSON.stringify(await publish(args, options, process.env)))
}

async function runConformance (options: Options): Promise<void> {
  const { conformance } = await import('./commands/conformance.js')
  if (!await conformance(options, { line: print, note })) process.exitCode = 1
}

async function runToken (args: readonly string[], options: Options): Promise<void> {
  const { readConfig } = await import('./config/read.js')
  const { token } = await import('./commands/token.js')
  await print(await token(args, options, await readConfig(configOf(options), process.env)))
}

async function run (args: readonly string[]): Promise<void> {
  const { values, positionals: [command, ...rest] } = parse(args)
  if (values.version === true) return await print(VERSION)
  if (values.help === true) return await print(USAGE.trimEnd())
  if (command === 'serve') return await runServe(values)
  if (command === 'publish') return await runPublish(rest, values)
  if (command === 'tail') return await runTail(rest, values)
  if (command === 'conformance') return await runConformance(values)
  if (command === 'token') return await runToken(rest, values)
  const near = command === undefined ? undefined : nearest(command, COMMANDS)
  throw new CliError(command === undefined
    ? `give a command:\n${USAGE}`.trimEnd()
    : `${command} is no command${near === undefined ? `; there are ${COMMANDS.join(', ')}` : `; did you mean ${near}?`}`)
}

/** Credentials that were given, none of which is shown. */
function withoutSecrets (text: string): string {
  const given = process.argv.flatMap((arg, index, all) => /^--(key|token)$/.test(all[index - 1] ?? '') ? [arg] : /^--(?:key|token)=(.+)$/.exec(arg)?.slice(1) ?? [])
  const secrets = [...given, process.env.REALTIME_KEY ?? '', process.env.REALTIME_TOKEN ?? ''].filter((each) => each !== '')
  return secrets.reduce((shown, secret) => shown.replaceAll(secret, '[hidden]'), text)
}

try {
  await run(process.argv.slice(2))
} catch (error) {
  if (error instanceof ConfigError) for (const fault of error.faults) note(withoutSecrets(lineOf(fault)))
  else if (error instanceof CliError) note(withoutSecrets(error.message))
  else note(withoutSecrets(error instanceof Error ? error.stack ?? error.message : String(error)))
  process.exit(1)
}
