// The logistic function and its loss, safe at the ends.
// LG1: a probability is never 0 or 1: a wrong row costs much, never infinitely much.

/** Beyond this the double nearest to a probability is 1 or the loss of a row would say nothing any more (e^-35 = 6e-16). */
export const LOGIT_MAX = 35

const bounded = (logit: number): number => Math.min(Math.max(logit, -LOGIT_MAX), LOGIT_MAX)

/** Probability of a logit, within (0, 1). */
export const sigmoid = (logit: number): number => 1 / (1 + Math.exp(-bounded(logit)))

/** Logit of a probability; within LOGIT_MAX. */
export const logitOf = (p: number): number => bounded(Math.log(p) - Math.log1p(-p))

/** Loss of a row in nats: -ln p where y = 1, -ln(1 - p) where y = 0. Its derivative by the logit is p - y. */
export const logLoss = (p: number, y: number): number => -(y * Math.log(p) + (1 - y) * Math.log1p(-p))

/** Logits of files are cut here: the largest at which a single-precision sigmoid is not 1 is 1 - e^-15 = 1 - 3.1e-7. */
export const LOGIT_CUT = 15

/** What is said at least, of what cannot be as well. */
export const LEAST_P = sigmoid(-LOGIT_CUT)
