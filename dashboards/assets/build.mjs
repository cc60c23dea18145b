// Builds dashboards/static/vendor/ and the icon sprite from the locked packages. See README.md.
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import esbuild from 'esbuild';

const here = dirname(fileURLToPath(import.meta.url));
const vendor = join(here, '..', 'static', 'vendor');
const modules = join(here, 'node_modules');

// Icons of the console by our name for them, so that a template says what it means and not what is drawn.
const ICONS = {
  overview: 'layout-dashboard', budgets: 'wallet', alerts: 'bell', spend: 'chart-bar', routing: 'route',
  rules: 'list-check', catalog: 'book-2', gateways: 'server-2', admin: 'settings',
  menu: 'menu-2', close: 'x', down: 'chevron-down', right: 'chevron-right', more: 'dots',
  up: 'arrow-up-right', fall: 'arrow-down-right', flat: 'minus', next: 'arrow-right', external: 'external-link',
  sun: 'sun', moon: 'moon', system: 'device-desktop', user: 'user-circle', key: 'key', lock: 'lock',
  signin: 'login', signout: 'logout', mail: 'mail',
  ok: 'circle-check', info: 'info-circle', warning: 'alert-triangle', error: 'alert-circle', blocked: 'ban',
  paused: 'player-pause', unknown: 'help-circle', hidden: 'eye-off',
  plus: 'plus', check: 'check', search: 'search', filter: 'filter', adjust: 'adjustments-horizontal',
  download: 'download', refresh: 'refresh', table: 'table', document: 'file-text', calendar: 'calendar',
  clock: 'clock', zone: 'world', coins: 'coins', gauge: 'gauge', balance: 'scale', inbox: 'inbox',
  empty: 'database-off', bank: 'building-bank', chart: 'chart-line', plug: 'plug',
};

const version = (name) => JSON.parse(readFileSync(join(modules, name, 'package.json'), 'utf8')).version;
const text = (...path) => readFileSync(join(modules, ...path), 'utf8');
// The static files storage follows these comments and fails over a map that is not there.
const withoutMap = (source) => source.replace(/\s*(\/\*|\/\/)# sourceMappingURL=[^\n]*\n?/g, '\n');

// d3 sets `style` with setAttribute, which `style-src 'self'` refuses; the CSSOM does the same and may.
const strictStyle = {
  name: 'strict-style',
  setup(build) {
    build.onLoad({ filter: /@plotly[\\/]d3[\\/]d3\.js$/ }, ({ path }) => {
      const source = readFileSync(path, 'utf8');
      const before = 'this.setAttribute(name, value);';
      if (source.split(before).length !== 2) throw new Error(`${path}: expected exactly one ${before}`);
      const after = `if (name === 'style') this.style.cssText = value; else ${before}`;
      return { contents: source.replace(before, after), loader: 'js' };
    });
  },
};

async function plotly() {
  const result = await esbuild.build({
    entryPoints: [join(here, 'plotly.entry.cjs')],
    bundle: true,
    minify: true,
    write: false,
    metafile: true,
    absWorkingDir: here,
    format: 'iife',
    globalName: 'Plotly',
    target: 'es2020',
    charset: 'utf8',
    legalComments: 'none',
    define: { global: 'window', 'define.amd': 'false' },
    loader: { '.css': 'empty' }, // styles of the map traces, which are not in the bundle
    plugins: [strictStyle],
  });
  const code = result.outputFiles[0].text;
  if (/\bnew Function\(|[^\w.]eval\(/.test(code)) throw new Error('the bundle evaluates strings as code');
  const licence = `/*! Plotly.js ${version('plotly.js')} (bar, heatmap, sankey, scatter, treemap, waterfall) | MIT */\n`;
  const packages = new Set();
  for (const input of Object.keys(result.metafile.inputs)) {
    const found = input.match(/^node_modules\/((?:@[^/]+\/)?[^/]+)\//);
    if (found) packages.add(found[1]);
  }
  return { code: licence + code, packages };
}

// MIT, BSD and ISC ask for their notice wherever the code goes.
function licences(packages) {
  const kept = [...packages].sort().map((name) => {
    const folder = join(modules, name);
    const file = readdirSync(folder).find((entry) => /^licen[cs]e/i.test(entry));
    const { license } = JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8'));
    const notice = file ? readFileSync(join(folder, file), 'utf8').trim() : `Licence: ${license}`;
    return `${name} ${version(name)}\n${'-'.repeat(60)}\n${notice}\n`;
  });
  return kept.join('\n\n');
}

function sprite() {
  const symbols = Object.entries(ICONS).sort().map(([name, file]) => {
    const body = text('@tabler', 'icons', 'icons', 'outline', `${file}.svg`)
      .replace(/^[\s\S]*?<svg[^>]*>/, '').replace(/<\/svg>\s*$/, '')
      .replace(/<path stroke="none"[^>]*\/>/, '').replace(/\s*\n\s*/g, '');
    return `<symbol id="${name}" viewBox="0 0 24 24" fill="none" stroke="currentColor" stroke-width="1.75" ` +
      `stroke-linecap="round" stroke-linejoin="round">${body}</symbol>`;
  });
  return `<svg xmlns="http://www.w3.org/2000/svg">\n<!-- Tabler Icons ${version('@tabler/icons')}, MIT -->\n` +
    `${symbols.join('\n')}\n</svg>\n`;
}

rmSync(vendor, { recursive: true, force: true });
mkdirSync(vendor, { recursive: true });

const bundle = await plotly();
const files = [
  ['Tabler', '@tabler/core', 'MIT', 'tabler', '.min.css', withoutMap(text('@tabler', 'core', 'dist', 'css', 'tabler.min.css'))],
  ['htmx', 'htmx.org', '0BSD', 'htmx', '.min.js', withoutMap(text('htmx.org', 'dist', 'htmx.min.js'))],
  ['Plotly.js, custom bundle', 'plotly.js', 'MIT', 'plotly', '.min.js', bundle.code],
  ['Plotly.js, style sheet', 'plotly.js', 'MIT', 'plotly', '.css', withoutMap(text('plotly.js', 'dist', 'plotly.css'))],
  ['Tabler Icons, sprite', '@tabler/icons', 'MIT', 'icons', '.svg', sprite()],
];

const rows = files.map(([name, npm, licence, stem, ending, content]) => {
  const file = `${stem}-${version(npm)}${ending}`;
  writeFileSync(join(vendor, file), content);
  const sum = createHash('sha256').update(content).digest('hex');
  return `| ${file} | ${name} | ${version(npm)} | ${licence} | \`${sum}\` |`;
});
writeFileSync(join(vendor, 'VENDOR.md'), `# Code of others in the console

Written by \`npm run build\` in \`dashboards/assets\`; do not edit. A test compares the checksums.

| File | What | Version | Licence | SHA-256 |
| --- | --- | --- | --- | --- |
${rows.join('\n')}
`);
writeFileSync(
  join(vendor, 'LICENSES.txt'),
  licences(new Set(['@tabler/core', '@tabler/icons', 'htmx.org', ...bundle.packages])),
);
console.log(readdirSync(vendor).join('\n'));
