// The entry point of the console. It signs the user in and shows the page that the URL names after the #. That part of the URL
// holds only ids and filters, never a secret.

import { get } from './api.js';
import { approvalPage, approvalsPage } from './approvals.js';
import { auditPage } from './audit.js';
import { customerPage } from './customer.js';
import { customersPage } from './customers.js';
import { announce, errorBox, h } from './dom.js';
import { form } from './form.js';
import { instancePage, instancesPage } from './instances.js';
import { keyPanel } from './keys.js';
import { Problem } from './http.js';
import { email, hasStoredSession, onSessionEnd, signIn, signOut, submitCode, token } from './session.js';

const main = document.getElementById('main');
const nav = document.getElementById('nav');
const userBox = document.getElementById('user');
let signedIn = false;
let navigations = 0; // counts navigations, so that a page that loads slowly does not replace a later page

const pages = [
  [/^#\/customers$/, customersPage],
  [/^#\/customers\/([0-9a-f-]{36})$/, (id) => customerPage(id)],
  [/^#\/instances$/, instancesPage],
  [/^#\/instances\/([0-9a-f-]{36})$/, (id) => instancePage(id)],
  [/^#\/approvals(?:\?(.*))?$/, (query) => approvalsPage(Object.fromEntries(new URLSearchParams(query)))],
  [/^#\/approvals\/([0-9a-f-]{36})$/, (id) => approvalPage(id)],
  [/^#\/api-keys$/, apiKeysPage],
  [/^#\/audit(?:\?(.*))?$/, (query) => auditPage(Object.fromEntries(new URLSearchParams(query)))],
];

function apiKeysPage() {
  return {
    title: 'API keys',
    nodes: [h('h1', { tabindex: '-1' }, 'API keys'), h('p', { class: 'hint' }, 'Programs send an API key to this service in the header X-Api-Key.'),
      keyPanel({ title: 'Keys', path: '/v1/api-keys', kind: 'API key', emptyText: 'There are no API keys.', scoped: true })],
  };
}

async function navigate() {
  if (!signedIn) return;
  const navigation = navigations += 1;
  const [pattern, load] = pages.find(([regexp]) => regexp.test(location.hash)) ?? pages[0];
  for (const link of nav.querySelectorAll('a')) {
    if (location.hash.startsWith(link.hash)) link.setAttribute('aria-current', 'page');
    else link.removeAttribute('aria-current');
  }
  main.setAttribute('aria-busy', 'true');
  let page;
  try {
    page = await load(pattern.exec(location.hash)?.[1]);
  } catch (problem) {
    const title = problem.status === 404 ? 'Not found' : 'This page could not be loaded';
    page = { title, nodes: [h('h1', { tabindex: '-1' }, title), errorBox(problem, navigate)] };
  }
  if (navigation === navigations && signedIn) show(page);
}

function show({ title, nodes }) {
  for (const dialog of document.querySelectorAll('dialog')) dialog.close();
  document.title = `${title} · Countersign`;
  main.removeAttribute('aria-busy');
  main.replaceChildren(...nodes);
  main.querySelector('h1').focus();
}

function showConsole() {
  signedIn = true;
  nav.hidden = userBox.hidden = false;
  document.getElementById('email').textContent = email();
  if (location.hash.startsWith('#/')) navigate();
  else location.hash = '#/customers';
}

function showSignIn(notice) {
  signedIn = false;
  navigations += 1;
  nav.hidden = userBox.hidden = true;
  show({
    title: 'Sign in',
    nodes: [h('div', { class: 'narrow panel' }, h('h1', { tabindex: '-1' }, 'Sign in'), notice && h('p', { class: 'notice' }, notice), form({
      label: 'Sign in', submit: 'Sign in',
      fields: [
        { name: 'email', label: 'Email address', kind: 'email', attributes: { autocomplete: 'username' } },
        { name: 'password', label: 'Password', kind: 'password', attributes: { autocomplete: 'current-password' } },
      ],
      onsubmit: async (values) => {
        try {
          await signIn(values.email.trim(), values.password);
        } catch (problem) {
          if (problem.mfa) return showCodeForm(problem.mfa);
          throw problem;
        }
        await requireAdmin();
        showConsole();
      },
    }))].filter(Boolean),
  });
  main.querySelector('input').focus();
}

function showCodeForm(mfa) {
  show({
    title: 'Second factor',
    nodes: [h('div', { class: 'narrow panel' }, h('h1', { tabindex: '-1' }, 'Second factor'), form({
      label: 'Second factor', submit: 'Sign in', cancel: () => showSignIn(''),
      fields: [{ name: 'code', label: 'Code', hint: 'A code from your authenticator app, or a recovery code', attributes: { autocomplete: 'one-time-code' } }],
      onsubmit: async ({ code }) => {
        await submitCode(mfa, code);
        await requireAdmin();
        showConsole();
      },
    }))],
  });
  main.querySelector('input').focus();
}

// requireAdmin signs the user out, and throws the reason, if the user may not read the data of this console.
async function requireAdmin() {
  try {
    await get('/v1/customers', { per_page: 1 });
  } catch (problem) {
    await signOut().catch(() => {});
    throw problem.status === 403 ? new Problem(403, 'Only admins can use the console. This account is not an admin.') : problem;
  }
}

async function start() {
  if (!hasStoredSession()) return showSignIn('');
  try {
    await token();
    showConsole();
  } catch (problem) {
    if (problem.status !== 401) main.replaceChildren(errorBox(problem, start)); // after a 401, the sign-in page is shown already
  }
}

onSessionEnd(() => showSignIn('The session has ended. Please sign in again.'));
window.addEventListener('hashchange', navigate);
document.getElementById('skip').addEventListener('click', (event) => {
  event.preventDefault(); // the link would replace the part after the #, which names the page
  main.focus();
});
document.getElementById('sign-out').addEventListener('click', async () => {
  try {
    await signOut();
    showSignIn('');
    announce('Signed out.');
  } catch (problem) {
    showSignIn(`You are signed out in this tab, but the session may still be active: ${problem.message}`);
  }
});
start();
