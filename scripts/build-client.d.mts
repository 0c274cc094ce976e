/** @returns the text of the module that holds the client library as an ES module */
export function builtModule (): Promise<string>
/** @returns the text of the client library as a script with the global `realtime` */
export function builtGlobal (): Promise<string>
