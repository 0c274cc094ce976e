/** Sets a value as the newest of its map, which holds so many at most: the oldest is given up. */
export function setNewest<K, V> (map: Map<K, V>, key: K, value: V, most: number): void {
  map.delete(key)
  map.set(key, value)
  if (map.size > most) map.delete(map.keys().next().value!)
}
