/* Charts: heat maps and lines by Plotly, each with its numbers as a table and as CSV, as SVG and PNG, and with the arrow keys. */
"use strict";

const Draw = (() => {
  const SEQUENTIAL = "Viridis";
  let plotly = null;
  const ready = new Promise(resolve => { plotly = resolve; });

  function dark() {
    const chosen = document.documentElement.dataset.theme;
    return chosen ? chosen === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
  }

  const LIGHT = {ink: "#1b2128", soft: "#55606b", line: "#dfe4ea", paper: "#ffffff", a: "#0067a3", b: "#c2500a", zero: "#f2f2f2",
                 series: ["#0067a3", "#c2500a", "#00795a", "#a3457f", "#6a5d00", "#5c4bb0", "#444444"]};
  const DARK = {ink: "#e8ecf0", soft: "#a4afba", line: "#333c46", paper: "#161b21", a: "#5bb4ee", b: "#f2a154", zero: "#2b323a",
                series: ["#5bb4ee", "#f2a154", "#4fd1a8", "#e58fc3", "#d7c84a", "#a99bf0", "#cccccc"]};
  const colours = light => (light || !dark() ? LIGHT : DARK);

  /* Text that Plotly would read as markup. */
  const plain = text => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

  /* A number with seven digits, the same in hover texts, tables and CSV. */
  function number(value) {
    if (value === null || value === undefined || Number.isNaN(value)) return "";
    if (!Number.isFinite(value)) return value > 0 ? "inf" : "-inf";
    return String(Number(value.toPrecision(7)));
  }

  const cell = text => (/[",\n]/.test(String(text)) ? `"${String(text).replaceAll('"', '""')}"` : String(text));
  const csv = (head, rows) => [head, ...rows].map(row => row.map(cell).join(",")).join("\n") + "\n";

  function save(name, content, type) {
    const link = document.createElement("a");
    link.href = typeof content === "string" && content.startsWith("data:") ? content : URL.createObjectURL(new Blob([content], {type}));
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  }

  function make(tag, options = {}, ...children) {
    const element = document.createElement(tag);
    for (const [key, value] of Object.entries(options)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children.filter(child => child !== null));
    return element;
  }

  /* ---- layout ---- */

  function axisLook(look, title, more) {
    return {title: {text: plain(title), font: {size: 12, color: look.soft}, standoff: 8}, color: look.ink, gridcolor: look.line,
            linecolor: look.line, zeroline: false, automargin: true, tickfont: {size: 11}, ...more};
  }

  function baseLayout(look, height) {
    return {height, paper_bgcolor: look.paper, plot_bgcolor: look.paper, font: {family: "system-ui, 'DejaVu Sans', sans-serif", color: look.ink, size: 12},
            margin: {l: 60, r: 20, t: 34, b: 50}, hoverlabel: {font: {size: 13}, align: "left"}, showlegend: false, dragmode: "zoom"};
  }

  /* The ends of long labels: 30 characters, or more where else two labels would look alike. */
  function cut(labels) {
    for (let most = 30; ; most += 15) {
      const short = labels.map(label => (label.length > most ? "…" + label.slice(1 - most) : label));
      if (new Set(short).size === new Set(labels).size) return short;
    }
  }

  const ticks = labels => {
    const step = Math.max(1, Math.ceil(labels.length / 40)), short = cut(labels);
    const at = labels.map((_, i) => i).filter(i => i % step === 0);
    return {tickmode: "array", tickvals: at, ticktext: at.map(i => plain(short[i]))};
  };

  /* Heat maps side by side, or below each other where the page is narrow. Panels: {name, x, y: labels, z: rows, difference}. */
  function heat(spec, width, light) {
    const look = colours(light), panels = spec.panels, wide = width > 620 || panels.length === 1, n = panels.length;
    const square = panels.some(panel => panel.y.join("\n") === panel.x.join("\n"));  // layers against layers
    const rows = Math.max(...panels.map(panel => panel.y.length)), one = Math.min(760, Math.max(240, (square ? 36 : 20) * rows + 110));
    const longest = Math.max(0, ...panels.flatMap(panel => cut(panel.x).map(label => label.length)));
    const labels = longest > 4 ? 44 + 5.2 * longest : 62, more = Math.max(0, labels - 106);  // pixels below the last map
    const layout = baseLayout(look, (wide ? one : one * n) + more), traces = [], gap = wide ? 0.03 : 0.09, part = (1 - gap * (n - 1)) / n;
    layout.annotations = [];
    panels.forEach((panel, i) => {
      const id = i ? String(i + 1) : "", from = i * (part + gap), across = [from, from + part], whole = [0, 1];
      const down = [1 - from - part, 1 - from], same = wide && i > 0 && panel.y.join("\n") === panels[0].y.join("\n");
      const below = !wide && i < n - 1 && panel.x.join("\n") === panels[n - 1].x.join("\n");  // the last map has the same labels
      layout["xaxis" + id] = axisLook(look, below ? "" : spec.xTitle, {...ticks(panel.x), showticklabels: !below, tickangle: panel.x.some(label => label.length > 4) ? -50 : 0, domain: wide ? across : whole,
                                                        anchor: "y" + id, showgrid: false});
      if (!spec.names && panel.x.length > 24) Object.assign(layout["xaxis" + id], everyFew(panel.x));
      layout["yaxis" + id] = axisLook(look, i && wide ? "" : spec.yTitle, {...ticks(panel.y), autorange: "reversed", domain: wide ? whole : down,
                                                                          anchor: "x" + id, showgrid: false, showticklabels: !same});
      if (n > 1) layout.annotations.push({text: `<b>${plain(panel.name)}</b>`, showarrow: false, xref: "paper", yref: "paper", x: wide ? from : 0,
                               y: wide ? 1 : 1 - from, xanchor: "left", yanchor: "bottom", yshift: 6, font: {size: 13, color: look.ink}});
      const colour = panel.difference ? "coloraxis2" : "coloraxis";
      traces.push({type: "heatmap", x: panel.x.map((_, j) => j), y: panel.y.map((_, j) => j), z: panel.z.map(row => row.map(known)),
                   text: panel.z.map((row, r) => row.map((value, c) => spec.hover(panel, r, c, number(value)))), hoverinfo: "text",
                   xaxis: "x" + id, yaxis: "y" + id, coloraxis: colour, xgap: 1, ygap: 1, hoverongaps: false});
    });
    const both = panels.some(panel => panel.difference), bar = {thickness: 12, outlinewidth: 0, tickfont: {size: 11}, title: {side: "right", font: {size: 11}}};
    layout.coloraxis = {colorscale: SEQUENTIAL, ...(spec.range && spec.range.length === 2 ? {cmin: spec.range[0], cmax: spec.range[1]} : {}), colorbar: {...bar, x: 1.01, title: {...bar.title, text: plain(spec.valueTitle)}}};
    if (both) {
      const most = Math.max(0, ...panels.filter(panel => panel.difference).flatMap(panel => panel.z.flat()).filter(Number.isFinite).map(Math.abs)) || 1;
      layout.coloraxis2 = {colorscale: [[0, look.a], [0.5, look.zero], [1, look.b]], cmin: -most, cmax: most,
                           colorbar: {...bar, x: 1.09, title: {...bar.title, text: "B − A"}}};
    }
    if (!wide) {  // below the maps
      layout.margin.b = 108 + labels;
      [layout.coloraxis, layout.coloraxis2].filter(Boolean).forEach((axis, i) => Object.assign(axis.colorbar, {
        orientation: "h", x: 0.5, xanchor: "center", len: 1, yanchor: "top", y: -(labels + 58 * i) / (layout.height - layout.margin.b - 34), title: {...axis.colorbar.title, side: "top"}}));
      layout.height += 100;
    }
    return {traces, layout};
  }

  const known = value => (Number.isFinite(value) ? value : null);
  const everyFew = labels => {
    const step = Math.ceil(labels.length / 12), at = labels.map((_, i) => i).filter(i => i % step === 0);
    return {tickvals: at, ticktext: at.map(i => plain(labels[i]))};
  };

  /* Lines. Series: {name, x: numbers or labels, y, side: "a" or "b", dash}. */
  function lines(spec, width, light) {
    const look = colours(light), layout = baseLayout(look, spec.height || 380);
    const names = spec.names ? [...new Set(spec.series.flatMap(series => series.x))] : null;
    const traces = spec.series.map((series, i) => ({
      type: "scatter", mode: spec.marksOnly ? "markers" : series.y.length > 60 ? "lines" : "lines+markers", name: plain(series.name),
      x: names ? series.x.map(x => names.indexOf(x)) : series.x, y: series.y.map(known),
      text: series.y.map((value, k) => spec.hover(series, k, number(value))), hoverinfo: "text", connectgaps: true,
      line: {color: series.side ? look[series.side] : look.series[i % look.series.length], dash: series.dash || "solid", width: 2},
      marker: {size: spec.marksOnly ? 9 : 6, symbol: series.symbol || (series.side === "b" ? "square" : "circle"), line: {width: spec.marksOnly ? 1 : 0, color: look.paper},
               color: series.side ? look[series.side] : look.series[i % look.series.length]}}));
    layout.xaxis = axisLook(look, spec.xTitle, names ? {...ticks(names), tickangle: names.length > 8 ? -50 : 0} : {type: spec.log ? "log" : "linear"});
    layout.yaxis = axisLook(look, spec.valueTitle, {type: spec.log ? "log" : "linear", exponentformat: "power"});
    if (spec.log) [layout.xaxis.dtick, layout.yaxis.dtick] = ["D2", 1];
    if (spec.whole && spec.series.length && spec.series[0].x.length < 14) layout.xaxis.dtick = 1;
    layout.showlegend = spec.series.length > 1;
    layout.legend = {orientation: "h", y: 1.02, yanchor: "bottom", x: 0, font: {size: 12}};
    layout.margin.t = layout.showlegend ? 60 : 24;
    layout.hovermode = "closest";
    return {traces, layout};
  }

  /* ---- a chart with all that belongs to it ---- */

  class Chart {
    constructor(id, label) {
      this.id = id;
      this.label = label;
      this.title = make("h4", {id: `${id}-title`});
      this.plot = make("div", {class: "plot", id, tabindex: 0, role: "group", "aria-roledescription": "chart", "aria-labelledby": `${id}-title ${id}-keys`,
                               onkeydown: event => this.key(event), onblur: () => this.leave()});
      this.said = make("p", {class: "said", "aria-live": "polite"});
      this.body = make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": `numbers: ${label}`});
      this.details = make("details", {class: "numbers", ontoggle: () => this.table()}, make("summary", {}, "Numbers as a table"), this.body);
      const button = (text, what, act) => make("button", {type: "button", class: "small", "aria-label": `${text} of ${label}`, "data-save": what, onclick: act}, text);
      this.buttons = make("div", {class: "buttons"}, button("SVG", "svg", () => this.picture("svg")), button("PNG", "png", () => this.picture("png")),
                          button("CSV", "csv", () => save(`${this.file()}.csv`, csv(this.spec.head, this.spec.rows()), "text/csv")));
      this.element = make("section", {class: "chart", "aria-labelledby": `${id}-title`}, make("div", {class: "head"}, this.title, this.buttons), this.plot,
                          make("p", {id: `${id}-keys`, class: "unseen"}, "Arrow keys move from value to value."), this.said, this.details);
    }

    file() { return this.spec.title.toLowerCase().replace(/[^a-z0-9]+/g, "-").replace(/^-|-$/g, "").slice(0, 80) || this.id; }

    async show(spec) {
      this.spec = spec;
      this.title.textContent = spec.title;
      this.at = null;
      this.table();
      const empty = !(spec.panels ? spec.panels.flatMap(panel => panel.z.flat()) : spec.series.flatMap(series => series.y)).some(Number.isFinite);
      this.element.classList.toggle("empty", empty);
      this.said.textContent = empty ? spec.none || "Nothing was measured here." : "";
      const Plotly = await ready;
      if (spec !== this.spec) return;
      const {traces, layout} = this.made(false), width = this.plot.clientWidth;
      if (this.width !== undefined && this.width !== width) Plotly.purge(this.plot);  // else Plotly keeps the old width and margins
      this.width = width;
      await Plotly.react(this.plot, traces, layout, {displaylogo: false, responsive: true, displayModeBar: false, doubleClick: "reset"});
      this.plot.removeAllListeners?.("plotly_click");
      if (spec.click) this.plot.on("plotly_click", event => spec.click(event.points[0]));
      this.plot.dataset.drawn = String(Number(this.plot.dataset.drawn || 0) + 1);
    }

    made(light) { return (this.spec.panels ? heat : lines)(this.spec, this.plot.clientWidth || 900, light); }

    async picture(format) {
      const Plotly = await ready, {traces, layout} = this.made(true), width = Math.max(700, this.plot.clientWidth);
      const address = await Plotly.toImage({data: traces, layout}, {format, width, height: layout.height, scale: format === "png" ? 2 : 1});
      if (format === "svg") save(`${this.file()}.svg`, decodeURIComponent(address.slice(address.indexOf(",") + 1)), "image/svg+xml");
      else save(`${this.file()}.png`, address, "image/png");
    }

    table() {
      if (!this.details.open || !this.spec) { this.body.replaceChildren(); return; }
      const rows = this.spec.rows(), shown = rows.slice(0, 500);
      const head = make("tr", {}, ...this.spec.head.map(text => make("th", {scope: "col"}, text)));
      const table = make("table", {}, make("caption", {}, this.spec.title), make("thead", {}, head),
                         make("tbody", {}, ...shown.map(row => make("tr", {}, ...row.map(text => make("td", {}, String(text)))))));
      this.body.replaceChildren(table, shown.length < rows.length ? make("p", {}, `${shown.length} of ${rows.length} rows are shown; the CSV has all.`) : "");
    }

    /* Arrow keys: the same texts as by the mouse, and said to a screen reader. */
    async key(event) {
      const step = {ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0]}[event.key];
      if (event.key === "Escape") this.leave();
      if (!step || !this.spec) return;
      event.preventDefault();
      const Plotly = await ready, data = this.plot.data, heatmap = Boolean(this.spec.panels), clamp = (i, n) => Math.max(0, Math.min(n - 1, i));
      if (!this.at) this.at = {curve: 0, row: 0, column: 0};
      else if (heatmap) {
        const z = data[this.at.curve].z;
        this.at.row = clamp(this.at.row + step[0], z.length);
        this.at.column += step[1];
        const next = this.at.column < 0 ? -1 : this.at.column >= z[0].length ? 1 : 0;
        if (next && data[this.at.curve + next]) { this.at.curve += next; this.at.column = next > 0 ? 0 : data[this.at.curve].z[0].length - 1; }
        this.at.row = clamp(this.at.row, data[this.at.curve].z.length);
        this.at.column = clamp(this.at.column, data[this.at.curve].z[0].length);
      } else {
        this.at.curve = clamp(this.at.curve + step[0], data.length);
        this.at.column = clamp(this.at.column + step[1], data[this.at.curve].y.length);
      }
      const trace = data[this.at.curve], text = heatmap ? trace.text[this.at.row][this.at.column] : trace.text[this.at.column];
      const subplot = (trace.xaxis || "x") + (trace.yaxis || "y");
      try {
        Plotly.Fx.hover(this.plot, [{curveNumber: this.at.curve, pointNumber: heatmap ? [this.at.row, this.at.column] : this.at.column}], [subplot]);
      } catch (error) { /* a value without a place: the text below is enough */ }
      this.said.textContent = text.replaceAll("<br>", ", ").replace(/<\/?b>/g, "").replaceAll("&lt;", "<").replaceAll("&gt;", ">").replaceAll("&amp;", "&");
    }

    async leave() { if (this.at) { (await ready).Fx.unhover(this.plot); this.at = null; } }
  }

  return {Chart, make, number, plain, dark, csv, arrived: () => plotly(window.Plotly)};
})();
