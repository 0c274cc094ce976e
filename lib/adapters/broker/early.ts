/** Messages that are held at most. */
const MOST = 500

/**
 * Messages between nodes that came before others which they follow. Those are read first, so that the order is kept.
 * What came is held until then and taken behind what was read, because the broker may have lost it in the meantime: it
 * was told once, and nothing would tell it again.
 */
export class Early {
  #texts: string[] = []

  /** @returns the oldest where there is no room for one more: it is taken now, out of its order */
  hold (text: string): string | undefined {
    this.#texts.push(text)
    return this.#texts.length > MOST ? this.#texts.shift() : undefined
  }

  /**
   * Runs one read and then takes what had come before it began. Where the read fails, that is held on.
   *
   * @param take drops what the read has brought
   */
  async behind (read: () => Promise<void>, take: (text: string) => void): Promise<void> {
    const texts = this.#texts
    this.#texts = []
    try {
      await read()
    } catch (error) {
      this.#texts = [...texts, ...this.#texts].slice(-MOST)
      throw error
    }
    for (const text of texts) take(text)
  }
}
