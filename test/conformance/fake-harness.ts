// The simulated broker as the world of a conformance suite.

import { FakeLogServer } from '../../log/fake-log.ts'
import type { BlobHarness } from './blobs.ts'
import { CONFORMANCE_STORE_BYTES } from './log.ts'

export function fakeHarness(seed: number): BlobHarness {
  const server = new FakeLogServer({ seed, maxStoreBytes: CONFORMANCE_STORE_BYTES })
  return {
    connect: async () => server.connect('client'),
    pause: async () => server.pause(),
    resume: () => server.resume(),
    restart: async () => server.restart(),
    backup: async () => {
      const backup = server.backup()
      return async (fill) => {
        server.restore(backup)
        if (fill !== undefined) await fill(server.connect('other'))
      }
    },
    recreate: async (spec) => server.recreate(spec.name),
    dropConsumers: async (stream) => server.dropConsumers(stream),
    damage: async (bucket, sha256, how) =>
      server.buckets.damage(bucket, sha256, (bytes) =>
        how === 'lost' ? new Uint8Array() : new Uint8Array(bytes.length),
      ),
    sleep: (ms) => server.scheduler.sleep(ms),
    close: async () => undefined,
  }
}
