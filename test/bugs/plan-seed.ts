// Loaded before the tests of a copy of the project (test/bugs/rules.ts): random plans are drawn from a seed that is said, so that
// what caught a bug can be seen again.

import fc from 'fast-check'

fc.configureGlobal({ seed: Number(process.env.HOLDFAST_PLAN_SEED) })
