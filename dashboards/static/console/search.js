// The search field: arrows walk through what it suggests, Escape closes. htmx fetches the suggestions; style sheets show
// them while the focus is in the form. `/` goes to it: keys.js.
(function () {
  'use strict';

  var form = document.querySelector('[data-search]');
  if (!form) return;
  var input = form.querySelector('input[name=q]');
  var panel = form.querySelector('#search-results');

  function close() {
    window.htmx.trigger(input, 'htmx:abort'); // what is still on its way would open it again
    panel.replaceChildren();
  }

  form.addEventListener('keydown', function (event) {
    if (event.key === 'Escape') {
      if (panel.childElementCount) {
        event.preventDefault();
        close();
        input.focus();
      } else if (!input.value) {
        input.blur();
      }
      return;
    }
    if (event.key !== 'ArrowDown' && event.key !== 'ArrowUp') return;
    var stops = [input].concat(Array.from(panel.querySelectorAll('a')));
    var at = stops.indexOf(document.activeElement);
    if (at < 0 || stops.length === 1) return;
    event.preventDefault();
    stops[(at + (event.key === 'ArrowDown' ? 1 : stops.length - 1)) % stops.length].focus();
  });
})();
