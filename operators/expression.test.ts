import fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import { naiveValue } from '../test/features/naive-expression.ts'
import { eventFields, expressions, featureValues, GENERATED_OPERATIONS } from '../test/features/random-expressions.ts'
import type { Fields } from './event.ts'
import {
  canonical,
  compileExpressions,
  EXPRESSION_DEPTH_MAX,
  type Expression,
  ExpressionFault,
  featuresIn,
  fieldsOf,
  type OperationName,
  typeOf,
  type ValueType,
} from './expression.ts'
import { interpretExpressions } from './interpreter.ts'

const op = (name: OperationName, ...args: Expression[]): Expression => ({ op: name, args })
const number = (field: string): Expression => ({ field, as: 'number' })
const text = (field: string): Expression => ({ field, as: 'text' })
const truth = (field: string): Expression => ({ field, as: 'truth' })
const is = (constant: number | string | boolean): Expression => ({ constant })

const computed = (expression: Expression, fields: object = {}, features = {}) =>
  compileExpressions([expression])({ fields: fields as Fields, features })[0]

const anyType = fc.constantFrom<ValueType>('number', 'text', 'truth')
const anyExpression = anyType.chain((type) => expressions(type, 'both').map((expression) => ({ type, expression })))
const TYPES = new Map<string, ValueType>([
  ['u.n', 'number'],
  ['valueOf', 'number'],
  ['u.t', 'text'],
  ['__proto__', 'text'],
])
const typeOfFeature = (name: string) => TYPES.get(name)
const RUNS = { numRuns: 400 }

describe('values', () => {
  test('compiled, alone or with others, or walked, an expression says what its words say', () => {
    fc.assert(
      fc.property(fc.array(anyExpression, { maxLength: 5 }), eventFields, featureValues, (list, fields, features) => {
        const all = list.map(({ expression }) => expression)
        const values = compileExpressions(all)({ fields: fields as Fields, features })
        expect(values).toStrictEqual(all.map((expression) => naiveValue(expression, { fields, features })))
        expect(interpretExpressions(all)({ fields: fields as Fields, features })).toStrictEqual(values)
        list.forEach(({ type }, i) => {
          if (type === 'truth' || values[i] !== undefined)
            expect(typeof values[i]).toBe({ number: 'number', text: 'string', truth: 'boolean' }[type])
        })
      }),
      RUNS,
    )
  })

  test('every operation is among the random ones', () => {
    const message = typeFault({ op: 'no such' }).split('one of ')[1]!
    expect([...GENERATED_OPERATIONS].sort()).toEqual(message.split(', ').sort())
  })

  test.each<[string, Expression, unknown]>([
    ['add', op('add', is(1), number('x')), 3],
    ['subtract', op('subtract', is(1), number('x')), -1],
    ['multiply', op('multiply', is(3), number('x')), 6],
    ['divide', op('divide', is(1), number('x')), 0.5],
    ['by nothing', op('divide', is(1), is(0)), undefined],
    ['least', op('least', is(1), number('x')), 1],
    ['greatest', op('greatest', is(1), number('x')), 2],
    ['floor', op('floor', is(-1.5)), -2],
    ['absolute', op('absolute', is(-1.5)), 1.5],
    ['log1p of less than -1', op('log1p', is(-2)), undefined],
    ['the first hour of Thursday, 1970-01-01', op('hour_of_day', is(0)), 0],
    ['1970-01-01', op('day_of_week', is(0)), 4],
    ['2024-02-29T13:00Z, hour', op('hour_of_day', is(1_709_211_600_000)), 13],
    ['2024-02-29T13:00Z, day', op('day_of_week', is(1_709_211_600_000)), 4],
    ['a millisecond before 1970, hour', op('hour_of_day', is(-1)), 23],
    ['a millisecond before 1970, day', op('day_of_week', is(-1)), 3],
    ['at most', op('at_most', number('x'), is(2)), true],
    ['less', op('less', number('x'), is(2)), false],
    ['less than something absent', op('less', number('none'), is(2)), false],
    ['not less than something absent', op('not', op('less', number('none'), is(2))), true],
    ['equal', op('equal', text('t'), is('a')), true],
    ['two that are absent', op('equal', text('none'), text('neither')), false],
    ['in', op('in', text('t'), is('b'), is('a')), true],
    ['in nothing', op('in', text('t')), false],
    ['starts with', op('starts_with', is('abc'), text('t')), true],
    ['and', op('and', truth('y'), truth('none')), false],
    ['or', op('or', truth('none'), truth('y')), true],
    ['not of what is absent', op('not', truth('none')), true],
    ['present', op('present', number('none')), false],
    ['a false value is present', op('present', truth('none')), true],
    ['or else', op('or_else', number('none'), is(7)), 7],
    ['if', op('if', truth('y'), is('yes'), text('none')), 'yes'],
    ['if not', op('if', truth('none'), is('yes'), text('none')), undefined],
    ['when', op('when', truth('none'), is('yes')), undefined],
    ['cross', op('cross', text('t'), is('b')), '["a","b"]'],
    ['too large', op('multiply', is(1e300), is(1e300)), undefined],
  ])('%s', (_, expression, expected) => {
    expect(computed(expression, { x: 2, t: 'a', y: true })).toBe(expected)
    expect(naiveValue(expression, { fields: { x: 2, t: 'a', y: true } })).toBe(expected)
  })

  test('texts that are crossed stay different', () => {
    const cross = op('cross', text('x'), text('y'))
    fc.assert(
      fc.property(fc.tuple(fc.string(), fc.string()), fc.tuple(fc.string(), fc.string()), ([a, b], [c, d]) => {
        const same = computed(cross, { x: a, y: b }) === computed(cross, { x: c, y: d })
        expect(same).toBe(a === c && b === d)
      }),
    )
    expect(computed(cross, { x: 'a","b', y: 'c' })).not.toBe(computed(cross, { x: 'a', y: 'b","c' }))
  })

  test('a text that is no Unicode is absent: it would come back from state as another', () => {
    expect(computed(text('x'), { x: '\ud800' })).toBeUndefined()
  })

  test('what several expressions share is computed once', () => {
    let reads = 0
    const fields = {
      get x() {
        reads++
        return 1
      },
    }
    const sum = op('add', number('x'), is(1))
    const values = compileExpressions([sum, op('multiply', sum, sum), op('less', sum, is(9))])
    expect(values({ fields: fields as unknown as Fields })).toEqual([2, 4, true])
    expect(reads).toBe(1)
  })
})

describe('the canonical form', () => {
  test('has the same type and the same value for every event, and is its own', () => {
    fc.assert(
      fc.property(anyExpression, fc.array(eventFields, { maxLength: 5 }), featureValues, (one, events, features) => {
        const form = canonical(one.expression)
        expect(typeOf(form, typeOfFeature)).toBe(one.type)
        expect(canonical(form)).toStrictEqual(form)
        for (const fields of [{}, ...events]) {
          const given = { fields: fields as Fields, features }
          expect(compileExpressions([form])(given)).toStrictEqual([naiveValue(one.expression, given)])
        }
      }),
      RUNS,
    )
  })

  test('is one for expressions that are said in another way', () => {
    const [a, b, c] = [truth('a'), truth('b'), truth('c')]
    const form = canonical(op('and', a, op('and', b, c)))
    expect(canonical(op('and', c, op('and', b, b, op('not', op('not', a))), a))).toStrictEqual(form)
    expect(canonical(op('add', is(1), number('x')))).toStrictEqual(canonical(op('add', number('x'), is(1))))
    expect(canonical(op('in', text('x'), is('b'), is('a')))).toStrictEqual(
      canonical(op('in', text('x'), is('a'), is('b'))),
    )
    expect(canonical(op('less', op('multiply', is(2), is(3)), number('x')))).toStrictEqual(
      op('less', is(6), number('x')),
    )
    expect(canonical(op('subtract', is(1), number('x')))).not.toStrictEqual(
      canonical(op('subtract', number('x'), is(1))),
    )
  })
})

function typeFault(expression: unknown, features = null as Parameters<typeof typeOf>[1]): string {
  try {
    return `no fault: ${typeOf(expression, features)}`
  } catch (error) {
    expect(error).toBeInstanceOf(ExpressionFault)
    return (error as Error).message
  }
}

describe('types', () => {
  test('of random expressions are what they were made as', () => {
    fc.assert(fc.property(anyExpression, ({ type, expression }) => typeOf(expression, typeOfFeature) === type))
  })

  test.each<[string, unknown, string]>([
    ['null', null, 'expression: an expression is an object'],
    ['a text', 'x', 'expression: an expression is an object'],
    ['nothing', {}, 'expression: "op" must be one of add,'],
    ['an inherited name', { op: 'constructor', args: [] }, 'expression: "op" must be one of add,'],
    ['a field with a space', { field: 'a b', as: 'text' }, 'expression: "field" is no name of a field'],
    ['a field of a field', { field: 'props.a.b', as: 'text' }, 'expression: "field" is no name of a field'],
    ['code', { field: 'x;process.exit()', as: 'text' }, 'expression: "field" is no name of a field'],
    ['a field of another kind', { field: 'x', as: 'text', of: 1 }, 'expression: "of" has no meaning here'],
    ['a line end', { field: 'x\n', as: 'text' }, 'expression: "field" is no name of a field'],
    ['__proto__', { field: 'props.__proto__', as: 'text' }, 'expression: "field" is no name of a field'],
    ['a list as field', { field: ['x'], as: 'text' }, 'expression: "field" is no name of a field'],
    ['as date', { field: 'x', as: 'date' }, 'expression: "as" must be'],
    ['NaN', { constant: Number.NaN }, 'expression: "constant" must be'],
    ['a lone surrogate', { constant: '\ud800' }, 'expression: "constant" must be'],
    ['a feature', { feature: 'u.n' }, 'expression: an expression over events names no feature'],
    ['no args', { op: 'add' }, 'expression: "args" must be a list'],
    ['too many', { op: 'or', args: new Array(1_001).fill(truth('a')) }, 'expression: "args" must be a list of up to'],
    ['one too few', op('add', is(1)), 'expression: add takes (number, number), not (number)'],
    ['one too many', op('add', is(1), is(1), is(1)), 'expression: add takes (number, number), not (number,'],
    ['the path', op('not', op('less', is(1), op('add', is(1), is('a')))), 'expression.not[0].less[1]: add takes'],
    ['if without condition', op('if', is(1), is(1), is(1)), 'expression: if takes (truth, two of one type)'],
    ['when of a truth', op('when', is(true), is(true)), 'expression: when takes (truth, a number or a text)'],
    ['unlike', op('equal', is(1), is('1')), 'expression: equal takes two of one type, not (number, text)'],
    ['in, of numbers', op('in', is('a'), is(1)), 'expression: in takes (text, text …)'],
    ['two at once', op('present', is(1), is(1)), 'expression: present takes one argument'],
    ['one to cross', op('cross', is('a')), 'expression: cross takes (text, text, text …)'],
  ])('%s is refused, with its place', (_, expression, message) => {
    expect(typeFault(expression)).toContain(message)
    expect(typeFault(expression).startsWith(message.slice(0, message.indexOf(':')))).toBe(true)
  })

  test('features that there are not', () => {
    expect(typeFault({ feature: 'u.x' }, typeOfFeature)).toContain('there is no feature "u.x"')
    expect(typeFault({ feature: 1 }, typeOfFeature)).toContain('"feature" must be a name')
  })

  test('an expression nests to the limit and no deeper', () => {
    const nested = (depth: number): Expression => (depth === 1 ? is(true) : op('not', nested(depth - 1)))
    expect(typeOf(nested(EXPRESSION_DEPTH_MAX), null)).toBe('truth')
    expect(typeFault(nested(EXPRESSION_DEPTH_MAX + 1))).toContain(`nested more than ${EXPRESSION_DEPTH_MAX} deep`)
  })
})

test('no text becomes code', () => {
  const hostile = ['"', "'", '`', '\\', '\n', '\u2028', '${', '*/', '//', '});', '"];globalThis.bad = 1;["']
  const texts = fc.array(fc.constantFrom(...hostile, 'x'), { maxLength: 6 }).map((parts) => parts.join(''))
  fc.assert(
    fc.property(texts, texts, (one, other) => {
      const expressions = [is(one), op('in', is(one), is(other)), { feature: one }, op('cross', is(one), is(other))]
      const values = compileExpressions(expressions)({ features: { [one]: other } })
      expect(values).toStrictEqual([one, one === other, other, JSON.stringify([one, other])])
      // What typeOf lets through is a name, whatever it begins with.
      expect(typeFault({ field: `x${one}`, as: 'text' })).toMatch(/^x*$/.test(one) ? 'no fault' : 'no name of a field')
    }),
  )
  expect(globalThis).not.toHaveProperty('bad')
})

test('what an expression reads', () => {
  const expression = op('if', truth('b'), { feature: 'u.n' }, op('add', number('props.a'), { feature: 'u.m' }))
  expect(fieldsOf([expression, number('b')])).toEqual(['b', 'props.a'])
  expect(featuresIn(expression)).toEqual(['u.m', 'u.n'])
})
