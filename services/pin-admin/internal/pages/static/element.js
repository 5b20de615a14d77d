
const byID = id => document.getElementById(id);

// el makes an element. A child that is a text becomes a text node, never HTML.
function el(tag, properties, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name in element) element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// bdi isolates a value, so that its writing direction cannot rearrange the text around it.
const bdi = (text, className) => el('bdi', className ? { className } : {}, text);

function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('aria-hidden', 'true');
  svg.setAttribute('viewBox', '0 0 24 24');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.append(use);
  return svg;
}

// showOnly shows one section of the page. Its heading gets the focus, so that a screen reader reads it first.
function showOnly(id) {
  for (const section of document.querySelectorAll('main > section')) section.hidden = section.id !== id;
  byID('main').dataset.section = id;
  const heading = byID(id).querySelector('h1');
  document.title = `${heading.textContent} – Countersign`;
  heading.focus();
}

// announce tells a screen reader something that the page shows elsewhere.
function announce(text) {
  byID('announcement').textContent = text;
}
