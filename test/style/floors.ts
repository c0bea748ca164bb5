// An import goes down, never up, and never sideways between operators (design.md, section 3).

import { type Import, importsOf, isTest, type Tree } from './tree.ts'

/** From the ground up. ml/ stands beside operators/ and knows nothing but mathematics and itself. */
const FLOORS = ['log', 'state', 'operators', 'sinks', 'topology', 'replay', 'cli']
/** An operator says that it is one; what says nothing (events, expiry) is vocabulary that operators may share. */
const IS_OPERATOR = /import type \{[^}]*\bOperator\b[^}]*\} from '\.\/operator\.ts'/
const ML_MAY_IMPORT = ['log/errors.ts']
/** Operators see neither broker nor store nor the machine. */
const IMPURE_PACKAGE = /^(nats$|@nats-io\/|rocksdb$|pino$|node:(fs|net|http|child_process|timers|worker_threads|os)\b)/
const ROCKSDB_MODULE = 'state/rocksdb.ts'

/** One line for each import that breaks the rule. Tests and bench may import anything. */
export function brokenFloors(tree: Tree): string[] {
  return importsOf(tree)
    .filter(({ from }) => !isTest(from))
    .flatMap((edge) => {
      const problem = edge.isPackage ? packageProblem(edge) : floorProblem(edge, tree)
      return problem === null ? [] : [`${edge.from} imports ${edge.to}: ${problem}`]
    })
}

function floorProblem({ from, to }: Import, tree: Tree): string | null {
  const [fromFloor, toFloor] = [folderOf(from), folderOf(to)]
  if (isTest(to) && FLOORS.concat('ml').includes(fromFloor)) {
    return 'production code imports tests'
  }
  if (fromFloor === 'ml') return toFloor === 'ml' || ML_MAY_IMPORT.includes(to) ? null : 'ml is pure mathematics'
  if (fromFloor === 'operators' && toFloor === 'operators') {
    return IS_OPERATOR.test(tree.get(to) ?? '') ? 'operators share nothing but records' : null
  }
  const [fromRank, toRank] = [FLOORS.indexOf(fromFloor), FLOORS.indexOf(toFloor === 'ml' ? 'operators' : toFloor)]
  return fromRank !== -1 && toRank > fromRank ? `${fromFloor}/ is below ${toFloor}/` : null
}

function packageProblem({ from, to }: Import): string | null {
  if (to === 'rocksdb' && from !== ROCKSDB_MODULE) return `only ${ROCKSDB_MODULE} loads RocksDB`
  const pure = ['operators', 'ml'].includes(folderOf(from))
  return pure && IMPURE_PACKAGE.test(to) ? 'operators see neither broker, store nor machine' : null
}

function folderOf(path: string): string {
  return path.includes('/') ? path.slice(0, path.indexOf('/')) : ''
}
