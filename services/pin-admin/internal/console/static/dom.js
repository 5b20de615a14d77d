// Creates HTML elements. Texts, for example a customer's name, are inserted as text and never parsed as HTML.

// h creates an element. An attribute that begins with "on" is an event listener.
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

const dayFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium' });
const minuteFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'short' });
const secondFormat = new Intl.DateTimeFormat(undefined, { dateStyle: 'medium', timeStyle: 'medium' });

export const date = (text) => timeElement(text, dayFormat);
export const time = (text) => timeElement(text, minuteFormat);
export const preciseTime = (text) => timeElement(text, secondFormat);

function timeElement(text, format) {
  return h('time', { datetime: text }, format.format(new Date(text)));
}

export function badge(text, kind = '') {
  return h('span', { class: `badge ${kind}` }, text);
}

export function emptyNotice(text) {
  return h('p', { class: 'empty' }, text);
}

let hideTimer;

// announce shows a short message for 6 seconds. Screen readers read it aloud.
export function announce(text) {
  const status = document.getElementById('status');
  status.textContent = text;
  status.classList.add('shown');
  clearTimeout(hideTimer);
  hideTimer = setTimeout(() => status.classList.remove('shown'), 6000);
}

// errorBox shows a problem. With the function retry, it has a button to try again.
export function errorBox(problem, retry) {
  return h('div', { class: 'error-box', role: 'alert' }, h('p', {}, problem.message), retry && button('Try again', retry));
}
