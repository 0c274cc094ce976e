import {
  measureBeats, measureChurn, measureResume, measureStart, measureUpgrades
} from './measures/connections.js'
import { measureDelivery } from './measures/delivery.js'
import { measureLibrary } from './measures/library.js'
import { measureIdle, measureRetained, measureRooms } from './measures/memory.js'
import type { Sample } from './sample.js'
import { Stage, type StageOptions } from './stage.js'

/** Whether the server of a peer can be loaded at all. @returns packages and versions */
export async function probe (options: StageOptions): Promise<string> {
  const stage = new Stage(options)
  return await stage.within(async () => (await stage.start()).version)
}

/** One measurement: one workload on one peer. */
export async function measure (options: StageOptions): Promise<Sample> {
  const stage = new Stage(options)
  return await stage.within(async () => {
    const { drive } = stage.workload
    if (drive.kind === 'start') return await measureStart(stage)
    await stage.start()
    switch (drive.kind) {
      case 'upgrades': return await measureUpgrades(stage, drive)
      case 'resume': return await measureResume(stage, drive)
      case 'churn': return await measureChurn(stage, drive)
      case 'beats': return await measureBeats(stage, drive)
      case 'idle': return await measureIdle(stage, drive)
      case 'rooms': return await measureRooms(stage, drive)
      case 'retained': return await measureRetained(stage, drive)
      case 'library': return await measureLibrary(stage, drive)
      default: return await measureDelivery(stage)
    }
  })
}
