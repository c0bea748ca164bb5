// The real log keeps the promises of a log, on a real nats-server; below that, what only it can do.

import { CONFORMANCE_STORE_BYTES, logConformance } from '../test/conformance/log.ts'
import { natsHarness } from '../test/conformance/nats-harness.ts'

logConformance('JetStream', () => natsHarness({ maxStoreBytes: CONFORMANCE_STORE_BYTES }))
