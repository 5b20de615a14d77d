// The console: who is signed in, and which page of it is shown. Pages go by the part of the address after the #, which
// holds ids and nothing else.

import { get } from './api.js';
import { auditPage } from './audit.js';
import { customerPage } from './customer.js';
import { customersPage } from './customers.js';
import { alarm, announce, h } from './dom.js';
import { form } from './form.js';
import { instancePage, instancesPage } from './instances.js';
import { keyPanel } from './keys.js';
import { Problem } from './http.js';
import { canResume, email, onEnd, showCode, signIn, signOut, token } from './session.js';

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const who = document.getElementById('who');
let signedIn = false;
let turn = 0;

const pages = [
  [/^#\/customers$/, customersPage],
  [/^#\/customers\/([0-9a-f-]{36})$/, (id) => customerPage(id)],
  [/^#\/instances$/, instancesPage],
  [/^#\/instances\/([0-9a-f-]{36})$/, (id) => instancePage(id)],
  [/^#\/api-keys$/, apiKeysPage],
  [/^#\/audit(?:\?(.*))?$/, (query) => auditPage(Object.fromEntries(new URLSearchParams(query)))],
];

function apiKeysPage() {
  return {
    title: 'API keys',
    nodes: [h('h1', { tabindex: '-1' }, 'API keys'), h('p', { class: 'hint' }, 'With them, programs use this API as X-Api-Key.'),
      keyPanel({ title: 'Keys', at: '/v1/api-keys', what: 'API key', none: 'There are none.', scoped: true })],
  };
}

async function go() {
  if (!signedIn) return;
  const mine = turn += 1;
  const [pattern, page] = pages.find(([regexp]) => regexp.test(location.hash)) ?? pages[0];
  for (const link of nav.querySelectorAll('a')) {
    const here = location.hash.startsWith(link.hash);
    if (here) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  main.setAttribute('aria-busy', 'true');
  let shown;
  try {
    shown = await page(pattern.exec(location.hash)?.[1]);
  } catch (problem) {
    shown = { title: 'Not found', nodes: [h('h1', { tabindex: '-1' }, problem.status === 404 ? 'There is no such thing' : 'That did not work'), alarm(problem, go)] };
  }
  if (mine === turn && signedIn) show(shown);
}

function show({ title, nodes }) {
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  document.title = `${title} · Countersign`;
  main.removeAttribute('aria-busy');
  main.replaceChildren(...nodes);
  main.querySelector('h1').focus();
}

function enter() {
  signedIn = true;
  nav.hidden = who.hidden = false;
  document.getElementById('email').textContent = email();
  if (location.hash.startsWith('#/')) go();
  else location.hash = '#/customers';
}

function leave(text) {
  signedIn = false;
  turn += 1;
  nav.hidden = who.hidden = true;
  show({
    title: 'Sign in',
    nodes: [h('div', { class: 'narrow panel' }, h('h1', { tabindex: '-1' }, 'Sign in'), text && h('p', { class: 'notice' }, text), form({
      label: 'Sign in', submit: 'Sign in',
      fields: [
        { name: 'email', label: 'Address', kind: 'email', attributes: { autocomplete: 'username' } },
        { name: 'password', label: 'Password', kind: 'password', attributes: { autocomplete: 'current-password' } },
      ],
      onsubmit: async (values) => {
        try {
          await signIn(values.email.trim(), values.password);
        } catch (problem) {
          if (problem.mfa) return askForCode(problem.mfa);
          throw problem;
        }
        await admitted();
        enter();
      },
    }))].filter(Boolean),
  });
  main.querySelector('input').focus();
}

function askForCode(mfa) {
  show({
    title: 'Second factor',
    nodes: [h('div', { class: 'narrow panel' }, h('h1', { tabindex: '-1' }, 'Second factor'), form({
      label: 'Second factor', submit: 'Sign in', cancel: () => leave(''),
      fields: [{ name: 'code', label: 'Code', hint: 'From your authenticator app, or a recovery code', attributes: { autocomplete: 'one-time-code' } }],
      onsubmit: async ({ code }) => {
        await showCode(mfa, code);
        await admitted();
        enter();
      },
    }))],
  });
  main.querySelector('input').focus();
}

// admitted refuses who is signed in and may not see anything here.
async function admitted() {
  try {
    await get('/v1/customers', { per_page: 1 });
  } catch (problem) {
    await signOut().catch(() => {});
    throw problem.status === 403 ? new Problem(403, 'The console is for admins, and this account is not one.') : problem;
  }
}

async function start() {
  if (!canResume()) return leave('');
  try {
    await token();
    enter();
  } catch (problem) {
    if (problem.status !== 401) main.replaceChildren(alarm(problem, start)); // else it has left already
  }
}

onEnd(() => leave('The session has ended. Please sign in again.'));
window.addEventListener('hashchange', go);
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault(); // what follows the # is the page
  main.focus();
});
document.getElementById('sign-out').addEventListener('click', async () => {
  try {
    await signOut();
    leave('');
    announce('Signed out.');
  } catch (problem) {
    leave(`Signed out here. The session itself could not be ended: ${problem.message}`);
  }
});
start();
