// Elements, built out of text: what a customer is called goes in as text and never as markup.

export function h(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === undefined || value === null || value === false) continue;
    if (name.startsWith('on')) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value === true ? '' : value);
  }
  element.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return element;
}

let ids = 0;

export function newID(prefix) {
  ids += 1;
  return `${prefix}-${ids}`;
}

export function button(text, onclick, attributes = {}) {
  return h('button', { type: 'button', onclick, ...attributes }, text);
}

const day = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const moment = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const exact = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export const date = (text) => show(text, day);
export const time = (text) => show(text, moment);
export const preciseTime = (text) => show(text, exact);

function show(text, format) {
  return h('time', { datetime: text }, format.format(new Date(text)));
}

export function badge(text, kind = '') {
  return h('span', { class: `badge ${kind}` }, text);
}

export function empty(text) {
  return h('p', { class: 'empty' }, text);
}

let fading;

// announce tells, in a few words, that something was done: to eyes for a while, and to screen readers.
export function announce(text) {
  const status = document.getElementById('status');
  status.textContent = text;
  status.classList.add('shown');
  clearTimeout(fading);
  fading = setTimeout(() => status.classList.remove('shown'), 6000);
}

// alarm shows what went wrong, with a way to try again when there is one.
export function alarm(problem, again) {
  return h('div', { class: 'alarm', role: 'alert' }, h('p', {}, problem.message), again && button('Try again', again));
}
