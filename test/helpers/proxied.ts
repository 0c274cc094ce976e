/** Something as it is, with some parts replaced. */
export function proxied<T extends object> (inner: T, parts: Partial<T>): T {
  return new Proxy(inner, {
    get (target, name) {
      if (name in parts) return Reflect.get(parts, name) as unknown
      const value: unknown = Reflect.get(target, name, target)
      return typeof value === 'function' ? value.bind(target) as unknown : value
    }
  })
}
