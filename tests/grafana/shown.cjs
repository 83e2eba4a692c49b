// What Grafana's own frontend makes of the answers to a dashboard's queries: transformations,
// field configuration and overrides, numbers as they are written.
//
// usage: node shown.cjs <ANSWERS >PANELS, with NODE_PATH at the packages. ANSWERS is a list of
// {panel, answers: [{refId, legend, result}]}, `result` as Prometheus gives it.
'use strict';
const fs = require('fs');
const grafana = require('./frontend.cjs');

const theme = grafana.createTheme({ colors: { mode: 'light' } });
const same = (value) => value;
const option = (id, more) => ({ id, path: id, name: id, process: same, shouldApply: () => true, ...more });
const registry = new grafana.FieldConfigOptionsRegistry(() => [
  ...['unit', 'mappings', 'links', 'color', 'noValue'].map((id) => option(id)),
  ...['custom.axisSoftMin', 'custom.stacking', 'custom.fillOpacity', 'custom.lineWidth'].map((id) =>
    option(id, { path: id.replace('custom.', ''), isCustom: true })),
]);
grafana.standardTransformersRegistry.setInit(() =>
  // One of them stands there twice.
  [...new Set(Object.values(grafana.standardTransformers))].map((each) => ({ id: each.id, transformation: async () => each })));

const named = (legend, labels) => legend.replace(/\{\{(\w+)\}\}/g, (_, label) => labels[label] ?? '');
const { number, string, time } = grafana.FieldType;

/** A frame for each series, as the data source makes them. */
function series({ refId, legend, result }) {
  return result.map(({ metric, values, value }) => {
    const points = values ?? [value];
    return grafana.toDataFrame({
      refId,
      fields: [
        { name: 'Time', type: time, values: points.map(([at]) => at * 1000) },
        {
          name: 'Value', type: number, labels: metric, values: points.map(([, text]) => Number(text)),
          config: { displayNameFromDS: named(legend, metric) },
        },
      ],
    });
  });
}

/** One frame for each query, with a column for each label. */
function rows({ refId, result }, several) {
  const labels = [...new Set(result.flatMap(({ metric }) => Object.keys(metric)))].sort();
  return grafana.toDataFrame({
    refId,
    fields: [
      { name: 'Time', type: time, values: result.map(({ value }) => value[0] * 1000) },
      ...labels.map((name) => ({ name, type: string, values: result.map(({ metric }) => metric[name] ?? '') })),
      { name: several ? `Value #${refId}` : 'Value', type: number, values: result.map(({ value }) => Number(value[1])) },
    ],
  });
}

const transformed = (panel, frames) => new Promise((done, failed) =>
  grafana.transformDataFrame(panel.transformations ?? [], frames).subscribe({ next: done, error: failed }));

function field(one, frame, frames) {
  const written = (value) => (value === null || value === undefined ? '' : grafana.formattedValueToString(one.display(value)));
  return {
    name: grafana.getFieldDisplayName(one, frame, frames),
    values: one.values,
    texts: one.values.map(written),
    colors: one.values.map((value) => one.display(value).color),
    color: grafana.getFieldSeriesColor(one, theme).color,
    custom: one.config.custom ?? {},
  };
}

async function shown({ panel, answers }) {
  const some = answers.filter(({ result }) => result.length > 0);
  const table = panel.type === 'table';
  const made = table ? some.map((one) => rows(one, some.length > 1)) : some.flatMap(series);
  const frames = grafana.applyFieldOverrides({
    data: await transformed(panel, made),
    fieldConfig: panel.fieldConfig,
    replaceVariables: same,
    fieldConfigRegistry: registry,
    theme,
  });
  const columns = frames.flatMap((frame) => frame.fields.map((one) => ({ ...field(one, frame, frames), time: one.type === time })));
  return {
    type: panel.type, title: panel.title, place: panel.gridPos,
    absent: panel.fieldConfig.defaults.noValue ?? 'No data',
    unit: panel.fieldConfig.defaults.unit, mode: panel.options.colorMode, columns,
  };
}

(async () => {
  const all = JSON.parse(fs.readFileSync(0));
  process.stdout.write(JSON.stringify(await Promise.all(all.map(shown))));
})();
