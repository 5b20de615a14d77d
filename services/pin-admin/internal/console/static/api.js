// Calls pin-admin's API with the signed-in user's access token.

import { request } from './http.js';
import { renew, token } from './session.js';

async function call(method, path, { query = {}, body, signal } = {}) {
  const parameters = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const url = path + (parameters.length ? `?${new URLSearchParams(parameters)}` : '');
  const send = (accessToken) => request(url, { method, body, signal, headers: { Authorization: `Bearer ${accessToken}` } });
  const accessToken = await token();
  try {
    return await send(accessToken);
  } catch (problem) {
    if (problem.status !== 401) throw problem;
    return send(await renew(accessToken)); // the access token has expired
  }
}

export const get = (path, query, signal) => call('GET', path, { query, signal });
export const post = (path, body) => call('POST', path, { body });
export const patch = (path, body) => call('PATCH', path, { body });
export const remove = (path) => call('DELETE', path);

const instanceNames = new Map();

// instanceName returns the name of an instance, or its id when the name cannot be loaded.
export function instanceName(id) {
  if (!instanceNames.has(id)) {
    instanceNames.set(id, get(`/v1/instances/${id}`).then(({ name }) => name, () => { instanceNames.delete(id); return id; }));
  }
  return instanceNames.get(id);
}

export function forgetInstanceNames() {
  instanceNames.clear();
}
