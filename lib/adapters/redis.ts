// The built file of this name is imported by its path where the package's own names cannot be used.
export * from './redis/index.js'
