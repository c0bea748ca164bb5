// A plan that counts what feature groups ask of their stores, and what commits write of them. Counting costs time: what is counted is
// not measured.

import { RECORDS_STORE } from '../operators/feature-record.ts'
import type { Operator, OperatorContext, Rec } from '../operators/operator.ts'
import type { KeyedStore, StoreSpec } from '../state/store.ts'
import type { NodePlan, Plan, StagePlan } from '../topology/plan.ts'

/** Mutable. */
export interface StateCounts {
  /** Records looked for, present or not. */
  reads: number
  /** Records encoded for a commit. */
  writes: number
}

type AnyOperator = Operator<unknown, unknown>

/** The plan with counters in its feature groups. */
export function countedPlan(plan: Plan, counts: StateCounts): Plan {
  return { ...plan, stages: plan.stages.map((stage) => countedStage(stage, counts)) }
}

function countedStage(stage: StagePlan, counts: StateCounts): StagePlan {
  const nodes = stage.nodes.map((node) => (keepsFeatures(node) ? countedNode(node, counts) : node))
  return { ...stage, nodes, stores: nodes.flatMap(({ stores }) => stores) }
}

/** Whether a node keeps a group of features. */
export const keepsFeatures = ({ operator }: NodePlan): boolean => 'compiled' in operator

function countedNode(node: NodePlan, counts: StateCounts): NodePlan {
  const operator: AnyOperator = node.operator
  const process = (batch: readonly Rec<unknown>[], ctx: OperatorContext) =>
    operator.process(batch, { ...forwarding(ctx), keyed: (name) => countedStore(name, ctx.keyed(name), counts) })
  const stores = node.stores.map((spec) => (spec.name.endsWith(`/${RECORDS_STORE}`) ? countedSpec(spec, counts) : spec))
  return { ...node, operator: { ...operator, process }, stores }
}

function countedSpec(spec: StoreSpec, counts: StateCounts): StoreSpec {
  if (spec.kind !== 'keyed') return spec
  const encode = (value: unknown): Uint8Array => {
    counts.writes++
    return spec.codec.encode(value)
  }
  return { ...spec, codec: { ...spec.codec, encode } }
}

function forwarding(ctx: OperatorContext): OperatorContext {
  return {
    configured: (at) => ctx.configured(at),
    seenAfter: (edition) => ctx.seenAfter(edition),
    model: (at) => ctx.model(at),
    blob: (bytes) => ctx.blob(bytes),
    blobOf: (sha256) => ctx.blobOf(sha256),
    keyed: (name) => ctx.keyed(name),
    seen: (name) => ctx.seen(name),
    holds: (name) => ctx.holds(name),
    count: (name, by) => ctx.count(name, by),
    highest: (name, value) => ctx.highest(name, value),
    emit: (output, record, cause) => ctx.emit(output, record, cause),
    emitJson: (output, json, cause) => ctx.emitJson(output, json, cause),
    setTimer: (timer, cause) => ctx.setTimer(timer, cause),
    get drainedAt() {
      return ctx.drainedAt
    },
  }
}

function countedStore<V>(name: string, store: KeyedStore<V>, counts: StateCounts): KeyedStore<V> {
  if (name !== RECORDS_STORE) return store
  return {
    get lowestBucket() {
      return store.lowestBucket
    },
    want: (bucket, key) => store.want(bucket, key),
    get(bucket, key) {
      counts.reads++
      return store.get(bucket, key)
    },
    set: (bucket, key, value) => store.set(bucket, key, value),
    changed: (bucket, key) => store.changed(bucket, key),
    delete: (bucket, key) => store.delete(bucket, key),
    expireBelow: (bucket) => store.expireBelow(bucket),
  }
}
