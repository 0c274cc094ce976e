/** What Node is given to run the TypeScript of the repository in a process that a test starts. */
export const TYPESCRIPT = ['--import', new URL('../../scripts/typescript/register.mjs', import.meta.url).href] as const
