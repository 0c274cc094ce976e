// The same file in each step: the one of the whole example.
export * from '../../database.js'
