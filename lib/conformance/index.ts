export { runConformance, type ConformanceOptions } from './kit.js'
