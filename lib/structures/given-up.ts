/** Counts what is given up because a list is full, so that the log says so once for each time that there is more. */
export class GivenUp {
  #count = 0
  #reported = 0

  note (): void { this.#count++ }

  /** Reports how many there were, where there are more than were reported. */
  report (tell: (count: number) => void): void {
    if (this.#count === this.#reported) return
    this.#reported = this.#count
    tell(this.#count)
  }
}
