
// showOutcome shows the end: an icon, a heading, and what it means. mood is good, bad or calm.
function showOutcome({ mood, image, heading, text }) {
  byID('outcome-icon').replaceChildren(icon(image));
  byID('outcome-icon').className = `medallion ${mood}`;
  byID('outcome-title').textContent = heading;
  byID('outcome-text').replaceChildren(...text.filter(Boolean).map(paragraph => el('p', {}, ...[paragraph].flat())));
  showOnly('outcome');
}
