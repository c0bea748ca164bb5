// A browser without a locale of its own says `en-US@posix` (a headless Chromium in a container). Intl throws at that, and
// uPlot asks Intl with it while it loads: the page would stay blank.
// LG1: imported before everything else, so that it is done by then.

try {
  Intl.getCanonicalLocales(navigator.language)
} catch {
  // What is a language in it, else the page's own.
  const language = /^[a-z]{2,3}(-[a-z]{2})?(?![a-z\d-])/i.exec(navigator.language)?.[0] ?? document.documentElement.lang
  Object.defineProperty(navigator, 'language', { value: language, configurable: true })
}
