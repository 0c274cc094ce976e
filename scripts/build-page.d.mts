/** @returns the text of the module that holds the page's code and style */
export function builtPage (): Promise<string>
