// Calls pin-admin's API as the signed-in user.

import { authorized } from './session.js';
import { stepUp } from './stepup.js';

async function call(method, path, { query = {}, body, signal } = {}) {
  const parameters = Object.entries(query).filter(([, value]) => value !== undefined && value !== null && value !== '');
  const url = path + (parameters.length ? `?${new URLSearchParams(parameters)}` : '');
  const send = () => authorized(url, { method, body, signal });
  try {
    return await send();
  } catch (problem) {
    if (!problem.stale) throw problem;
    await stepUp();
    return send();
  }
}

export const get = (path, query, signal) => call('GET', path, { query, signal });
export const post = (path, body) => call('POST', path, { body });
export const put = (path, body) => call('PUT', path, { body });
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
