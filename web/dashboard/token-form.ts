// Asks for a token, where the node wants one. It stays in this tab (sessionStorage) and goes to this node only.

import { type ComponentChild, h } from 'preact'

interface TokenFormProps {
  /** There was one, and the node does not take it. */
  readonly wrong: boolean
  readonly onToken: (token: string) => void
}

export function TokenForm({ wrong, onToken }: TokenFormProps): ComponentChild {
  const submit = (event: SubmitEvent) => {
    event.preventDefault()
    const token = String(new FormData(event.currentTarget as HTMLFormElement).get('token')).trim()
    if (token !== '') onToken(token)
  }
  return h('form', { class: 'card token', onSubmit: submit }, [
    h('h2', null, 'This node asks for a token'),
    h('p', { class: 'hint' }, 'With the scopes read and metrics. It is kept in this tab until you close it.'),
    wrong && h('p', { role: 'alert', class: 'wrong' }, 'The node does not take this token, or no longer.'),
    h('label', null, [
      'Token',
      h('input', { name: 'token', type: 'password', autocomplete: 'off', required: true, autofocus: true }),
    ]),
    h('button', { type: 'submit' }, 'Show the node'),
  ])
}
