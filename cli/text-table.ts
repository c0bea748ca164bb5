// Columns for a terminal: names and texts on the left, numbers on the right.

/** Lines of a table; the first row is the head. A cell is at the right where the one under the head is a number. */
export function tableLines(head: readonly string[], rows: readonly (readonly (string | number)[])[]): string[] {
  const widths = head.map((name, i) => Math.max(name.length, ...rows.map((row) => String(row[i]).length)))
  const isNumber = head.map((_, i) => typeof rows[0]?.[i] === 'number')
  const line = (cells: readonly (string | number)[]) =>
    cells
      .map((cell, i) => (isNumber[i] ? String(cell).padStart(widths[i]!) : String(cell).padEnd(widths[i]!)))
      .join('  ')
      .trimEnd()
  return [line(head), ...rows.map(line)]
}
