// @ts-check
// The same thing in Jaeger, Grafana, Kibana or Prometheus.

/** @typedef {{ stack: string, title: string, links: Record<string, string>, deliversAlerts: boolean, drills: any[], version: string }} About */
/** @typedef {{ language: string, text: string }} Query */

/** @type {About | undefined} */
let about;

/** @param {About} found */
export function know(found) {
  about = found;
}

/** @returns {Record<string, string>} */
function pages() {
  return about?.links ?? {};
}

/** A page of Grafana's Explore with one query. @param {string} source @param {string} type @param {Record<string, unknown>} query */
function explore(source, type, query) {
  const pane = {
    datasource: source,
    queries: [{ refId: "A", datasource: { type, uid: source }, ...query }],
    range: { from: "now-6h", to: "now" },
  };
  return `${pages().grafana}/explore?schemaVersion=1&orgId=1&panes=${encodeURIComponent(JSON.stringify({ t: pane }))}`;
}

/** Where a trace is shown. @param {string} id @param {string} [span] @returns {{ name: string, href: string } | null} */
export function traceLink(id, span) {
  const { jaeger, kibana, grafana } = pages();
  if (jaeger) return { name: "Jaeger", href: `${jaeger}/trace/${id}${span ? `?uiFind=${span}` : ""}` };
  if (kibana) return { name: "Kibana", href: `${kibana}/app/apm/link-to/trace/${id}` };
  if (grafana) return { name: "Grafana", href: explore("traces", "tempo", { queryType: "traceql", query: id }) };
  return null;
}

/** Where a query of the journey is asked. @param {Query} query @returns {{ name: string, href: string } | null} */
export function queryLink({ language, text }) {
  const { grafana, kibana, prometheus } = pages();
  if (language === "LogQL" && grafana) return { name: "Grafana", href: explore("logs", "loki", { expr: text }) };
  if (language === "TraceQL" && grafana) {
    return { name: "Grafana", href: explore("traces", "tempo", { queryType: "traceql", query: text }) };
  }
  if (language === "KQL" && kibana) {
    const quoted = text.replaceAll("!", "!!").replaceAll("'", "!'");
    const state = `(query:(language:kuery,query:'${encodeURIComponent(quoted)}'))`;
    return { name: "Kibana", href: `${kibana}/app/discover#/?_g=(time:(from:now-6h,to:now))&_a=${state}` };
  }
  if (language === "PromQL" && prometheus) {
    return { name: "Prometheus", href: `${prometheus}/graph?g0.expr=${encodeURIComponent(text)}&g0.tab=0&g0.range_input=15m` };
  }
  if (language === "PromQL" && grafana) return { name: "Grafana", href: explore("metrics", "prometheus", { expr: text }) };
  return null;
}

/** Where an e-mail is shown. @param {string | null} page */
export function emailLink(page) {
  const { mailpit } = pages();
  return page && mailpit ? { name: "Mailpit", href: `${mailpit}/view/${encodeURIComponent(page)}` } : null;
}

/** Where alerts are shown. */
export function alertsLink() {
  const { alertmanager } = pages();
  return alertmanager ? { name: "Alertmanager", href: alertmanager } : null;
}
