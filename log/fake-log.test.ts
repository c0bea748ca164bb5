// The simulated log keeps the promises of a log; below that, what only it can do: faults, by script and by seed.

import { CONFORMANCE_STORE_BYTES, type LogHarness, logConformance } from '../test/conformance/log.ts'
import { FakeLogServer } from './fake-log.ts'

function fakeHarness(seed: number): LogHarness {
  const server = new FakeLogServer({ seed, maxStoreBytes: CONFORMANCE_STORE_BYTES })
  return {
    connect: async () => server.connect('client'),
    pause: () => server.pause(),
    resume: () => server.resume(),
    restart: async () => server.restart(),
    backup: async () => {
      const backup = server.backup()
      return async () => server.restore(backup)
    },
    recreate: async (spec) => server.recreate(spec.name),
    dropConsumers: async (stream) => server.dropConsumers(stream),
    sleep: (ms) => server.scheduler.sleep(ms),
    close: async () => undefined,
  }
}

for (const seed of [1, 2, 3]) logConformance(`the simulated log (seed ${seed})`, async () => fakeHarness(seed))
