/* The explorer: choice of points, tabs, controls. The dimensions of a variable decide its tab and its chart, so new variables of result
 * files appear by themselves. */
"use strict";

const Explorer = (() => {
  const {make, number} = Draw;
  const TABS = [["layers", "Layers"], ["curves", "Learning curves"], ["spectra", "Spectra and angles"], ["classes", "Classes"],
                ["more", "More"], ["points", "Points"]];
  const FIRST = {layers: "saturation", curves: "accuracy", spectra: "eigenvalues", classes: "recall"};
  const MEANING = {split: "split", delta: "δ", reference: "compared with", layer: "layer", layer_or_all: "layer", probe_epoch: "epoch of the probes",
                   probe_dataset: "probes on", other_point: "compared with"};
  const state = {tab: "layers", a: [0], b: null, of: {}};
  let root, panel, told, charts = {}, drawing = 0;

  const meta = () => Data.meta();
  const words = name => name.replaceAll("_", " ");
  const dimWord = name => MEANING[name] || words(name);

  /* ---- which chart a variable gets ---- */

  function group(variable) {
    const dims = variable.dims;
    if (dims.some(Data.isClass)) return "classes";
    if (dims.includes("component")) return "spectra";
    if (dims.some(Data.isLayer)) return "layers";
    return dims.every(dim => Data.isTime(dim) || meta().dims[dim].values.length < 5) && dims.some(Data.isTime) ? "curves" : "more";
  }

  /* {x, y, series, rest}: y makes a heat map; a slider or a list chooses along the dimensions of `rest`. */
  function plan(variable) {
    const dims = variable.dims, layers = dims.filter(Data.isLayer), times = dims.filter(Data.isTime);
    const several = dim => meta().dims[dim].values.length > 1;
    let x, y = null;
    if (dims.includes("class") && dims.includes("predicted_class")) [y, x] = ["class", "predicted_class"];
    else if (dims.includes("component")) x = "component";
    else if (layers.length > 1) [y, x] = layers;
    else if (layers.length && dims.includes("class")) [y, x] = [layers[0], "class"];
    else if (layers.length && dims.includes("other_point")) [y, x] = [layers[0], "other_point"];
    else if (layers.length && times.some(several)) [y, x] = [layers[0], times.find(several)];
    else if (dims.includes("class") && times.some(several)) [y, x] = ["class", times.find(several)];
    else x = layers[0] || times[0] || dims.find(Data.isClass) || dims[dims.length - 1];
    const rest = dims.filter(dim => dim !== x && dim !== y);
    const small = dim => !Data.isLayer(dim) && !Data.isTime(dim) && meta().dims[dim].values.length < 5;
    const series = y || x === "component" ? null : rest.includes("split") ? "split" : rest.find(small) || null;
    return {x, y, series, rest: rest.filter(dim => dim !== series)};
  }

  /* The place where a list or a slider begins: what the page shows elsewhere, and of times the last one that was measured at A. */
  function first(dim, places, side, how, at) {
    if (dim === "split") return Math.max(0, places.findIndex(p => p.value === meta().split));
    if (dim === "delta") return Math.max(0, places.findIndex(p => p.value === meta().delta));
    if (dim === "reference") return Math.max(0, places.findIndex(p => p.value === "last"));
    if (!Data.isTime(dim)) return Data.isLayer(dim) && side.variable.dims.includes("component") ? Math.floor(places.length / 2) : 0;
    const fixed = Object.fromEntries(side.variable.dims.map(one => [one, side.along[one][Math.min(at[one] || 0, side.along[one].length - 1)]]));
    const across = [how.y, how.x].find(one => one && one !== dim), rows = across ? side.along[across] : [null];
    for (let i = places.length - 1; i > 0; i--) {
      if (rows.some(row => Number.isFinite(side.get({...fixed, ...(row ? {[across]: row} : {}), [dim]: places[i]})))) return i;
    }
    return places.length - 1;
  }

  /* What a reader reads of one value. */
  function valueText(variable, text) {
    if (text === "") return "not measured";
    const flags = variable.flags, value = Number(text);
    if (!flags.words) return text;
    const set = flags.words.filter((_, i) => (flags.masks ? value & flags.numbers[i] : value === flags.numbers[i]));
    return set.length ? `${text} (${set.map(words).join(", ")})` : text;
  }

  /* ---- the page ---- */

  function start() {
    root = document.getElementById("explorer-root");
    restore();
    told = make("p", {class: "told", role: "status"});
    panel = make("div", {class: "panel", role: "tabpanel", id: "panel", tabindex: -1, "aria-labelledby": `tab-${state.tab}`});
    const filled = new Set(meta().variables.map(group));
    const list = make("div", {role: "tablist", class: "tabs", "aria-label": "views"}, ...TABS.filter(([id]) => filled.has(id) || id === "points" && Data.size() > 1)
      .map(([id, text]) => make("button", {type: "button", role: "tab", id: `tab-${id}`, "aria-controls": "panel", onclick: () => select(id), onkeydown: along}, text)));
    root.replaceChildren(sides(), told, list, make("p", {class: "unseen", role: "status", id: "shown"}), panel,
                         ...(meta().left_out.length ? [make("p", {class: "soft", id: "left-out"}, `In the file, but not on this page: ${meta().left_out.join("; ")}.`)] : []));
    if (!document.getElementById(`tab-${state.tab}`)) state.tab = list.firstChild ? list.firstChild.id.slice(4) : "points";
    select(state.tab, false);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", draw);
    matchMedia("(max-width: 700px)").addEventListener("change", draw);
  }

  function along(event) {
    const tabs = [...root.querySelectorAll("[role=tab]")], step = {ArrowLeft: -1, ArrowRight: 1, Home: -tabs.length, End: tabs.length}[event.key];
    if (!step) return;
    event.preventDefault();
    const at = Math.max(0, Math.min(tabs.length - 1, tabs.indexOf(event.target) + step));
    tabs[at].focus();
    select(tabs[at].id.slice(4));
  }

  function select(id, remember = true) {
    state.tab = id;
    for (const tab of root.querySelectorAll("[role=tab]")) {
      tab.setAttribute("aria-selected", String(tab.id === `tab-${id}`));
      tab.tabIndex = tab.id === `tab-${id}` ? 0 : -1;
    }
    panel.setAttribute("aria-labelledby", `tab-${id}`);
    charts = {};
    panel.replaceChildren();
    draw(remember);
  }

  /* ---- points A and B ---- */

  function sides() {
    const axes = Data.axes();
    if (Data.size() < 2) return make("p", {class: "soft"}, `One point: ${Data.nameOf([0])}.`);
    const box = make("div", {class: "sides"});
    const compare = make("input", {type: "checkbox", id: "compare", onchange: event => {
      state.b = event.target.checked ? other(state.a) : null;
      refresh();
    }});
    const refresh = () => {
      compare.checked = Boolean(state.b);
      box.replaceChildren(side("a", refresh), make("div", {class: "compare"}, make("label", {}, compare, " Compare with a second point")),
                          ...(state.b ? [side("b", refresh)] : []));
      draw();
    };
    state.refresh = refresh;
    compare.checked = Boolean(state.b);
    box.replaceChildren(side("a", refresh), make("div", {class: "compare"}, make("label", {}, compare, " Compare with a second point")), ...(state.b ? [side("b", refresh)] : []));
    return box;

    function side(name, again) {
      const choice = Data.choiceOf(state[name]), fields = [];
      for (const axis of axes) {
        const list = make("select", {id: `${name}-${axis.name}`, onchange: event => {
          const word = event.target.value;
          choice[axis.name] = word === "*" ? "*" : axis.values[Number(word)];
          state[name] = Data.find(choice, axis.name);
          again();
          document.getElementById(`${name}-${axis.name}`).focus();
        }});
        if (axis.name === "seed") list.append(new Option("mean over seeds", "*", false, choice.seed === "*"));
        axis.values.forEach((value, i) => list.append(new Option(axis.texts[i], String(i), false, value === choice[axis.name])));
        fields.push(make("label", {}, make("span", {}, axis.text), list));
      }
      if (!axes.length) {
        const list = make("select", {id: `${name}-point`, onchange: event => { state[name] = [Number(event.target.value)]; again(); }});
        for (let i = 0; i < Data.size(); i++) list.append(new Option(`point ${Data.column("point")[i]}`, String(i), false, i === state[name][0]));
        fields.push(make("label", {}, make("span", {}, "point"), list));
      }
      return make("fieldset", {class: `side ${name}`}, make("legend", {}, make("b", {}, name.toUpperCase()), ` ${Data.nameOf(state[name])}`),
                  make("div", {class: "fields"}, ...fields), make("p", {class: "soft scores"}, scores(state[name])));
    }
  }

  /* A point beside another one: the next value of the first axis that varies (width if it does). */
  function other(points) {
    const axes = Data.axes(), axis = axes.find(one => one.name === "width") || axes.find(one => one.name !== "seed") || axes[0];
    if (!axis) return [points[0] ? 0 : 1];
    const choice = Data.choiceOf(points), at = axis.values.indexOf(Data.column(axis.name)[points[0]]);
    choice[axis.name] = axis.values[at + 1 < axis.values.length ? at + 1 : at - 1];
    return Data.find(choice, axis.name);
  }

  const mean = (name, points) => {
    const known = points.map(point => Data.column(name)[point]).filter(value => typeof value === "number");
    return known.length ? known.reduce((a, b) => a + b, 0) / known.length : NaN;
  };

  function scores(points) {
    const told = [["accuracy", `accuracy (${meta().score_split})`], ["saturation", `mean saturation at δ = ${meta().delta}`]]
      .map(([name, text]) => [text, mean(name, points)]).filter(([, value]) => Number.isFinite(value))
      .map(([text, value]) => `${text}: ${Number(value.toPrecision(4))}`);
    const verdict = Data.column("verdict")[points[0]], outcome = Data.column("outcome")[points[0]];
    if (outcome && outcome !== "complete") told.push(outcome);
    if (verdict && !verdict.startsWith("n")) told.push(verdict);
    return told.join(" · ");
  }

  /* ---- views ---- */

  async function draw(remember = true) {
    const now = ++drawing;
    root.dataset.asked = String(now);
    if (remember !== false) keep();
    try {
      if (state.tab === "points") await Points.show(panel, state, charts, () => state.refresh && state.refresh(), draw);
      else await view(state.tab, now);
      if (now !== drawing) return;
      root.dataset.drawn = String(now);
      if (!root.dataset.opened) root.dataset.opened = String(Math.round(performance.now()));
    } catch (error) {
      if (now === drawing) told.textContent = `The explorer cannot go on: ${error.message}.`;
      throw error;
    }
  }

  async function view(tab, now) {
    const variables = meta().variables.filter(variable => group(variable) === tab);
    const own = state.of[tab] || (state.of[tab] = {measure: (variables.find(v => v.name === FIRST[tab]) || variables[0]).name, at: {}});
    const variable = variables.find(v => v.name === own.measure) || variables[0];
    const how = plan(variable);
    const points = [state.a, ...(state.b ? [state.b] : [])];
    const read = await Promise.all(points.map(side => Data.read(variable, side)));
    const trace = variable.name === "eigenvalues" && meta().variables.find(v => v.name === "trace");
    const traces = trace ? await Promise.all(points.map(side => Data.read(trace, side))) : [];
    const notes = variable.dims.includes("layer") && variable.name !== "flags" ? await Promise.all(points.map(side => Data.notes(side))) : points.map(() => () => "");
    if (now !== drawing) return;
    told.textContent = "";
    controls(tab, variables, variable, how, read, own);
    document.getElementById("shown").textContent = `${words(variable.name)}. ${points.map((side, i) => `${i ? "B" : "A"}: ${Data.nameOf(side)}`).join(". ")}.`;
    const sides = read.map((one, i) => ({name: i ? "B" : "A", points: points[i], ...one, trace: traces[i], notes: notes[i]}));
    const fixed = Object.fromEntries(how.rest.map(dim => [dim, own.at[dim]]));
    if (how.y) {
      await chart("map", variable).show(heatOf(variable, how, sides, fixed, own, tab));
      const slide = tab === "layers" && Data.isTime(how.x);
      if (slide) await chart("profile", variable).show(profileOf(variable, how, sides, fixed, own));
      else if (charts.profile) { charts.profile.element.remove(); delete charts.profile; }
    } else {
      await chart("map", variable).show(linesOf(variable, how, sides, fixed, own));
    }
  }

  function chart(name, variable) {
    if (!charts[name]) {
      charts[name] = new Draw.Chart(`chart-${name}`, name === "profile" ? "values by layer" : "the chart");
      panel.append(charts[name].element);
    }
    charts[name].variable = variable;
    return charts[name];
  }

  /* Controls of a view: the measure, and a list or a slider for each dimension that is not drawn. */
  function controls(tab, variables, variable, how, read, own) {
    const key = `${tab} ${variable.name} ${state.a} ${state.b}`;
    if (panel.dataset.controls === key && panel.querySelector(".controls")) return;
    panel.dataset.controls = key;
    const focused = document.activeElement && document.activeElement.id;
    const measure = make("select", {id: "measure", onchange: event => { own.measure = event.target.value; draw(); }});
    for (const one of variables) measure.append(new Option(words(one.name), one.name, false, one === variable));
    const fields = [make("label", {}, make("span", {}, "measure"), measure)];
    const sliding = tab === "layers" && how.y && Data.isTime(how.x) ? [...how.rest, how.x] : how.rest;
    for (const dim of [...sliding].sort((a, b) => Data.isTime(a) - Data.isTime(b))) {
      const places = read[0].along[dim];
      if (own.at[dim] === undefined || own.at[dim] >= places.length) own.at[dim] = first(dim, places, read[0], how, own.at);
      if (places.length < 2) continue;
      fields.push(Data.isTime(dim) ? slider(dim, places, own, dim === how.x) : list(dim, places, own));
    }
    if (how.x === "component") {
      const angles = variable.units === "rad" || variable.name.includes("angle");
      own.log = own.logOf === variable.name ? own.log : !angles;
      own.logOf = variable.name;
      fields.push(tick("log", "logarithmic axes", own));
      if (variable.name === "eigenvalues" && meta().variables.some(v => v.name === "trace")) {
        if (own.share === undefined) own.share = true;
        fields.push(tick("share", "as shares of the variance", own));
      }
    }
    const unit = variable.units && variable.units !== "1" ? ` (${variable.units})` : "";
    const notes = [variable.label ? `${words(variable.name)}: ${variable.label}${unit}.` : "", ...Object.keys(variable.at).map(dim =>
      `${variable.at[dim].length} of ${meta().dims[dim].values.length} ${dim === "component" ? "components" : "epochs"} are in the data of this page.`)];
    const head = make("div", {class: "controls"}, make("div", {class: "fields"}, ...fields), make("p", {class: "soft"}, notes.filter(Boolean).join(" ")));
    const old = panel.querySelector(".controls");
    if (old) old.replaceWith(head); else panel.prepend(head);
    if (focused && document.getElementById(focused)) document.getElementById(focused).focus();
  }

  function tick(name, text, own) {
    const box = make("input", {type: "checkbox", id: `of-${name}`, onchange: event => { own[name] = event.target.checked; draw(); }});
    box.checked = own[name];
    return make("label", {class: "tick"}, box, ` ${text}`);
  }

  function list(dim, places, own) {
    const select = make("select", {id: `of-${dim}`, onchange: event => { own.at[dim] = Number(event.target.value); draw(); }});
    places.forEach((place, i) => select.append(new Option(place.label, String(i), false, i === own.at[dim])));
    return make("label", {}, make("span", {}, dimWord(dim)), select);
  }

  function slider(dim, places, own, below) {
    const text = () => places[own.at[dim]].label, output = make("output", {}, text());
    const range = make("input", {type: "range", id: `of-${dim}`, min: 0, max: places.length - 1, step: 1, value: own.at[dim], "aria-valuetext": `${dimWord(dim)} ${text()}`,
                                 oninput: event => {
                                   own.at[dim] = Number(event.target.value);
                                   output.textContent = text();
                                   event.target.setAttribute("aria-valuetext", `${dimWord(dim)} ${text()}`);
                                   draw();
                                 }});
    return make("label", {class: "slide"}, make("span", {}, dimWord(dim) + (below ? " (below)" : "")), range, output);
  }

  /* ---- charts of a variable ---- */

  const placeOf = (side, dim, index) => side.along[dim][Math.min(index, side.along[dim].length - 1)];
  const atOf = (side, fixed) => Object.fromEntries(Object.entries(fixed).map(([dim, index]) => [dim, placeOf(side, dim, index)]));
  const fixedText = (side, fixed) => Object.entries(atOf(side, fixed)).map(([dim, place]) => (dim === "split" ? `${place.label} split` : `${dimWord(dim)} ${dim === "delta" ? "= " : ""}${place.label}`)).join(", ");

  function titleOf(variable, sides, fixed, more = "") {
    return [words(variable.name) + (fixedText(sides[0], fixed) ? `, ${fixedText(sides[0], fixed)}` : "") + more,
            sides.map(side => (sides.length > 1 ? `${side.name}: ` : "") + Data.nameOf(side.points)).join("; ")].join(" · ");
  }

  const about = (variable, side, fixed) => [...Object.entries(atOf(side, fixed)).map(([, place]) => place.label)];

  /* Rows and columns of A, B and B − A. Layers and classes of A and B are matched by their names. */
  function heatOf(variable, how, sides, fixed, own, tab) {
    const panels = sides.map(side => {
      const at = atOf(side, fixed), x = shown(side, how.x, how.y, at), y = side.along[how.y];
      return {name: side.name, side, notes: (row, column) => side.notes({...at, [how.y]: y[row], [how.x]: x[column]}), x: x.map(p => p.label), y: y.map(p => p.label),
              z: y.map(row => x.map(place => side.get({...at, [how.y]: row, [how.x]: place})))};
    });
    if (panels.length === 2) {
      const [a, b] = panels, x = a.x.filter(label => b.x.includes(label)), y = a.y.filter(label => b.y.includes(label));
      if (x.length && y.length) {
        const value = (panel, row, column) => panel.z[panel.y.indexOf(row)][panel.x.indexOf(column)];
        panels.push({name: "B − A", difference: true, x, y, z: y.map(row => x.map(column => value(b, row, column) - value(a, row, column)))});
      }
    }
    const where = (panel, row, column) => `${Draw.plain(`${dimWord(how.y)} ${panel.y[row]}`)}<br>${Draw.plain(`${dimWord(how.x)} ${panel.x[column]}`)}`;
    return {title: titleOf(variable, sides, fixed), xTitle: dimWord(how.x), yTitle: dimWord(how.y), valueTitle: words(variable.name), range: variable.range, panels,
            names: Data.isLayer(how.x) || Data.isClass(how.x) || how.x === "other_point",
            hover: (panel, row, column, text) => `<b>${panel.name}</b> ${Draw.plain(words(variable.name))} <b>${panel.difference ? text || "not measured" : valueText(variable, text)}</b><br>${where(panel, row, column)}${panel.notes ? noted(panel.notes(row, column)) : ""}`,
            click: tab === "layers" && Data.isTime(how.x) ? point => { own.at[how.x] = indexOf(sides[0].along[how.x], panels[point.curveNumber].x[point.x]); panel.dataset.controls = ""; draw(); } : null,
            head: ["side", ...Object.keys(fixed), how.y, how.x, variable.name],
            rows: () => panels.flatMap(panel => panel.z.flatMap((row, r) => row.map((value, c) =>
              [panel.name, ...about(variable, sides[0], fixed), panel.y[r], panel.x[c], number(value)])).filter(row => row[row.length - 1] !== ""))};
  }

  const noted = text => (text ? `<br>${Draw.plain(text)}` : "");
  const indexOf = (places, label) => Math.max(0, places.findIndex(place => place.label === label));

  /* Times at which anything was measured, and points with which anything was compared; other dimensions whole. */
  function shown(side, x, y, at) {
    const points = x === "other_point";
    if (!y || !Data.isTime(x) && !points) return side.along[x];
    const measured = side.along[x].filter(place => side.along[y].some(row => Number.isFinite(side.get({...at, [y]: row, [x]: place}))));
    if (!measured.length) return side.along[x];
    return points ? side.along[x].filter(place => measured.includes(place) || side.points.includes(place.value)) : measured;
  }

  function profileOf(variable, how, sides, fixed, own) {
    const all = {...fixed, [how.x]: own.at[how.x]};
    const series = sides.map(side => {
      const at = atOf(side, all);
      return {name: sides.length > 1 ? side.name : words(variable.name), side: side.name.toLowerCase(), dash: side.name === "B" ? "dash" : "solid",
              notes: k => side.notes({...at, [how.y]: side.along[how.y][k]}), x: side.along[how.y].map(p => p.label),
              y: side.along[how.y].map(row => side.get({...at, [how.y]: row}))};
    });
    return lineSpec(variable, titleOf(variable, sides, all), how.y, series, all, sides, {names: true, none: `Nothing was measured at ${dimWord(how.x)} ${placeOf(sides[0], how.x, own.at[how.x]).label}.`});
  }

  function linesOf(variable, how, sides, fixed, own) {
    const series = [];
    for (const side of sides) {
      const at = atOf(side, fixed), each = how.series ? side.along[how.series] : [null];
      each.forEach((one, i) => {
        const place = {...at, ...(one ? {[how.series]: one} : {})};
        const scale = own.share && side.trace ? side.trace.get(Object.fromEntries(side.trace.variable.dims.map(dim => [dim, match(side, dim, place)]))) : 1;
        series.push({name: [sides.length > 1 ? side.name : "", one ? one.label : sides.length > 1 ? "" : words(variable.name)].filter(Boolean).join(" "), split: one ? one.label : "",
                     side: side.name.toLowerCase(), dash: i === each.length - 1 ? "solid" : ["dash", "dot", "dashdot"][i % 3],
                     symbol: (side.name === "B" ? "square" : "circle") + (i === each.length - 1 ? "" : "-open"),
                     x: side.along[how.x].map(p => (typeof p.value === "number" ? p.value : p.label)),
                     y: side.along[how.x].map(p => side.get({...place, [how.x]: p}) / scale)});
      });
    }
    if (how.x === "component") for (const one of series) one.x = one.x.map(value => (Number(meta().dims.component.values[0]) === 0 ? value + 1 : value));
    for (const one of series) {
      const known = one.y.map((value, i) => i).filter(i => Number.isFinite(one.y[i]));
      one.x = known.map(i => one.x[i]);
      one.y = known.map(i => one.y[i]);
    }
    return lineSpec(variable, titleOf(variable, sides, fixed, own.share && sides[0].trace ? ", as share of the variance" : ""), how.x, series, fixed, sides,
                    {names: series.some(one => one.x.some(x => typeof x === "string")), log: how.x === "component" && own.log, share: Boolean(own.share && sides[0].trace), whole: Data.isTime(how.x), seriesDim: how.series});
  }

  /* The place of another variable along a dimension that it shares with this one; thinned variables have fewer places. */
  function match(side, dim, place) {
    const places = side.trace.along[dim];
    return places.find(one => place[dim] && one.value === place[dim].value) || places[places.length - 1];
  }

  function lineSpec(variable, title, x, series, fixed, sides, more) {
    const name = variable.name + (more.share ? "_share" : "");
    const head = ["side", ...Object.keys(fixed), ...(more.seriesDim ? [more.seriesDim] : []), x, name];
    const sideOf = one => sides.find(side => side.name.toLowerCase() === one.side);
    return {title, xTitle: dimWord(x), valueTitle: words(variable.name) + (more.share ? ", share of the variance" : ""), series, head, ...more,
            hover: (one, k, text) => `<b>${Draw.plain(one.name)}</b>${one.name === words(variable.name) ? "" : ` ${Draw.plain(words(variable.name))}`} <b>${valueText(variable, text)}</b><br>${Draw.plain(`${dimWord(x)} ${one.x[k]}`)}${one.notes ? noted(one.notes(k)) : ""}`,
            rows: () => series.flatMap(one => one.y.map((value, k) => [one.side.toUpperCase(), ...about(variable, sideOf(one), fixed), ...(more.seriesDim ? [one.split] : []), one.x[k], number(value)]))
              .filter(row => row[row.length - 1] !== "")};
  }

  /* ---- the address: a page that is loaded again, or a link, shows the same ---- */

  function keep() {
    const numbers = points => points.map(point => Data.column("point")[point]).join("-");
    const at = new URLSearchParams({tab: state.tab, a: numbers(state.a)});
    if (state.b) at.set("b", numbers(state.b));
    const own = state.of[state.tab];
    if (own && own.measure) at.set("measure", own.measure);
    for (const [dim, index] of Object.entries((own && own.at) || {})) at.set(`at.${dim}`, index);
    try { history.replaceState(null, "", `#${at}`); } catch (error) { /* a page that may not change its address */ }
  }

  function restore() {
    const at = new URLSearchParams(location.hash.slice(1));
    const points = text => (text || "").split("-").map(number => Data.column("point").indexOf(Number(number))).filter(i => i >= 0);
    const seeds = Data.axes().some(axis => axis.name === "seed");
    state.a = at.has("a") && points(at.get("a")).length ? points(at.get("a")) : seeds ? Data.find({...Data.choiceOf([0]), seed: "*"}) : [0];
    state.b = at.has("b") && points(at.get("b")).length ? points(at.get("b")) : null;
    if (!TABS.some(([id]) => id === at.get("tab"))) return;
    state.tab = at.get("tab");
    const variable = meta().variables.find(v => v.name === at.get("measure") && group(v) === state.tab);
    if (!variable) return;
    const own = state.of[state.tab] = {measure: variable.name, at: {}};
    for (const [key, value] of at) if (key.startsWith("at.") && Number.isInteger(Number(value))) own.at[key.slice(3)] = Math.max(0, Number(value));
  }

  /* The switch of the theme: as the system has it, light, dark. */
  function theme() {
    const button = document.getElementById("theme"), order = ["", "light", "dark"], page = document.documentElement;
    const show = () => { button.textContent = `Theme: ${page.dataset.theme || "as the system"}`; };
    try { if (order.includes(localStorage.getItem("eigenscope-theme"))) page.dataset.theme = localStorage.getItem("eigenscope-theme") || ""; } catch (error) { /* no storage */ }
    if (!page.dataset.theme) delete page.dataset.theme;
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      const next = order[(order.indexOf(page.dataset.theme || "") + 1) % 3];
      if (next) page.dataset.theme = next; else delete page.dataset.theme;
      try { localStorage.setItem("eigenscope-theme", next); } catch (error) { /* no storage */ }
      show();
      if (root) draw(false);
    });
  }
  theme();

  return {start, state};
})();

/* ---- all points: one number against another ---- */

const Points = (() => {
  const {make, number} = Draw;
  const ROWS = 50;
  const own = {x: "saturation", y: "accuracy", colour: "", hidden: {}};

  const columns = () => Object.keys(Data.meta().columns).filter(name => name !== "point" && Data.column(name).some(value => typeof value === "number"));
  const textOf = (axis, value) => axis.texts[axis.values.indexOf(value)];
  const chosen = () => Array.from({length: Data.size()}, (_, i) => i).filter(i => Data.axes().every(axis => !(own.hidden[axis.name] || new Set()).has(Data.column(axis.name)[i])));

  async function show(panel, state, charts, refresh, again) {
    if (!charts.points) {
      charts.points = new Draw.Chart("chart-points", "the points");
      panel.replaceChildren(fields(again), charts.points.element, make("div", {id: "points-table"}));
    }
    const points = chosen(), axis = Data.axes().find(one => one.name === own.colour);
    const values = axis ? axis.values : [null];
    const place = point => `${Data.nameOf([point])}`;
    const series = values.map((value, i) => {
      const mine = points.filter(point => value === null || Data.column(axis.name)[point] === value)
        .filter(point => typeof Data.column(own.x)[point] === "number" && typeof Data.column(own.y)[point] === "number");
      return {name: axis ? axis.texts[i] : "points", points: mine, x: mine.map(p => Data.column(own.x)[p]), y: mine.map(p => Data.column(own.y)[p]),
              symbol: ["circle", "square", "diamond", "cross", "triangle-up", "star"][i % 6]};
    });
    const words = name => name.replaceAll("_", " ");
    await charts.points.show({title: `${words(own.y)} against ${words(own.x)}, ${points.length} points`, xTitle: words(own.x), valueTitle: words(own.y), series, marksOnly: true,
      height: 460, head: ["point", ...Data.axes().map(one => one.name), own.x, own.y],
      hover: (one, k, text) => `<b>${Draw.plain(place(one.points[k]))}</b><br>${words(own.x)} ${number(one.x[k])}<br>${words(own.y)} ${text}`,
      click: point => { state.a = [series[point.curveNumber].points[point.pointNumber]]; refresh(); },
      rows: () => series.flatMap(one => one.points.map((p, k) => [Data.column("point")[p], ...Data.axes().map(axis => Data.column(axis.name)[p]), number(one.x[k]), number(one.y[k])]))});
    table(points, state, refresh);
  }

  function fields(again) {
    const pick = (id, text, options, value, act) => {
      const list = make("select", {id, onchange: event => { act(event.target.value); again(); }});
      for (const [word, label] of options) list.append(new Option(label, word, false, word === value));
      return make("label", {}, make("span", {}, text), list);
    };
    const names = columns();
    if (!names.includes(own.x)) own.x = names[0];
    if (!names.includes(own.y)) own.y = names[names.length - 1];
    const axes = Data.axes();
    if (!own.colour) own.colour = (axes.find(axis => axis.name === "width") || axes[0] || {name: ""}).name;
    const options = names.map(name => [name, name.replaceAll("_", " ")]);
    const filters = axes.filter(axis => axis.values.length <= 24).map(axis => make("fieldset", {class: "filter"}, make("legend", {}, axis.text), ...axis.values.map((value, i) => {
      const box = make("input", {type: "checkbox", checked: true, onchange: event => {
        const hidden = own.hidden[axis.name] || (own.hidden[axis.name] = new Set());
        if (event.target.checked) hidden.delete(value); else hidden.add(value);
        again();
      }});
      box.checked = !(own.hidden[axis.name] || new Set()).has(value);
      return make("label", {class: "tick"}, box, ` ${axis.texts[i]}`);
    })));
    return make("div", {class: "controls"}, make("div", {class: "fields"}, pick("points-x", "across", options, own.x, value => { own.x = value; }),
      pick("points-y", "up", options, own.y, value => { own.y = value; }),
      pick("points-colour", "colour", axes.map(axis => [axis.name, axis.text]), own.colour, value => { own.colour = value; })),
      make("div", {class: "fields filters"}, ...filters), make("p", {class: "soft"}, "A click on a mark makes its point A. The table has the same points."));
  }

  function table(points, state, refresh) {
    const axes = Data.axes(), names = [own.x, own.y].filter((name, i, all) => all.indexOf(name) === i), shown = points.slice(0, ROWS);
    const head = ["point", ...axes.map(axis => axis.text), ...names.map(name => name.replaceAll("_", " ")), "verdict", "choose"];
    const row = point => make("tr", {}, make("td", {}, String(Data.column("point")[point])), ...axes.map(axis => make("td", {}, textOf(axis, Data.column(axis.name)[point]))),
      ...names.map(name => make("td", {class: "number"}, number(Data.column(name)[point]) || "–")), make("td", {}, Data.column("verdict")[point] || ""),
      make("td", {}, ...["a", "b"].map(side => make("button", {type: "button", class: "small", "aria-label": `point ${Data.column("point")[point]} as ${side.toUpperCase()}`,
        onclick: () => { state[side] = [point]; refresh(); }}, side.toUpperCase()))));
    const made = make("table", {}, make("caption", {class: "unseen"}, "Points"), make("thead", {}, make("tr", {}, ...head.map(text => make("th", {scope: "col"}, text)))), make("tbody", {}, ...shown.map(row)));
    document.getElementById("points-table").replaceChildren(make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": "table of points"}, made),
      points.length > ROWS ? make("p", {class: "soft"}, `${ROWS} of ${points.length} points are listed. Fewer values of the axes above, or the CSV, show the others.`) : "");
  }

  return {show};
})();

/* Plotly is the largest file: the page is readable before Plotly has arrived. */
(() => {
  const script = document.getElementById("plotly");
  if (window.Plotly) Draw.arrived();
  else script.addEventListener("load", () => Draw.arrived());
})();
