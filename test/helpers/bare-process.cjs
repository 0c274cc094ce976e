/**
 * The runner has every process write down which files it loads, by hooks that read each module once more. Nothing here
 * asks for that (it serves coverage and `tap --changed`), and it takes a test file half a second of a core. This is
 * required before the runner's own import.
 */
const module_ = require('node:module')

const { register } = module_
module_.register = (specifier, ...rest) => {
  if (!String(specifier).includes('@tapjs/processinfo')) register(specifier, ...rest)
}
