//! The status page for a browser, on `/` of the admin listener.
//!
//! It is made from the same values as the JSON pages. It has no script and loads nothing.

mod html;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use self::html::Html;
use crate::build;
use crate::observe::debug::{BreakerState, CellShown, EndpointShown, EndpointsPage, Facts, Keys};
use crate::observe::ready::Status;

const STYLE: &str = include_str!("style.css");

/// What the page is made from.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) status: Status,
    pub(super) facts: Facts,
    /// `None` if the control task doesn't answer.
    pub(super) endpoints: Option<EndpointsPage>,
    /// The most frequent reasons of the router's own answers since its start.
    pub(super) reasons: Vec<(&'static str, u64)>,
}

/// The value of `Content-Security-Policy`. The browser loads nothing and runs no script, even if a
/// text were not escaped.
pub(super) fn content_security_policy() -> String {
    let style = STANDARD.encode(digest(&SHA256, STYLE.as_bytes()));
    format!(
        "default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    )
}

impl Seen {
    pub(super) fn render(&self) -> String {
        let mut html = Html::default();
        html.markup("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">")
            .markup("<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">")
            .markup("<title>Cellway: ")
            .text(self.status.status)
            .markup("</title><style>")
            .markup(STYLE)
            .markup("</style></head><body><main>\n");
        self.head(&mut html);
        self.facts(&mut html);
        self.notes(&mut html);
        self.refused(&mut html);
        self.cells(&mut html);
        self.keys(&mut html);
        self.listeners(&mut html);
        self.reasons(&mut html);
        html.markup("<nav aria-label=\"Other pages\">");
        for (path, name) in PAGES {
            html.markup("<a href=\"").markup(path).markup("\">");
            html.markup(name).markup("</a>");
        }
        html.markup("</nav>\n</main></body></html>\n");
        html.finish()
    }

    fn head(&self, html: &mut Html) {
        let tone = match self.status.status {
            "ready" => Tone::Good,
            "failed" => Tone::Bad,
            _ => Tone::Warn,
        };
        html.markup("<header><h1>Cellway</h1>");
        state(html, tone, self.status.status);
        html.markup("<span class=\"soft\">")
            .text(build::LONG)
            .markup("</span></header>\n");
    }

    fn facts(&self, html: &mut Html) {
        let registry = self.facts.registry.as_ref();
        let version = registry.map_or_else(|| "none".to_owned(), |it| it.version.to_string());
        let age = registry.and_then(|it| it.age_secs);
        let age = match (self.status.registry_stale, age) {
            (true, Some(age)) => format!("{} (stale)", ago(age)),
            (true, None) => "stale".to_owned(),
            (false, Some(age)) => ago(age),
            (false, None) => "current".to_owned(),
        };
        let tenants = registry.map_or(0, |it| it.tenants);
        html.markup("<dl class=\"facts\">");
        for (name, value) in [
            ("Registry version", version),
            ("Registry confirmed", age),
            ("Cells", self.status.cells.to_string()),
            ("Tenants", tenants.to_string()),
            (
                "Reloads",
                self.facts.config_epoch.saturating_sub(1).to_string(),
            ),
        ] {
            html.markup("<div><dt>").markup(name).markup("</dt><dd>");
            html.text(value).markup("</dd></div>");
        }
        html.markup("</dl>\n");
    }

    fn notes(&self, html: &mut Html) {
        let notes = self.status.lacks.iter().chain(&self.status.warnings);
        if notes.clone().next().is_none() {
            return;
        }
        html.markup("<ul class=\"notes\">");
        for note in notes {
            html.markup("<li>").text(note).markup("</li>");
        }
        html.markup("</ul>\n");
    }

    /// Newer settings and registries that are not in force.
    fn refused(&self, html: &mut Html) {
        let refused = &self.facts.refused;
        if refused.is_empty() {
            return;
        }
        html.markup("<h2>Refused changes</h2>\n<div class=\"card\">");
        head_row(html, &["What", "When", "Why"]);
        for (what, refusal) in [("reload", &refused.reload), ("registry", &refused.registry)] {
            let Some(refusal) = refusal else { continue };
            html.markup("<tr>");
            field(html, "What", what);
            field(html, "When", &refusal.at);
            html.markup("<td data-label=\"Why\" class=\"lines\">");
            html.text(&refusal.why).markup("</td></tr>");
        }
        html.markup("</tbody></table></div>\n");
    }

    fn cells(&self, html: &mut Html) {
        html.markup("<h2>Cells</h2>\n");
        let Some(page) = &self.endpoints else {
            html.markup("<p class=\"bad\">The control task doesn't answer.</p>\n");
            return;
        };
        if page.cells.is_empty() {
            html.markup("<p class=\"soft\">None.</p>\n");
        }
        for shown in &page.cells {
            cell(html, shown);
        }
        if let Some(next) = &page.next {
            html.markup("<p><a href=\"/?after=")
                .text(html::in_query(next));
            html.markup("\">More cells</a></p>\n");
        }
    }

    fn keys(&self, html: &mut Html) {
        html.markup("<h2>Key sets</h2>\n<div class=\"card\">");
        head_row(
            html,
            &["Issuer", "State", "Fetched", "Failures in a row", "Keys"],
        );
        for (
            name,
            Keys {
                state: word, kids, ..
            },
        ) in &self.facts.keys
        {
            let issuer = self.status.issuers.get(name);
            let age = issuer.and_then(|issuer| issuer.age_secs);
            let failures = issuer.map_or(0, |issuer| issuer.consecutive_failures);
            let tone = match *word {
                "fresh" => Tone::Good,
                "stale" => Tone::Warn,
                _ => Tone::Bad,
            };
            html.markup("<tr>");
            field(html, "Issuer", name);
            html.markup("<td data-label=\"State\">");
            state(html, tone, word);
            html.markup("</td>");
            field(html, "Fetched", age.map_or_else(|| "never".to_owned(), ago));
            field(html, "Failures in a row", failures);
            field(html, "Keys", kids.join(", "));
            html.markup("</tr>");
        }
        html.markup("</tbody></table></div>\n");
    }

    fn listeners(&self, html: &mut Html) {
        html.markup("<h2>Listeners</h2>\n<div class=\"card\">");
        head_row(
            html,
            &["Name", "Address", "TLS", "Serves", "Policy", "Mode"],
        );
        for listener in &self.facts.listeners {
            let mode = self.status.listeners.get(&listener.name);
            html.markup("<tr>");
            field(html, "Name", &listener.name);
            field(html, "Address", &listener.bind);
            field(html, "TLS", if listener.tls { "yes" } else { "no" });
            field(html, "Serves", listener.serves);
            field(html, "Policy", &listener.policy);
            field(html, "Mode", mode.map_or("", |listener| listener.mode));
            html.markup("</tr>");
        }
        html.markup("</tbody></table></div>\n");
    }

    fn reasons(&self, html: &mut Html) {
        html.markup("<h2>Most frequent refusals since the start</h2>\n<div class=\"card\">");
        if self.reasons.is_empty() {
            html.markup("<span class=\"soft\">None.</span></div>\n");
            return;
        }
        head_row(html, &["Reason", "Answers"]);
        for (reason, count) in &self.reasons {
            html.markup("<tr>");
            field(html, "Reason", reason);
            field(html, "Answers", count);
            html.markup("</tr>");
        }
        html.markup("</tbody></table></div>\n");
    }
}

const PAGES: [(&str, &str); 5] = [
    ("/readyz", "Readiness"),
    ("/metrics", "Metrics"),
    ("/debug/snapshot", "Snapshot"),
    ("/debug/endpoints", "Endpoints"),
    ("/healthz", "Health"),
];

/// How a state looks. The word says the same.
#[derive(Clone, Copy)]
enum Tone {
    Good,
    Warn,
    Bad,
}

fn state(html: &mut Html, tone: Tone, word: &str) {
    html.markup(match tone {
        Tone::Good => "<span class=\"state good\">",
        Tone::Warn => "<span class=\"state warn\">",
        Tone::Bad => "<span class=\"state bad\">",
    });
    html.text(word.replace('_', " ")).markup("</span>");
}

fn cell(html: &mut Html, cell: &CellShown) {
    let tone = match cell.state {
        "active" => Tone::Good,
        "quarantined" => Tone::Bad,
        _ => Tone::Warn,
    };
    html.markup("<section class=\"card\"><header><h3>")
        .text(&cell.id)
        .markup("</h3>");
    state(html, tone, cell.state);
    html.markup("<span class=\"soft\">")
        .text(&cell.tier)
        .markup(" · ")
        .text(&cell.region);
    if let Some(percent) = cell.drained_percent {
        html.text(format_args!(" · {percent} % drained"));
    }
    html.text(format_args!(
        " · {} in flight, {} waiting, {}",
        cell.requests_in_flight,
        cell.requests_waiting,
        counted(cell.connections as u64, "connection")
    ));
    html.markup("</span></header>");
    if !cell.endpoints.is_empty() {
        let heads = [
            "Endpoint",
            "State",
            "Share",
            "In flight",
            "Connections",
            "Notes",
        ];
        head_row(html, &heads);
        for shown in &cell.endpoints {
            endpoint(html, shown);
        }
        html.markup("</tbody></table>");
    }
    html.markup("</section>\n");
}

fn endpoint(html: &mut Html, endpoint: &EndpointShown) {
    let tone = match endpoint.state {
        "usable" => Tone::Good,
        "ejected" | "unhealthy" | "circuit_open" => Tone::Bad,
        _ => Tone::Warn,
    };
    html.markup("<tr>");
    field(html, "Endpoint", &endpoint.url);
    html.markup("<td data-label=\"State\">");
    state(html, tone, endpoint.state);
    html.markup("</td>");
    field(html, "Share", format_args!("{} %", endpoint.share_percent));
    field(html, "In flight", endpoint.requests_in_flight);
    let (open, idle) = (endpoint.connections.open, endpoint.connections.idle);
    field(
        html,
        "Connections",
        format_args!("{open} open, {idle} idle"),
    );
    field(html, "Notes", notes(endpoint).join("; "));
    html.markup("</tr>");
}

/// What explains the endpoint's state.
fn notes(endpoint: &EndpointShown) -> Vec<String> {
    let mut notes = Vec::new();
    if let Some(left) = endpoint.ejected_for_ms {
        notes.push(format!("ejected for {}", span(left.div_ceil(1000))));
    }
    match endpoint.breaker {
        BreakerState::Closed | BreakerState::HalfOpen => {}
        BreakerState::Suspect { failures } => {
            notes.push(format!("{} in a row", counted(failures, "failure")));
        }
        BreakerState::Open { left_ms } => {
            notes.push(format!("breaker open for {}", span(left_ms.div_ceil(1000))));
        }
    }
    if endpoint.ejections > 0 {
        notes.push(counted(endpoint.ejections.into(), "ejection"));
    }
    let last = endpoint
        .check
        .as_ref()
        .and_then(|check| check.last.as_ref());
    if let Some(last) = last {
        let detail = last.detail.as_deref().unwrap_or(last.result);
        notes.push(format!("check {}: {detail}", ago(last.ago_ms / 1000)));
    }
    notes
}

fn head_row(html: &mut Html, names: &[&'static str]) {
    html.markup("<table><thead><tr>");
    for name in names {
        html.markup("<th scope=\"col\">")
            .markup(name)
            .markup("</th>");
    }
    html.markup("</tr></thead><tbody>");
}

/// One field of a row. A narrow screen shows the label beside it.
fn field(html: &mut Html, label: &'static str, value: impl std::fmt::Display) {
    html.markup("<td data-label=\"").markup(label).markup("\">");
    html.text(value).markup("</td>");
}

/// A time in the largest unit that fits.
fn span(secs: u64) -> String {
    match secs {
        0..120 => format!("{secs} s"),
        120..7_200 => format!("{} min", secs / 60),
        7_200..172_800 => format!("{} h", secs / 3_600),
        _ => format!("{} days", secs / 86_400),
    }
}

fn ago(secs: u64) -> String {
    format!("{} ago", span(secs))
}

/// A number of things.
fn counted(number: u64, thing: &str) -> String {
    match number {
        1 => format!("1 {thing}"),
        number => format!("{number} {thing}s"),
    }
}

#[cfg(test)]
mod tests;
