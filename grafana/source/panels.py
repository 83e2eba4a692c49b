"""Panels and pages as Grafana's schema has them, where it requires a field also with the value
that Grafana would fill in."""

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLORS = {
    "program": "blue",
    "allocator": "orange",
    "unknown": "red",
    "reclaimable": "green",
    "kernel": "purple",
}
# How the line is drawn that a stack sums to.
WHOLE = {
    "color": {"mode": "fixed", "fixedColor": "text"},
    "custom.stacking": {"mode": "none"},
    "custom.fillOpacity": 0,
    "custom.lineWidth": 2,
}


def page(uid, title, question, more, variables, rows, annotations=()):
    """A dashboard, described by the operator's question that it answers."""
    return {
        "uid": uid,
        "title": title,
        "description": f"{question} {more}",
        "tags": ["memgap"],
        "schemaVersion": 41,
        "editable": True,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "templating": {"list": [datasource(), *variables]},
        "annotations": {"list": list(annotations)},
        "links": [others()],
        "panels": list(layout(rows)),
    }


def others():
    """From each dashboard to the others."""
    return {
        "title": "memgap",
        "type": "dashboards",
        "icon": "external link",
        "tooltip": "",
        "tags": ["memgap"],
        "asDropdown": True,
        "targetBlank": False,
        "includeVars": True,
        "keepTime": True,
    }


def datasource():
    return {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}


def variables(family, labels, optional=()):
    """One for each label, which those before narrow down; all of it where it is optional."""
    known = []
    for label in labels:
        query = f"label_values({family}{{{','.join(known)}}}, {label})"
        made = {
            "name": label,
            "label": "Node" if label == "instance" else label.capitalize(),
            "type": "query",
            "datasource": DATASOURCE,
            "query": {"query": query, "refId": "A"},
            "definition": query,
            "refresh": 2,
            "sort": 1,
        }
        if label in optional:
            made |= {"includeAll": True, "allValue": ".*", "current": {"text": "All", "value": "$__all"}}
        known.append(equals(label, optional))
        yield made


def equals(label, optional=()):
    return f'{label}=~"${label}"' if label in optional else f'{label}="${label}"'


def layout(rows):
    """Gives panels their ids and places: rows of 24 columns, shared evenly or by `wide`."""
    number, top = 1, 0
    for height, panels in rows:
        left, even = 0, 24 // len(panels)
        for panel in panels:
            panel = dict(panel)
            width = panel.pop("wide", even)
            place = {"x": left, "y": top, "w": width, "h": height}
            yield {"id": number, "gridPos": place, **panel}
            number, left = number + 1, left + width
        top += height


def wide(width, panel):
    return panel | {"wide": width}


def panel(kind, title, description, targets, unit="bytes", **query):
    """A panel of one query for each legend in `targets`."""
    return {
        "type": kind,
        "title": title,
        "description": description,
        "datasource": DATASOURCE,
        "targets": [
            {"refId": ref, "datasource": DATASOURCE, "expr": expr, "legendFormat": legend, **query}
            for ref, (legend, expr) in zip("ABCDEFGH", targets.items())
        ],
        "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
    }


def stat(title, description, targets, absent="unknown", unit="bytes"):
    made = panel("stat", title, description, targets, unit, instant=True, range=False)
    color = {"mode": "fixed", "fixedColor": "text"}
    made["fieldConfig"]["defaults"] |= {"noValue": absent, "color": color}
    made["options"] = {
        "reduceOptions": {"calcs": ["lastNotNull"]},
        "graphMode": "none",
        "colorMode": "value",
        "justifyMode": "auto",
        "textMode": "auto",
        "orientation": "auto",
        "wideLayout": True,
        "showPercentChange": False,
        "percentChangeColorMode": "standard",
    }
    return made


def words(title, description, expr, steps):
    """A number told in words: `steps` has the words and the colour of each from 0 on."""
    made = stat(title, description, {"": expr}, absent="no data", unit="none")
    options = {
        str(number): {"text": text, "color": color, "index": number}
        for number, (text, color) in enumerate(steps)
    }
    made["fieldConfig"]["defaults"]["mappings"] = [{"type": "value", "options": options}]
    made["options"] |= {"colorMode": "background", "textMode": "value"}
    return made


def graph(title, description, targets, stacked=False, unit="bytes", sum_of=None):
    """Lines, or areas upon each other; `sum_of` is the legend and query of what they sum to."""
    whole = dict([sum_of]) if sum_of else {}
    made = panel("timeseries", title, description, targets | whole, unit)
    defaults, overrides = made["fieldConfig"]["defaults"], made["fieldConfig"]["overrides"]
    # How far from 0 a line is matters as much as how it goes.
    defaults |= {"color": {"mode": "palette-classic"}, "custom": {"axisSoftMin": 0}}
    if stacked:
        defaults["custom"] |= {"fillOpacity": 60, "lineWidth": 0, "stacking": {"mode": "normal"}}
    # A series whose name begins with a class has a shade of the class's colour.
    if any(legend.startswith("{{class}}") for legend in targets):
        for name, color in COLORS.items():
            shades = {"color": {"mode": "shades", "fixedColor": color}}
            overrides.append(override("byRegexp", f"/^{name}(:|$)/", shades))
    for legend in whole:
        overrides.append(override("byName", legend, WHOLE))
    legend = {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull"], "showLegend": True}
    made["options"] = {"legend": legend, "tooltip": {"mode": "multi", "sort": "desc"}}
    return made


def override(matcher, of, properties):
    matched = {"id": matcher, "options": of}
    return {"matcher": matched, "properties": [{"id": i, "value": v} for i, v in properties.items()]}


def table(title, description, columns, labels, units=None, absent="none", links=None, values=None):
    """One row for each combination of labels, one column for each query of `columns`."""
    made = panel("table", title, description, columns, instant=True, range=False, format="table")
    made["fieldConfig"]["defaults"]["noValue"] = absent
    made["options"] = {"frameIndex": 0, "showHeader": True}
    # Grafana calls the values of several queries by their letters.
    ids = ["Value"] if len(columns) == 1 else [f"Value #{ref}" for ref, _ in zip("ABCDEFGH", columns)]
    names = dict(zip(ids, columns))
    if len(columns) > 1:
        # Where only the first is answered.
        ids.append("Value")
        names["Value"] = next(iter(columns))
    shown = [*labels, *ids]
    made["transformations"] = [
        *([] if len(columns) == 1 else [{"id": "merge", "options": {}}]),
        {"id": "filterFieldsByName", "options": {"include": {"names": shown}}},
        {
            "id": "organize",
            "options": {
                "excludeByName": {},
                "indexByName": {name: index for index, name in enumerate(shown)},
                "renameByName": names | {"instance": "node"},
            },
        },
    ]
    overrides = made["fieldConfig"]["overrides"]
    # The word for an empty table is none for an empty cell.
    overrides += [override("byType", kind, {"noValue": ""}) for kind in ("string", "number")]
    for column, unit in (units or {}).items():
        overrides.append(override("byName", column, {"unit": unit}))
    for column, mapping in (values or {}).items():
        overrides.append(override("byName", column, {"mappings": mapping}))
    for column, (words_, url) in (links or {}).items():
        overrides.append(override("byName", column, {"links": [{"title": words_, "url": url}]}))
    return made
