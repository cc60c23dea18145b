// Single keys: `/` searches, `?` explains, `g` and a letter go to a page of the menu, `[` and `]` to what is earlier and
// later. Never while somebody types, never with a modifier, and never for whoever has turned them off (WCAG 2.1.4).
(function () {
  'use strict';

  var STORE = 'tollkeeper-keys';
  var WAITS = 1500; // ms for the letter after `g`
  var EARLIER = '[data-earlier], #range-earlier, a[rel=prev]';
  var LATER = '[data-later], #range-later, a[rel=next]';
  var dialog = document.getElementById('shortcuts');
  var goes = 0; // until when a letter is taken for a page

  function on() {
    try {
      return window.localStorage.getItem(STORE) !== 'off';
    } catch (error) {
      return true; // storage is switched off
    }
  }

  function turn(wanted) {
    try {
      if (wanted) window.localStorage.removeItem(STORE);
      else window.localStorage.setItem(STORE, 'off');
    } catch (error) { /* holds for nothing then, and the mark shows it */ }
    mark();
  }

  function mark() {
    document.querySelectorAll('[data-keys-switch]').forEach(function (box) { box.checked = on(); });
    document.documentElement.classList.toggle('tk-keyless', !on());
  }

  function writing(element) {
    if (!(element instanceof Element)) return false;
    if (element.isContentEditable || /^(textarea|select)$/i.test(element.tagName)) return true;
    return element.tagName === 'INPUT' && !/^(checkbox|radio|button|submit|reset|range|file)$/.test(element.type);
  }

  function explain() {
    if (!dialog || dialog.open) return;
    document.querySelectorAll('details[data-menu][open]').forEach(function (menu) { menu.open = false; });
    dialog.showModal(); // gives the focus back by itself
  }

  function follow(selector) {
    var main = document.getElementById('main');
    var link = main && main.querySelector(selector);
    if (link) link.click();
    return Boolean(link);
  }

  function search() {
    var fields = Array.from(document.querySelectorAll('[data-search] input[name=q]'));
    var field = fields.find(function (one) { return one.offsetParent !== null; }) || fields[0];
    if (!field) return false;
    field.focus();
    field.select();
    return true;
  }

  function done(key, now) {
    if (goes > now) {
      goes = 0;
      var link = document.querySelector('[data-goto="' + window.CSS.escape(key) + '"]');
      if (link) link.click();
      return Boolean(link);
    }
    if (key === 'g') {
      goes = now + WAITS;
      return true;
    }
    if (key === '/') return search();
    if (key === '[') return follow(EARLIER);
    if (key === ']') return follow(LATER);
    if (key === '?') {
      explain();
      return Boolean(dialog);
    }
    return false;
  }

  document.addEventListener('keydown', function (event) {
    if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.isComposing) return;
    // With AltGr some keyboards write brackets and slashes; then it is no modifier.
    if (event.altKey && !event.getModifierState('AltGraph')) return;
    if (writing(event.target) || !on() || (dialog && dialog.open)) return;
    if (done(event.key, Date.now())) event.preventDefault();
  });

  document.addEventListener('click', function (event) {
    if (event.target.closest('[data-keys-open]')) explain();
    // A click beside the window of the help is one on the dialog itself.
    else if (dialog && event.target === dialog) dialog.close();
  });
  document.addEventListener('change', function (event) {
    if (event.target.matches('[data-keys-switch]')) turn(event.target.checked);
  });
  window.addEventListener('storage', function (event) {
    if (event.key === STORE || event.key === null) mark();
  });

  mark();
})();
