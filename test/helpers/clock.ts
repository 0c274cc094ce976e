import { existsSync } from 'node:fs'

/** The library that lies to a process about the time, where the `faketime` of Debian is installed. */
const LIAR = ['x86_64', 'aarch64']
  .map((machine) => `/usr/lib/${machine}-linux-gnu/faketime/libfaketimeMT.so.1`)
  .find((path) => existsSync(path))

export const missingClock = LIAR === undefined ? 'faketime not found on this machine' : false
if (missingClock !== false && process.env.CI !== undefined) throw new Error(`${missingClock}, and CI must not skip`)

/** Environment of a process whose clock is off by so many seconds; its timers run as ever. */
export function clockOff (seconds: number): Record<string, string> {
  return { LD_PRELOAD: LIAR!, FAKETIME: `${seconds < 0 ? '' : '+'}${seconds}s`, FAKETIME_DONT_FAKE_MONOTONIC: '1' }
}
