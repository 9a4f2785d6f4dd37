//! Lines about the router itself.

use super::{Line, millis};
use crate::event::Event;

pub(super) fn body(line: Line, event: &Event<'_>) -> Line {
    match event {
        Event::Insecure { policy } => line.show("policy", policy),
        Event::ConfigWarning { finding } => line
            .str("setting", &finding.setting)
            .str("problem", &finding.problem)
            .str("fix", &finding.fix),
        Event::ReloadRefused { error } => line.str("error", error),
        Event::Draining { deadline } => line.num("deadline_ms", millis(*deadline)),
        Event::Drained { abandoned } => line.num("abandoned", *abandoned as u64),
        _ => line,
    }
}
