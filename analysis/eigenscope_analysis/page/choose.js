/* The data of the explorer: reads numbers from the files in data/ when they are needed, and finds points by their axes. */
"use strict";

const Data = (() => {
  const chunks = new Map(), waiting = new Map();
  let meta = null, folder = "";

  function open(description) {
    meta = description;
    folder = document.querySelector('script[src^="data/"]').getAttribute("src").replace(/index\.js$/, "");
  }

  /* A file of a stream as an ArrayBuffer. fetch() may read no files of a page from disk, but a page may load scripts from disk. */
  function chunk(name) {
    if (!chunks.has(name)) {
      chunks.set(name, new Promise((resolve, reject) => {
        const script = document.createElement("script");
        waiting.set(name, resolve);
        script.src = folder + name + ".js";
        script.onload = () => script.remove();
        script.onerror = () => reject(new Error(`${script.src} cannot be read; copy the whole folder of the page`));
        document.head.append(script);
      }).then(unpack));
    }
    return chunks.get(name);
  }

  function unpack(text) {
    if (typeof DecompressionStream === "undefined") {
      throw new Error("this browser is too old for the explorer; Chrome 80, Firefox 113 and Safari 16.4 or later can read its data");
    }
    const bytes = Uint8Array.from(atob(text), letter => letter.charCodeAt(0));
    return new Response(new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"))).arrayBuffer();
  }

  /* The numbers of a variable at one point, in C order. */
  async function atPoint(variable, point) {
    const stream = meta.streams[variable.stream], firsts = stream.firsts;
    let i = firsts.length - 1;
    while (firsts[i] > point) i--;
    const buffer = await chunk(variable.stream + i);
    const start = (point - firsts[i]) * stream.record + variable.offset;
    return variable.type === "<f8" ? new Float64Array(buffer, start, variable.count) : new Float32Array(buffer, start, variable.count);
  }

  /* The numbers of a variable at several points: the mean over the points that have a number. */
  async function numbers(variable, points) {
    const all = await Promise.all(points.map(point => atPoint(variable, point)));
    if (all.length === 1) return all[0];
    return Float64Array.from(all[0], (_, i) => {
      let sum = 0, n = 0;
      for (const one of all) if (!Number.isNaN(one[i])) { sum += one[i]; n++; }
      return n ? sum / n : NaN;
    });
  }

  const isLayer = name => name.includes("layer");
  const isTime = name => name === "epoch" || name === "step" || name.endsWith("_epoch") || name.endsWith("_step");
  const isClass = name => name === "class" || name === "predicted_class";

  /* Places along a dimension of a variable: [{at, value, label}]. Layers that a network does not have are left out. */
  function places(variable, dim, point) {
    const stored = meta.dims[dim].values, names = meta.networks[meta.network[point]];
    const chosen = variable.at[dim] || stored.map((_, i) => i);
    return chosen.map((index, at) => {
      const value = stored[index];
      if (dim === "other_point") return {at, value, label: nameOf([value])};
      if (!isLayer(dim) || typeof value !== "number") return {at, value, label: String(value)};
      return {at, value: value < 0 ? "all" : names[value], label: value < 0 ? "all" : names[value]};
    }).filter(place => place.label !== "" && place.label !== undefined);
  }

  /* A variable at points: its places along each dimension, and get({dim: place}) for one number. */
  async function read(variable, points) {
    const values = await numbers(variable, points), along = {}, strides = {};
    let stride = 1;
    for (const dim of [...variable.dims].reverse()) {
      strides[dim] = stride;
      stride *= (variable.at[dim] || meta.dims[dim].values).length;
      along[dim] = places(variable, dim, points[0]);
    }
    const get = at => values[variable.dims.reduce((sum, dim) => sum + at[dim].at * strides[dim], 0)];
    return {variable, along, get};
  }

  /* What else is known of a layer at points: the flags of its measurement, and the kind of layer. Of several seeds: what any seed has. */
  async function notes(points) {
    const find = name => meta.variables.find(variable => variable.name === name), found = [];
    for (const [name, word] of [["flags", ""], ["layer_border", "border layer"], ["layer_tail", "tail"], ["layer_output", "output layer"]]) {
      const variable = find(name);
      if (!variable || name !== "flags" && meta.foreign) continue;
      for (const point of points) found.push({word, ...await read(variable, [point])});
    }
    return at => {
      const words = new Set();
      for (const one of found) {
        const dims = one.variable.dims;
        if (!dims.every(dim => at[dim])) continue;
        const value = one.get(Object.fromEntries(dims.map(dim => [dim, one.along[dim].find(place => place.value === at[dim].value) || {at: NaN}])));
        if (one.word && value === 1) words.add(one.word);
        if (!one.word && value > 0) one.variable.flags.words.forEach((word, i) => { if (value & one.variable.flags.numbers[i]) words.add(word); });
      }
      return [...words].join(", ").replaceAll("_", " ");
    };
  }

  /* ---- points ---- */

  const axes = () => meta.axes.filter(axis => axis.values.length > 1);
  const column = name => meta.columns[name] || [];
  const size = () => meta.network.length;

  function choiceOf(points) {
    const choice = {};
    for (const axis of axes()) choice[axis.name] = column(axis.name)[points[0]];
    if (points.length > 1) choice.seed = "*";
    return choice;
  }

  /* Points of a choice {axis: value}. If none has all values, those that have the value of `changed` and most of the others. */
  function find(choice, changed) {
    const names = axes().map(axis => axis.name), fixed = names.filter(name => choice[name] !== "*");
    const score = point => fixed.reduce((n, name) => n + (column(name)[point] === choice[name] ? (name === changed ? 100 : 1) : 0), 0);
    let best = -1, found = [];
    for (let point = 0; point < size(); point++) {
      const now = score(point);
      if (now > best) { best = now; found = []; }
      if (now === best) found.push(point);
    }
    if (choice.seed !== "*") return found.slice(0, 1);
    const others = names.filter(name => name !== "seed");
    found = found.filter(point => others.every(name => column(name)[point] === column(name)[found[0]]));
    const complete = found.filter(point => column("outcome")[point] === undefined || column("outcome")[point] === "complete");
    return complete.length ? complete : found.slice(0, 1);
  }

  function nameOf(points) {
    const first = meta.labels[points[0]];
    if (points.length === 1) {
      const seed = axes().some(axis => axis.name === "seed") && !first.includes("seed ") ? `, seed ${column("seed")[points[0]]}` : "";
      return (first || (size() > 1 ? `point ${column("point")[points[0]]}` : "the network")) + seed;
    }
    return `${first.replace(/(^|, )seed [^,]*/, "") || "the network"}, mean of ${points.length} seeds`;
  }

  return {open, read, notes, places, axes, column, size, find, choiceOf, nameOf, isLayer, isTime, isClass, meta: () => meta,
          arrived: (name, text) => { waiting.get(name)(text); waiting.delete(name); }};
})();

/* Called by the files in data/. */
function eigenscopeIndex(description) { Data.open(description); Explorer.start(); }
function eigenscopeChunk(name, text) { Data.arrived(name, text); }
