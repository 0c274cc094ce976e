import { h, setText, svg } from './elements.js'
import { HOLE, valueOf, WINDOW, type Figure, type Sample } from './series.js'
import { LEVEL_WORDS, levelOf, SIGNS, type Threshold } from './thresholds.js'
import { marked, NONE, timed } from './words.js'

export interface ChartOptions {
  readonly figure: Figure
  readonly title: string
  readonly unit: string
  readonly format: (value: number) => string
  /** The least value at the top of its axis, so that a flat line is not drawn as a mountain. */
  readonly least: number
  readonly isBytes?: boolean
  readonly threshold?: Threshold
}

/** A chart of one figure. */
export interface Chart {
  readonly element: HTMLElement
  draw (samples: readonly Sample[], node: string | undefined): void
}

interface Spot { readonly at: number, readonly time: Date, readonly value: number | undefined }

const HEIGHT = 150
const TOP = 18
const BOTTOM = 22
const LEFT = 52
const RIGHT = 10
/** Spans of the axis in milliseconds: the shortest one that holds all samples is drawn. */
const WIDTHS = [60_000, 120_000, 300_000, WINDOW]
const LEAST_WIDTH = 160
/** The axis goes beyond the greatest value by this factor. */
const HEADROOM = 1.05

/**
 * The least round number that is not below `value`, so that the marks of the axis are round too.
 *
 * @param base of what is round: 1, or the unit of bytes that fits
 */
function roundUp (value: number, base: number): number {
  const power = 10 ** Math.floor(Math.log10(value / base)) * base
  return [1, 2, 4, 5, 8, 10].map((step) => step * power).find((step) => step >= value)!
}

function agoOf (ms: number): string {
  return ms === 0 ? 'now' : ms < 60_000 ? `${ms / 1_000} s ago` : `${ms / 60_000} min ago`
}

/** Makes a chart with axes, a threshold, and a mark that pointer and arrow keys move over the samples. */
export function createChart (options: ChartOptions): Chart {
  const { figure, title, unit, format, least, isBytes = false, threshold } = options
  const value = h('span', { class: 'now' }, NONE)
  const badge = h('span', { class: 'badge' })
  const drawing = svg('svg', { 'aria-hidden': 'true', height: HEIGHT })
  const stage = h('div', {
    class: 'stage',
    role: 'slider',
    tabindex: 0,
    'aria-label': `${title}, over time`,
    'aria-valuemin': 0,
    'aria-valuemax': 0,
    'aria-valuenow': 0
  }, drawing)
  const element = h('figure', { class: 'chart' },
    h('figcaption', {}, h('h2', {}, title), badge, value, h('span', { class: 'quiet' }, ` ${unit}`)), stage)
  let spots: readonly Spot[] = []
  /** The spot that is looked at, counted from the newest; without one the newest is shown. */
  let looked: number | undefined

  const paint = (): void => {
    const width = Math.max(LEAST_WIDTH, stage.clientWidth)
    const plot = width - LEFT - RIGHT
    const bottom = HEIGHT - BOTTOM
    drawing.setAttribute('width', String(width))
    drawing.setAttribute('viewBox', `0 0 ${width} ${HEIGHT}`)
    const newest = spots.at(-1)
    const end = newest?.at ?? 0
    const span = WIDTHS.find((each) => end - (spots[0]?.at ?? end) <= each) ?? WINDOW
    const known = spots.flatMap((spot) => spot.value === undefined ? [] : [spot.value])
    const greatest = Math.max(least, ...known.map((of) => of * HEADROOM))
    const top = roundUp(greatest, isBytes ? 1_024 ** Math.floor(Math.log2(greatest) / 10) : 1)
    const x = (at: number): number => LEFT + plot * (1 - (end - at) / span)
    const y = (of: number): number => bottom - (bottom - TOP) * of / top
    const parts: SVGElement[] = []
    for (const mark of [0, top / 2, top]) {
      parts.push(
        svg('line', { class: 'grid', x1: LEFT, x2: width - RIGHT, y1: y(mark), y2: y(mark) }),
        svg('text', { class: 'tick', x: LEFT - 6, y: y(mark) + 4, 'text-anchor': 'end' }, (isBytes ? marked : format)(mark))
      )
    }
    for (const share of plot < 220 ? [0, 1] : [0, 0.5, 1]) {
      const anchor = share === 0 ? 'start' : share === 1 ? 'end' : 'middle'
      parts.push(svg('text', { class: 'tick', x: LEFT + plot * share, y: HEIGHT - 5, 'text-anchor': anchor }, agoOf(span * (1 - share))))
    }
    const lines: SVGElement[] = []
    for (const run of runsOf(spots)) {
      const line = run.map(({ at, value: of }) => `${x(at).toFixed(1)},${y(of).toFixed(1)}`)
      const [first, last] = [x(run[0]!.at).toFixed(1), x(run.at(-1)!.at).toFixed(1)]
      parts.push(svg('path', { class: 'area', d: `M${first},${bottom}L${line.join('L')}L${last},${bottom}Z` }))
      lines.push(svg('path', { class: 'line', d: `M${line.join('L')}` }))
      if (run.length === 1) lines.push(svg('circle', { class: 'dot', cx: first, cy: y(run[0]!.value), r: 2.5 }))
    }
    if (threshold !== undefined && threshold.warn <= top) {
      const at = y(threshold.warn)
      parts.push(
        svg('line', { class: 'limit', x1: LEFT, x2: width - RIGHT, y1: at, y2: at }),
        svg('text', { class: 'limit', x: LEFT + 4, y: at - 5 }, `${SIGNS.warn} high from ${threshold.warn} ${threshold.unit}`)
      )
    }
    parts.push(...lines)
    const shown = looked === undefined ? newest : spots[spots.length - 1 - looked]
    if (looked !== undefined && shown !== undefined) {
      parts.push(svg('line', { class: 'mark', x1: x(shown.at), x2: x(shown.at), y1: TOP, y2: bottom }))
      if (shown.value !== undefined) parts.push(svg('circle', { class: 'dot', cx: x(shown.at), cy: y(shown.value), r: 4 }))
    }
    drawing.replaceChildren(...parts)
    tell(shown)
  }

  const tell = (shown: Spot | undefined): void => {
    const said = shown?.value === undefined ? NONE : format(shown.value)
    const when = looked === undefined || shown === undefined ? '' : `${timed(shown.time)} `
    setText(value, `${when}${said}`)
    const level = threshold === undefined ? 'good' : levelOf(shown?.value, threshold)
    badge.className = `badge ${level}`
    setText(badge, level === 'good' ? '' : `${SIGNS[level]} ${LEVEL_WORDS[level]}`)
    stage.setAttribute('aria-valuemax', String(Math.max(0, spots.length - 1)))
    stage.setAttribute('aria-valuenow', String(Math.max(0, spots.length - 1 - (looked ?? 0))))
    stage.setAttribute('aria-valuetext', shown === undefined ? 'no figures yet' : `${timed(shown.time)}: ${said} ${unit}`)
  }

  const look = (index: number | undefined): void => {
    looked = index === undefined ? undefined : Math.min(Math.max(0, index), Math.max(0, spots.length - 1))
    paint()
  }
  stage.addEventListener('pointermove', ({ offsetX }) => {
    const end = spots.at(-1)?.at ?? 0
    const span = WIDTHS.find((each) => end - (spots[0]?.at ?? end) <= each) ?? WINDOW
    const at = end - span * (1 - (offsetX - LEFT) / (Math.max(LEAST_WIDTH, stage.clientWidth) - LEFT - RIGHT))
    let nearest = 0
    for (const [index, spot] of spots.entries()) {
      if (Math.abs(spot.at - at) < Math.abs(spots[nearest]!.at - at)) nearest = index
    }
    look(spots.length - 1 - nearest)
  })
  stage.addEventListener('pointerleave', () => { look(undefined) })
  stage.addEventListener('blur', () => { look(undefined) })
  stage.addEventListener('keydown', (event) => {
    const step = { ArrowLeft: 1, ArrowDown: 1, ArrowRight: -1, ArrowUp: -1, PageDown: 30, PageUp: -30 }[event.key]
    if (step !== undefined) look((looked ?? 0) + step)
    else if (event.key === 'Home') look(spots.length)
    else if (event.key === 'End') look(0)
    else if (event.key === 'Escape') look(undefined)
    else return
    event.preventDefault()
  })
  new ResizeObserver(() => { paint() }).observe(stage)

  return {
    element,
    draw (samples, node) {
      spots = samples.map((sample) => ({ at: sample.at, time: sample.time, value: valueOf(sample, figure, node) }))
      paint()
    }
  }
}

/** Runs of samples without a hole between them. */
function runsOf (spots: readonly Spot[]): Array<Array<Spot & { readonly value: number }>> {
  const runs: Array<Array<Spot & { readonly value: number }>> = []
  let before: Spot | undefined
  for (const { at, time, value } of spots) {
    const isJoined = before?.value !== undefined && at - before.at < HOLE
    before = { at, time, value }
    if (value === undefined) continue
    if (isJoined) runs.at(-1)!.push({ at, time, value })
    else runs.push([{ at, time, value }])
  }
  return runs
}
