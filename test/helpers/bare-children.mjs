/**
 * The runner has every process write down which files it loads, by a loader that it puts into the environment of each
 * child. Tests start hundreds of nodes, and each would spend a quarter of a second of a core on it.
 */
import processOnSpawn from 'process-on-spawn'

const LOADER = /"?--import=[^\s"]*@tapjs\/processinfo[^\s"]*"?/g

// The runner's own listener is there before, so this one comes after it.
processOnSpawn.addListener((child) => {
  const { NODE_OPTIONS: options, ...env } = child.env
  const others = options?.replace(LOADER, '').trim() ?? ''
  child.env = others === '' ? env : { ...env, NODE_OPTIONS: others }
})
