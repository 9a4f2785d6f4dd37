//! What is new in a registry, in words.

use crate::fact::Published;

/// The most differences between two registries that are named.
const NEWS_MAX: usize = 4;

/// What is new in a registry.
pub(super) fn news(last: Option<&Published>, now: &Published) -> String {
    let Some(last) = last else {
        let tenants = now.assignment.len();
        return format!("the first one, with {tenants} tenants");
    };
    let mut news = Vec::new();
    for (tenant, cells) in &now.assignment {
        if last.assignment.get(tenant) != Some(cells) {
            let cells: Vec<_> = cells.iter().map(String::as_str).collect();
            news.push(match cells.is_empty() {
                true => format!("{tenant} is at no cell"),
                false => format!("{tenant} is at {}", cells.join(", ")),
            });
        }
    }
    let gone = last.assignment.keys();
    let gone = gone.filter(|tenant| !now.assignment.contains_key(*tenant));
    news.extend(gone.map(|tenant| format!("{tenant} is gone")));
    let suspended = now.suspended.difference(&last.suspended);
    news.extend(suspended.map(|tenant| format!("{tenant} is suspended")));
    let restored = last.suspended.difference(&now.suspended);
    news.extend(restored.map(|tenant| format!("{tenant} is suspended no longer")));
    let revoked = now.revoked.difference(&last.revoked);
    news.extend(revoked.map(|(tenant, subject)| format!("{subject} of {tenant} is revoked")));
    for (id, cell) in &now.cells {
        match last.cells.get(id) {
            Some(before) if before.state != cell.state => {
                news.push(format!("cell {id} is {}", cell.state.as_str()));
            }
            Some(before) if before.endpoints != cell.endpoints => {
                let hosts: Vec<_> = cell.endpoints.iter().map(String::as_str).collect();
                news.push(format!("cell {id} is served by {}", hosts.join(", ")));
            }
            Some(_) => {}
            None => news.push(format!("cell {id} is new")),
        }
    }
    if news.is_empty() {
        return "no tenant and no cell differs".to_owned();
    }
    let more = news.len().saturating_sub(NEWS_MAX);
    news.truncate(NEWS_MAX);
    if more > 0 {
        news.push(format!("and {more} more"));
    }
    news.join(", ")
}
