// The editor of a rule without a way to the server: sums of weights, and only the operators and fields that go with
// what a condition looks at. The form works without it.
(function () {
  'use strict';

  function read(id) {
    var element = document.getElementById(id);
    return element ? JSON.parse(element.textContent) : {};
  }

  function sum(rows) {
    var output = rows.querySelector('[data-sum]');
    if (!output) return;
    var total = 0;
    rows.querySelectorAll('input[name$="-weight"]').forEach(function (input) {
      var text = input.value.replace('%', '').trim();
      if (/^\d{1,3}(\.\d{1,2})?$/.test(text)) total += Math.round(parseFloat(text) * 100);
    });
    output.textContent = 'Together ' + total / 100 + ' %';
    output.classList.toggle('tk-rows__sum--off', total !== 10000);
  }

  function fit(row, kinds, operators) {
    var field = row.querySelector('select[name$="-field"]');
    var op = row.querySelector('select[name$="-op"]');
    var allowed = operators[kinds[field.value]];
    Array.prototype.forEach.call(op.options, function (option) {
      var fits = !allowed || allowed.indexOf(option.value) >= 0;
      option.hidden = option.disabled = !fits && !option.selected;
    });
    if (allowed && allowed.indexOf(op.value) < 0 && !op.classList.contains('is-invalid')) {
      op.value = allowed.indexOf('contains') >= 0 ? 'contains' : 'eq';
    }
    show(row.querySelector('.tk-row__tag'), field.value === 'tag');
    show(row.querySelector('.tk-row__zone'), field.value === 'hour' || field.value === 'weekday');
    show(row.querySelector('.tk-row__value'), op.value !== 'exists' && op.value !== 'missing');
  }

  function show(element, wanted) {
    element.hidden = !wanted && !element.querySelector('.is-invalid');
  }

  function tidy() {
    var form = document.getElementById('rule-form');
    if (!form) return;
    var kinds = read('rule-kinds');
    var operators = read('rule-operators');
    form.querySelectorAll('[data-condition]').forEach(function (row) { fit(row, kinds, operators); });
    form.querySelectorAll('[data-weights]').forEach(sum);
    var byWeight = form.elements.choose.value === 'weight';
    form.querySelectorAll('[data-scores]').forEach(function (part) { show(part, form.elements.choose.value === 'score'); });
    form.querySelectorAll('#targets .tk-row__weight').forEach(function (cell) { show(cell, byWeight); });
    show(form.querySelector('#targets [data-sum]') ? form.querySelector('#targets [data-sum]') : document.createElement('i'), byWeight);
    if (form.elements.over_choose) {
      form.querySelectorAll('#overs .tk-row__weight').forEach(function (cell) { show(cell, form.elements.over_choose.value === 'weight'); });
    }
    show(form.querySelector('[data-sticky-tag]'), form.elements.sticky_by.value === 'tag');
  }

  document.addEventListener('input', function (event) {
    if (event.target.closest('#rule-form')) tidy();
  });
  document.addEventListener('change', function (event) {
    if (!event.target.closest('#rule-form')) return;
    tidy();
    // The control of a value goes with what is looked at: a choice for a weekday, a text for several of them.
    if (/^condition-\d+-(field|op)$/.test(event.target.name) && window.htmx) {
      window.htmx.ajax('POST', document.getElementById('rule-form').getAttribute('action'), {
        source: document.getElementById('rule-form'), target: '#rule-form', swap: 'outerHTML show:none', values: { refit: '1' }
      });
    }
  });
  document.addEventListener('htmx:afterSettle', tidy);
  tidy();
})();
