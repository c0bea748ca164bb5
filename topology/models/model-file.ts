// A model file as a plan knows it: its bytes, which make it what it is, and the scoring with it, loaded where it is first asked.

import { HoldfastError } from '../../log/errors.ts'
import { manifestIn } from '../../ml/onnx-export.ts'
import { type Answer, FALLBACK_VERSION, type ScoringModels } from '../../operators/scorer.ts'
import { OnnxModel } from './onnx-model.ts'
import { namesOf, ToldModel } from './told-model.ts'

/** Plain data: threads get it with the options of the graph. */
export interface ModelFile {
  readonly bytes: Uint8Array
  /** Of the bytes, hex. */
  readonly sha256: string
}

/** As Scored.version: the only one that a run with a file has. */
const VERSION = 1

/**
 * The model of a sound file (OnnxModel.load says whether it is), to score touches whose vectors have this schema; null: they have
 * none. Throws MODEL_REFUSED where it was taught with others: an absent feature would be taken for one that says nothing.
 * @param windows by which scores are told; without any, by the file's own
 */
export function fixedModel(
  { bytes, sha256 }: ModelFile,
  vectorSchema: string | null,
  windows: readonly string[],
): ScoringModels {
  const manifest = manifestIn(bytes)
  if (manifest === null || manifest.vector !== vectorSchema) {
    throw new HoldfastError('MODEL_REFUSED', 'it was taught with other vectors than touches have here (--vectors)', {
      ...{ reason: 'schema', taught: manifest?.vector ?? 'none', here: vectorSchema ?? 'none' },
    })
  }
  const told = [...windows, ...namesOf(manifest).filter((name) => !windows.includes(name))]
  let loaded: Promise<ToldModel> | null = null
  return {
    windows: told,
    settings: { sha256 },
    async answer(asked) {
      loaded ??= OnnxModel.load(bytes, sha256).then((model) => new ToldModel(model, told))
      const model = await loaded
      const said = await model.score(asked)
      return asked.map((one, i): Answer => {
        const told = said[i]!
        if (told !== null) return { version: VERSION, name: sha256, ...told, refused: [] }
        return { version: FALLBACK_VERSION, name: sha256, ...model.rates(one), refused: [] }
      })
    },
  }
}
