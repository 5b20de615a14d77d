// Shows what an agent sent, so that each character can be seen. Each value is isolated, so that a value that is written from right
// to left does not move the text around it.

import { badge, emptyNotice, h } from './dom.js';

const flagTexts = { hidden_characters: 'hidden characters', mixed_scripts: 'mixed scripts', not_nfc: 'unusual spelling of characters' };

const warnings = (flags) => (flags ?? []).map((flag) => [' ', badge(flagTexts[flag] ?? flag, 'warn')]).flat();

// summaryText returns the parts of a summary: the operator's text, and the agent's values.
export function summaryText(parts) {
  return parts.flatMap(({ text, value, flags }) => (value === undefined || value === null ? [text] : [h('bdi', { class: 'value' }, value), ...warnings(flags)]));
}

// argumentList returns all arguments, each with its path.
export function argumentList(args) {
  if (args.length === 0) return emptyNotice('There are no arguments.');
  return h('dl', {}, args.flatMap(({ path, value, flags }) => [h('dt', {}, h('bdi', {}, path)), h('dd', {}, h('bdi', {}, value), warnings(flags))]));
}

// canonical returns arguments that the server sends as canonical JSON (RFC 8785). Their numbers survive JSON.parse exactly.
export function canonical(text) {
  return h('pre', {}, h('bdi', {}, visible(JSON.stringify(JSON.parse(text), null, 2))));
}

// visible replaces the characters that cannot be seen, or that change how others are shown, by their numbers.
export function visible(text) {
  return text.replace(/(?!\n)[\p{C}\p{Zl}\p{Zp}\p{Default_Ignorable_Code_Point}]/gu,
    (character) => `⟨U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, '0')}⟩`);
}
