// Who is signed in. The access token is only in memory, the refresh token in this tab's sessionStorage, so that a reload
// signs nobody out and closing the tab does.

import { ask, Problem } from './http.js';

const auth = document.querySelector('meta[name=auth-url]').content.replace(/\/$/, '');
const key = 'countersign.refresh';

let access = null;
let user = null;
let renewal = null;
let ended = () => {};

// onEnd says what is to happen when the session ends of itself.
export function onEnd(callback) {
  ended = callback;
}

export function email() {
  return user?.email ?? '';
}

export async function signIn(address, password) {
  keep(await ask(`${auth}/auth/login`, { method: 'POST', body: { email: address, password } }));
}

// showCode finishes a sign-in whose Problem had an mfa.
export async function showCode(mfa, code) {
  keep(await ask(`${auth}/auth/mfa/challenge`, { method: 'POST', body: { challenge_token: mfa.challenge_token, code } }));
}

export function canResume() {
  return sessionStorage.getItem(key) !== null;
}

// token returns the access token; after one has been refused, renew returns the next. Requests that run side by side
// share one renewal.
export async function token() {
  return access ?? renew(null);
}

export function renew(refused) {
  if (access !== refused) return Promise.resolve(access);
  renewal ??= refresh().finally(() => { renewal = null; });
  return renewal;
}

async function refresh() {
  try {
    keep(await ask(`${auth}/auth/refresh`, { method: 'POST', body: { refresh_token: sessionStorage.getItem(key) ?? '' } }));
    return access;
  } catch (problem) {
    if (problem.status === 401 || problem.status === 422) {
      forget();
      ended();
      throw new Problem(401, 'The session has ended.');
    }
    throw problem;
  }
}

// signOut ends the session, here in any case. It throws when auth could not be told.
export async function signOut() {
  await renewal?.catch(() => {}); // what comes of it must not outlive this
  const last = access;
  forget();
  if (last) await ask(`${auth}/auth/logout`, { method: 'POST', body: { access_token: last } });
}

function keep(answer) {
  access = answer.session.access_token;
  user = answer.user;
  sessionStorage.setItem(key, answer.session.refresh_token);
}

function forget() {
  access = null;
  user = null;
  sessionStorage.removeItem(key);
}
