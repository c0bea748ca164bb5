// The pixel of a page: <script async src="https://.../holdfast.js" data-pixel="shop-1"></script>. How to use it: docs/pixels.md.
// HF1: an event has its id before it is first sent, and every later try sends the same bytes: the log drops the second.
// HF2: nothing is stored in or read from the browser before consent is given; when it is taken back, what was stored goes.
// HF3: at most 20 events wait for an answer; each is tried five times on a page, and once more as the page goes.
// Sent by fetch with keepalive, not by a beacon: both outlive the page, and only fetch tells whether to try again.
// Served in under 2 KB by sinks/http/pixel-script.ts, which drops comments and spaces: comments stand on lines of their
// own, and there is no regular expression here, no quote inside a text, and no `+ +`.
(({ dataset: data, src }) => {
  const api = new URL('/v1/', data.endpoint || src)
  const digits = () => crypto.getRandomValues(new Uint32Array(4)).join('')
  // A value of a query or, when none is given, of a cookie.
  const get = (name, text = document.cookie.replaceAll('; ', '&')) => new URLSearchParams(text).get(name)
  // fbclid first, as on the server, so that fbc there and the address here name the same click.
  let click = ['fbclid', 'gclid', 'ttclid', 'msclkid'].map(name => get(name, location.search)).find(id => id)
  // The visitor. Formed as Meta's cookie, which servers send on as fbp. Without consent it ends with the page.
  let fbp = `fb.1.${Date.now()}.${digits().slice(-9)}`
  // may: consent.
  let may, user = data.user
  // Bodies that nobody has answered for, by event id, oldest first.
  const open = {}

  // For 90 days, or away with it.
  const set = (name, value) => {
    document.cookie = `${name}=${encodeURIComponent(value)};path=/;samesite=lax;max-age=${may ? 7776e3 : 0}`
  }
  // Storage may be switched off or full, and anybody may have written there.
  const safely = use => {
    try {
      use()
    } catch {}
  }
  const keep = () => {
    for (const id of Object.keys(open).slice(0, -20)) delete open[id]
    if (may) safely(() => (localStorage._hf = JSON.stringify(open)))
  }

  // Whether the answer is final. One that may not be read has the status 0.
  const post = (body, mode) => fetch(api + 'collect', { method: 'POST', body, mode, keepalive: true })
    .then(({ status }) => status < 500 && status != 429)
  const show = body => new Promise((onload, onerror) => {
    Object.assign(new Image(), { onload, onerror, src: api + 'pixel.gif?j=' + encodeURIComponent(body) })
  })
  const send = async (id, tries) => {
    const body = open[id]
    // Without CORS an event arrives as well, only its answer may not be read: hence the second way. The third is for
    // pages that forbid fetch.
    if (!body || await post(body).catch(() => post(body, 'no-cors')).catch(() => show(body)).catch(() => 0)) delete open[id]
    // After 1, 4, 16 and 64 s.
    else if (tries < 4) setTimeout(send, 1e3 * 4 ** tries, id, tries + 1)
    keep()
  }
  const add = (id, body) => {
    open[id] = body
    keep()
    send(id, 0)
  }

  const { q = [] } = window.holdfast || {}
  window.holdfast = (name, more) => {
    if (name == 'user') user = more
    else if (name == 'consent') {
      may = more
      safely(() => {
        if (may) {
          fbp = get('_fbp') || fbp
          click = click || get('_hfc') || ''
        } else delete localStorage._hf
        set('_fbp', fbp)
        set('_hfc', click)
        const kept = JSON.parse(localStorage._hf)
        for (const id in kept) add(id, kept[id])
      })
    } else {
      const id = digits()
      add(id, JSON.stringify({
        e: name,
        eid: id,
        ts: Date.now(),
        uid: user || fbp,
        px: data.pixel,
        cid: click,
        url: location.origin + location.pathname,
        ref: document.referrer.split('?')[0],
        ...more
      }))
    }
  }
  addEventListener('pagehide', () => {
    for (const id in open) navigator.sendBeacon(api + 'collect', open[id])
  })
  if (data.consent == 'true') holdfast('consent', true)
  for (const call of q) holdfast(...call)
  holdfast('PageView')
})(document.currentScript)
