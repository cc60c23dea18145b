'use strict';

// Plotly with the six kinds of trace that the console draws; the core registers scatter itself.
const Plotly = require('plotly.js/lib/core');

Plotly.register([
    require('plotly.js/lib/bar'),
    require('plotly.js/lib/heatmap'),
    require('plotly.js/lib/sankey'),
    require('plotly.js/lib/treemap'),
    require('plotly.js/lib/waterfall'),
]);

module.exports = Plotly;
