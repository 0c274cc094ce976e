export * from '../../readme/first-load.js'
