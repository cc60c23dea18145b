// A click on the chart of the spend page leads to the same question about what was clicked: its name, its days, or both.
// An hour of a day leads to its entries.
// Where that is comes with the page: a query in parts, by trace and by point. Everything is in the table as links, too.
(function () {
  'use strict';

  function address(block, trace, point) {
    var marks = JSON.parse(document.getElementById(block.dataset.marks).textContent);
    var parts = [marks.base, marks.traces ? marks.traces[trace] : '', marks.points[point]];
    // Null leads nowhere. A trace that stands for many names adds nothing: undefined is one that is only compared with.
    if (parts.some(function (part) { return part === null || part === undefined; })) return null;
    return (marks.path || block.dataset.path) + '?' + parts.filter(Boolean).join('&');
  }

  // All values of a place are pointed at together; which of them was meant is where the pointer is.
  function meant(event, layout) {
    var first = event.points[0];
    if (!first || !first.yaxis) return first; // a tile
    var points = event.points.filter(function (point) { return typeof point.y === 'number'; });
    if (points.length < 2) return points[0];
    var area = event.event.target.getBoundingClientRect();
    var at = first.yaxis.p2d(event.event.clientY - area.top);
    var stacked = first.data.type === 'bar' ? layout.barmode === 'stack' : first.data.stackgroup;
    return stacked ? within(points, at) : nearest(points, at);
  }

  function nearest(points, at) {
    return points.reduce(function (best, point) {
      return Math.abs(point.y - at) < Math.abs(best.y - at) ? point : best;
    });
  }

  function within(points, at) {
    var reached = 0;
    for (var i = 0; i < points.length; i += 1) {
      reached += points[i].y;
      if (at <= reached) return points[i];
    }
    return points[points.length - 1];
  }

  function follow(block, chart, event) {
    var point = meant(event, chart.layout || {});
    if (!point) return;
    var number = point.pointNumber === undefined ? point.pointIndex : point.pointNumber;
    var url = address(block, point.curveNumber, number);
    if (url) window.location.assign(url);
  }

  function listen() {
    document.querySelectorAll('[data-marks] [data-chart][data-chart-state="drawn"]').forEach(function (chart) {
      if (chart.dataset.followed || !chart.on) return;
      chart.dataset.followed = 'true';
      var block = chart.closest('[data-marks]');
      chart.on('plotly_click', function (event) { follow(block, chart, event); });
      chart.on('plotly_treemapclick', function (event) { follow(block, chart, event); return false; });
    });
  }

  new MutationObserver(listen).observe(document.body, {
    subtree: true, attributes: true, attributeFilter: ['data-chart-state'],
  });
  listen();
})();
