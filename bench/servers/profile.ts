import { writeFile } from 'node:fs/promises'
import type { Session } from 'node:inspector/promises'

let session: Session | undefined

/** A CPU profile of what is measured, and of nothing else. Makes the figures of its run worse. */
export async function startProfile (): Promise<void> {
  // Loaded when it is needed: not every runtime has it, and a start is measured without it.
  const inspector = await import('node:inspector/promises')
  session ??= new inspector.Session()
  session.connect()
  await session.post('Profiler.enable')
  await session.post('Profiler.start')
}

export async function writeProfile (path: string): Promise<void> {
  const { profile } = await session!.post('Profiler.stop')
  await writeFile(path, JSON.stringify(profile))
}
