/** Stands for an answer that is no, beside the errors of those that are missing. */
const NO = Symbol('no')

/**
 * Whether one of several answers is yes. A yes counts as soon as it is there, whatever comes of the others: each may be
 * asked of another server, and one that is silent proves nothing about them.
 *
 * @throws what came of the first that is missing, where none says yes
 */
export async function isAny (answers: ReadonlyArray<Promise<boolean>>): Promise<boolean> {
  try {
    await Promise.any(answers.map(async (answer) => { if (!await answer) throw NO }))
    return true
  } catch (error) {
    const missing = (error as AggregateError).errors.filter((reason) => reason !== NO)
    if (missing.length > 0) throw missing[0]
    return false
  }
}
