/** What a person at a shell did wrong, or what went wrong for them: one line. */
export class CliError extends Error { }
