// Looks for the units, reducers, transformations, matchers and colours of dashboards among
// those that Grafana's own frontend has, and prints what it does not know.
//
// usage: node words.cjs DASHBOARD..., with NODE_PATH at the packages
'use strict';
const fs = require('fs');
const grafana = require('./frontend.cjs');

const ids = (list) => new Set(list.map((each) => each.id));
const known = {
  unit: new Set(grafana.getValueFormats().flatMap((group) => group.submenu.map((unit) => unit.value))),
  reducer: ids(grafana.fieldReducers.list()),
  transformation: ids(Object.values(grafana.standardTransformers)),
  matcher: ids(grafana.fieldMatchers.list()),
  color: ids(grafana.fieldColorModeRegistry.list()),
};

/** What a panel asks of Grafana by name: pairs of a kind and a name. */
function* asked(panel) {
  const { defaults = {}, overrides = [] } = panel.fieldConfig ?? {};
  yield ['unit', defaults.unit];
  yield ['color', defaults.color?.mode];
  for (const { matcher, properties } of overrides) {
    yield ['matcher', matcher.id];
    for (const { id, value } of properties) {
      if (id === 'unit') yield ['unit', value];
      if (id === 'color') yield ['color', value.mode];
    }
  }
  for (const { id } of panel.transformations ?? []) yield ['transformation', id];
  const { legend, reduceOptions } = panel.options ?? {};
  for (const calc of [...(legend?.calcs ?? []), ...(reduceOptions?.calcs ?? [])]) yield ['reducer', calc];
}

for (const path of process.argv.slice(2)) {
  for (const panel of JSON.parse(fs.readFileSync(path)).panels) {
    for (const [kind, name] of asked(panel)) {
      if (name === undefined || known[kind].has(name)) continue;
      console.log(`${path}: ${panel.title}: there is no ${kind} ${name}`);
      process.exitCode = 1;
    }
  }
}
