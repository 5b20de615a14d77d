// pin-admin's API, as whoever is signed in.

import { ask } from './http.js';
import { renew, token } from './session.js';

async function call(method, path, { query = {}, body, signal } = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const url = path + (given.length ? `?${new URLSearchParams(given)}` : '');
  const send = (bearer) => ask(url, { method, body, signal, headers: { Authorization: `Bearer ${bearer}` } });
  const bearer = await token();
  try {
    return await send(bearer);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    return send(await renew(bearer)); // it has expired
  }
}

export const get = (path, query, signal) => call('GET', path, { query, signal });
export const post = (path, body) => call('POST', path, { body });
export const patch = (path, body) => call('PATCH', path, { body });
export const remove = (path) => call('DELETE', path);

const names = new Map();

// instanceName returns what an instance is called, or its id while that cannot be told.
export function instanceName(id) {
  if (!names.has(id)) {
    names.set(id, get(`/v1/instances/${id}`).then(({ name }) => name, () => { names.delete(id); return id; }));
  }
  return names.get(id);
}

export function forgetNames() {
  names.clear();
}
