// Starts the page: what the watcher sees is drawn, again with each change.

import './language.ts'
import { h, render } from 'preact'
import { Page } from './page.ts'
import { Watcher } from './watcher.ts'

const root = document.getElementById('page')!
root.replaceChildren()
const watcher: Watcher = new Watcher((state) => render(h(Page, { state, watcher }), root))
void watcher.run()
