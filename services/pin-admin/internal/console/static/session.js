// The sign-in session. The access token is kept in memory only. The refresh token is kept in the sessionStorage of this tab, so
// the user stays signed in after a reload, and must sign in again after the tab is closed.

import { Problem, request } from './http.js';

const auth = document.querySelector('meta[name=auth-url]').content.replace(/\/$/, '');
const refreshTokenKey = 'countersign.refresh';

let accessToken = null;
let user = null;
let refreshing = null;
let sessionEnded = () => {};

// onSessionEnd sets the function to call when auth refuses to refresh the session.
export function onSessionEnd(callback) {
  sessionEnded = callback;
}

export function email() {
  return user?.email ?? '';
}

export async function signIn(address, password) {
  store(await request(`${auth}/auth/login`, { method: 'POST', body: { email: address, password } }));
}

// submitCode completes a sign-in with a code. mfa is the challenge in the Problem that signIn threw.
export async function submitCode(mfa, code) {
  store(await request(`${auth}/auth/mfa/challenge`, { method: 'POST', body: { challenge_token: mfa.challenge_token, code } }));
}

// secondFactor reports whether the user has an active second factor.
export async function secondFactor() {
  const { active } = await authorized(`${auth}/auth/mfa`);
  return active;
}

// prove proves the session again with {password} or {code}.
export function prove(proof) {
  return authorized(`${auth}/auth/step-up`, { method: 'POST', body: proof });
}

// authorized sends a request with the access token. If the token has expired, it sends the request again with a new token.
export async function authorized(url, options = {}) {
  const send = (accessToken) => request(url, { ...options, headers: { Authorization: `Bearer ${accessToken}` } });
  const last = await token();
  try {
    return await send(last);
  } catch (problem) {
    if (problem.status !== 401 || problem.stale) throw problem;
    return send(await renew(last));
  }
}

export function hasStoredSession() {
  return sessionStorage.getItem(refreshTokenKey) !== null;
}

// token returns the current access token, or a new one if there is none.
export async function token() {
  return accessToken ?? renew(null);
}

// renew returns the access token that replaces the refused one. Parallel requests share one refresh.
export function renew(refused) {
  if (accessToken !== refused) return Promise.resolve(accessToken);
  refreshing ??= refresh().finally(() => { refreshing = null; });
  return refreshing;
}

async function refresh() {
  try {
    store(await request(`${auth}/auth/refresh`, { method: 'POST', body: { refresh_token: sessionStorage.getItem(refreshTokenKey) ?? '' } }));
    return accessToken;
  } catch (problem) {
    if (problem.status === 401 || problem.status === 422) {
      clear();
      sessionEnded();
      throw new Problem(401, 'The session has ended.');
    }
    throw problem;
  }
}

// signOut deletes the tokens here, then ends the session at auth. It throws when auth does not confirm that.
export async function signOut() {
  await refreshing?.catch(() => {}); // a refresh that completes later would store new tokens
  const last = accessToken;
  clear();
  if (last) await request(`${auth}/auth/logout`, { method: 'POST', body: { access_token: last } });
}

function store(answer) {
  accessToken = answer.session.access_token;
  user = answer.user;
  sessionStorage.setItem(refreshTokenKey, answer.session.refresh_token);
}

function clear() {
  accessToken = null;
  user = null;
  sessionStorage.removeItem(refreshTokenKey);
}
