import { writeFile } from 'node:fs/promises'
import { Session } from 'node:inspector/promises'

const session = new Session()

/** A CPU profile of what is measured, and of nothing else. Makes the figures of its run worse. */
export async function startProfile (): Promise<void> {
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
}

export async function writeProfile (path: string): Promise<void> {
  const { profile } = await session.post('Profiler.stop')
  await writeFile(path, JSON.stringify(profile))
}
