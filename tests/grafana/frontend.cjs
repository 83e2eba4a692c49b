// Grafana's own frontend packages, which expect a browser.
'use strict';
const { JSDOM } = require('jsdom');

const { window } = new JSDOM('', { url: 'http://localhost/' });
const of = (names) => names.map((name) => [name, name === 'window' ? window : window[name]]);
const names = 'window document location navigator localStorage HTMLElement Element Node Event CustomEvent';
for (const [name, value] of of((names + ' DOMParser MutationObserver getComputedStyle').split(' '))) {
  Object.defineProperty(globalThis, name, { value, configurable: true, writable: true });
}
module.exports = require('@grafana/data');
