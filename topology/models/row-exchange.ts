// How rows that teach go from the stage of attribution to the one that trains.
// RX1: the key is the model's name, so that one partition has all rows, in the order key.

import type { TaughtRows } from '../../operators/model-records.ts'
import { listOfRow, type RowList, rowOfList } from '../../operators/row-list.ts'
import type { ExchangeCodec } from '../plan.ts'

/** The one that is trained: a namespace has one. */
const MODEL_NAME = 'model'

/** `T`: what else comes along there, which does not travel. */
export function rowExchange<T extends object>(): ExchangeCodec<T | TaughtRows, TaughtRows> {
  return {
    name: 'rows that teach',
    version: 1,
    where: (value) => 'rows' in value,
    key: () => MODEL_NAME,
    encode: (value) => JSON.stringify((value as TaughtRows).rows.map(listOfRow)),
    decode: (json) => ({ rows: (json as RowList[]).map(rowOfList) }),
  }
}
