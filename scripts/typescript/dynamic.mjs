/** From here on the modules of the repository are found by hooks too, which those need that are imported later. */
import { register } from 'node:module'

register('./hooks.mjs', import.meta.url)
