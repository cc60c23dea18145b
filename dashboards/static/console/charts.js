// Draws every chart of the console: <div data-chart="ID"> from the Plotly figure in
// <script type="application/json" id="ID">. Figures hold data and meaning; how they look is decided here.
//
// A colour in a figure is a name: "var(--tk-tier-frontier)", or "var(--tk-series-1-soft)" for a see-through one.
// Plotly itself is loaded when a page has a chart, from the address in this script's data-plotly.
(function () {
  'use strict';

  var source = document.currentScript.dataset.plotly;
  var charts = new Map(); // element -> { figure, width }
  var loading = null;
  var NARROW = 520; // px of the chart itself
  var PHONE = 400;

  function plotly() {
    if (!loading) {
      loading = new Promise(function (resolve, reject) {
        var script = document.createElement('script');
        script.src = source;
        script.onload = function () { resolve(window.Plotly); };
        script.onerror = function () { loading = null; reject(new Error('Plotly did not load')); };
        document.head.append(script);
      });
    }
    return loading;
  }

  // Custom properties hold light-dark(...); only a real element knows what they come to.
  function palette(scheme) {
    var probe = document.createElement('span');
    probe.hidden = true;
    if (scheme) probe.style.colorScheme = scheme;
    document.body.append(probe);
    var known = new Map();
    function colour(name) {
      if (!known.has(name)) {
        var soft = /-soft$/.test(name);
        probe.style.color = '';
        probe.style.color = 'var(' + (soft ? name.replace(/-soft$/, '') : name) + ')';
        var value = getComputedStyle(probe).color;
        known.set(name, soft ? value.replace(/^rgb\((.*)\)$/, 'rgba($1, 0.38)') : value);
      }
      return known.get(name);
    }
    return { colour: colour, done: function () { probe.remove(); } };
  }

  function resolved(value, colour) {
    if (typeof value === 'string') {
      var name = /^var\((--tk-[a-z0-9-]+)\)$/.exec(value);
      return name ? colour(name[1]) : value;
    }
    if (Array.isArray(value)) return value.map(function (item) { return resolved(item, colour); });
    if (value && typeof value === 'object') {
      var copy = {};
      Object.keys(value).forEach(function (key) { copy[key] = resolved(value[key], colour); });
      return copy;
    }
    return value;
  }

  // What the axes count: names stay all on the axis, numbers and dates may be thinned out.
  function named(data, axis) {
    return data.some(function (trace) {
      var first = (trace[axis] || [])[0];
      return typeof first === 'string' && !/^\d{4}-\d\d/.test(first) && isNaN(first);
    });
  }

  function template(colour, narrow, data) {
    var text = colour('--tk-text');
    var muted = colour('--tk-text-muted');
    var surface = colour('--tk-surface');
    var grid = colour('--tk-grid');
    var series = [];
    for (var i = 1; i <= 10; i += 1) series.push(colour('--tk-series-' + i));
    var scale = [0, 1, 2, 3, 4].map(function (step) { return [step / 4, colour('--tk-scale-' + step)]; });
    var font = getComputedStyle(document.body).fontFamily;
    var axis = {
      automargin: true, fixedrange: true, color: muted, gridcolor: grid, zerolinecolor: colour('--tk-line'),
      linecolor: colour('--tk-line'), tickfont: { size: 12, color: muted }, ticks: '', ticklabelstandoff: 6,
      exponentformat: 'B', spikecolor: muted, spikethickness: 1, spikedash: 'solid',
      title: { font: { size: 12, color: muted }, standoff: 12 },
    };
    var bar = { size: 12, color: muted };
    // Over the colour, not in its place: what tells a name is the colour first.
    var pattern = { fillmode: 'overlay', fgcolor: surface, fgopacity: 0.75, size: 7, solidity: 0.25 };
    return {
      layout: {
        font: { family: font, size: 12, color: text },
        title: { font: { size: 14, color: text } },
        colorway: series, treemapcolorway: series,
        paper_bgcolor: 'rgba(0,0,0,0)', plot_bgcolor: 'rgba(0,0,0,0)',
        margin: { l: 4, r: 4, t: 4, b: 4, pad: 0 },
        xaxis: Object.assign({}, axis, { showgrid: false, zeroline: false }, narrow && !named(data, 'x') ? { nticks: 5 } : {}),
        yaxis: Object.assign({}, axis, { zeroline: true, rangemode: 'tozero' },
          named(data, 'y') ? { showgrid: false } : { nticks: narrow ? 5 : 6 }),
        bargap: 0.28, barcornerradius: 2, separators: '.,',
        hoverlabel: {
          bgcolor: surface, bordercolor: colour('--tk-line'), align: 'left', namelength: -1,
          font: { family: font, size: 12, color: text },
        },
        legend: {
          orientation: 'h', x: 0, xanchor: 'left', y: 1.02, yanchor: 'bottom', traceorder: 'normal',
          font: { size: 12, color: muted }, itemsizing: 'constant', bgcolor: 'rgba(0,0,0,0)',
        },
        annotationdefaults: { font: { color: muted, size: 12 }, arrowcolor: muted, arrowwidth: 1 },
        shapedefaults: { line: { color: muted, width: 1 } },
        coloraxis: { colorscale: scale, colorbar: { outlinewidth: 0, thickness: 10, tickfont: bar } },
      },
      data: {
        scatter: [{ line: { width: 2 }, marker: { size: 6 }, fillpattern: pattern }],
        bar: [{ marker: { line: { width: 0 }, pattern: pattern } }],
        heatmap: [{
          colorscale: scale, xgap: 2, ygap: 2, hoverongaps: false,
          colorbar: { outlinewidth: 0, thickness: 10, tickfont: bar },
        }],
        waterfall: [{
          increasing: { marker: { color: series[1] } }, decreasing: { marker: { color: series[2] } },
          totals: { marker: { color: series[0] } }, connector: { line: { color: colour('--tk-line'), width: 1 } },
          textfont: { color: text },
        }],
        sankey: [{
          arrangement: 'fixed', textfont: { color: text, size: 12 },
          node: { pad: 18, thickness: 14, line: { width: 0 } }, link: { color: colour('--tk-link') },
        }],
        treemap: [{
          tiling: { pad: 2 },
          marker: { line: { color: surface, width: 1 }, cornerradius: 3, pad: { t: 20, l: 3, r: 3, b: 3 } },
          pathbar: { visible: false }, root: { color: 'rgba(0,0,0,0)' },
        }],
      },
    };
  }

  function hovermode(data) {
    var cartesian = data.every(function (trace) {
      return [undefined, 'bar', 'scatter', 'waterfall'].indexOf(trace.type) >= 0;
    });
    if (!cartesian) return 'closest';
    return data.some(function (trace) { return trace.orientation === 'h'; }) ? 'y unified' : 'x unified';
  }

  // As many decimals at every mark of an axis as the step between two of them needs: $0.50 and $1.00, $100 and $200.
  var DOLLARS = [
    { dtickrange: [null, 0.000099], value: ',.6f' },
    { dtickrange: [0.000099, 0.0099], value: ',.4f' },
    { dtickrange: [0.0099, 0.99], value: ',.2f' },
    { dtickrange: [0.99, null], value: ',' },
  ];

  function dressed(figure, width, scheme) {
    var paint = palette(scheme);
    var data = resolved(figure.data || [], paint.colour);
    var layout = resolved(figure.layout || {}, paint.colour);
    layout.template = template(paint.colour, width < NARROW, data);
    layout.autosize = true;
    if (layout.hovermode === undefined) layout.hovermode = hovermode(data);
    if (layout.dragmode === undefined) layout.dragmode = false;
    if (layout.yaxis && layout.yaxis.tickprefix === '$') layout.yaxis.tickformatstops = DOLLARS;
    paint.done();
    return { data: data, layout: layout };
  }

  var CONFIG = { displayModeBar: false, displaylogo: false, responsive: false, doubleClick: false, showTips: false,
    plotlyServerURL: '' };

  var sizes = new ResizeObserver(function (entries) {
    entries.forEach(function (entry) {
      var chart = charts.get(entry.target);
      var width = Math.round(entry.contentRect.width);
      if (chart && width > 0 && width !== chart.width) render(entry.target);
    });
  });

  // On a phone the names of many series stand below each other, and the drawing keeps its height.
  function makeRoom(element, chart) {
    element.style.height = '';
    var data = chart.figure.data || [];
    var legend = data.length > 1 && (chart.figure.layout || {}).showlegend !== false;
    if (!legend || chart.width >= PHONE) return;
    element.style.height = element.clientHeight + 14 * data.length + 'px';
  }

  function render(element, scheme) {
    var chart = charts.get(element);
    if (!chart) return Promise.resolve();
    chart.width = Math.round(element.clientWidth);
    if (chart.width === 0) return Promise.resolve(); // hidden for now; its size will tell when it is not
    makeRoom(element, chart); // before Plotly has come, so that nothing moves when it draws
    return plotly().then(function (Plotly) {
      if (!charts.has(element)) return null;
      var look = dressed(chart.figure, chart.width, scheme);
      look.layout.width = element.clientWidth;
      look.layout.height = element.clientHeight;
      // A flow moves its nodes over to a new size, and stays half-way where a second drawing comes meanwhile.
      if (look.data.some(function (trace) { return trace.type === 'sankey'; })) Plotly.purge(element);
      return Plotly.react(element, look.data, look.layout, CONFIG);
    }).then(function () {
      element.setAttribute('data-chart-state', 'drawn');
      element.removeAttribute('aria-busy');
    }).catch(function (error) {
      failed(element, error);
    });
  }

  function failed(element, error) {
    window.console.error(error);
    element.setAttribute('data-chart-state', 'failed');
    element.removeAttribute('aria-busy');
    element.textContent = 'The chart could not be drawn. The numbers are in the table below.';
    var block = element.closest('[data-chart-block]');
    var table = block && block.querySelector('.tk-chart-block > details');
    if (!table) return;
    table.removeAttribute('data-numbers');
    table.open = true;
  }

  function forget(element) {
    if (!charts.delete(element)) return;
    sizes.unobserve(element);
    if (window.Plotly) window.Plotly.purge(element);
    element.removeAttribute('data-chart-state');
  }

  function draw() {
    charts.forEach(function (_, element) { if (!element.isConnected) forget(element); });
    document.querySelectorAll('[data-chart]').forEach(function (element) {
      if (charts.has(element)) return;
      var script = document.getElementById(element.dataset.chart);
      if (!script) return;
      try {
        charts.set(element, { figure: JSON.parse(script.textContent), width: 0 });
      } catch (error) {
        failed(element, error);
        return;
      }
      element.setAttribute('aria-busy', 'true');
      sizes.observe(element);
      render(element);
    });
  }

  function redraw(scheme) {
    charts.forEach(function (_, element) { render(element, scheme); });
  }

  // Of what, and of which days where the address says so.
  function fileName(element) {
    var asked = new URLSearchParams(window.location.search);
    var name = element.dataset.chartName || element.dataset.chart;
    return [name, asked.get('from') || asked.get('month'), asked.get('to')].filter(Boolean).join('-').replace(/[^\w.-]/g, '');
  }

  // A picture goes into a report: light, on white, whatever the screen shows.
  function download(element, format) {
    var width = Math.max(element.clientWidth, 900);
    var height = Math.round(width * element.clientHeight / Math.max(element.clientWidth, 1));
    var look = dressed(charts.get(element).figure, width, 'light');
    Object.assign(look.layout, {
      paper_bgcolor: '#ffffff', width: width, height: Math.min(height, width),
      margin: { l: 24, r: 24, t: 24, b: 24 },
    });
    return window.Plotly.downloadImage({ data: look.data, layout: look.layout, config: CONFIG }, {
      format: format, width: width, height: look.layout.height, scale: format === 'png' ? 2 : 1,
      filename: fileName(element),
    });
  }

  document.addEventListener('click', function (event) {
    var button = event.target.closest('[data-chart-download]');
    if (!button) return;
    var block = button.closest('[data-chart-block]');
    var element = block.querySelector('[data-chart]');
    var menu = button.closest('details');
    if (menu) menu.open = false;
    if (charts.has(element) && window.Plotly) download(element, button.dataset.chartDownload);
  });

  document.addEventListener('tollkeeper:theme', function () { redraw(); });
  window.addEventListener('beforeprint', function () { redraw('light'); });
  window.addEventListener('afterprint', function () { redraw(); });
  document.addEventListener('htmx:afterSettle', draw);
  document.addEventListener('htmx:beforeCleanupElement', function (event) {
    var gone = event.target;
    charts.forEach(function (_, element) { if (gone.contains(element)) forget(element); });
  });
  if (document.readyState === 'loading') document.addEventListener('DOMContentLoaded', draw);
  else draw();
})();
