// A program that capacity-cells.ts starts: weighs one run in a process of its own.

import { weigh } from './capacity-run.ts'
import { serveParent } from './child.ts'

serveParent(weigh)
