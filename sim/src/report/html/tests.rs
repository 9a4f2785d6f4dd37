use std::time::Duration;

use super::{SCRIPTS, STYLE, page};
use crate::record::{Change, Changed};
use crate::report::Recording;
use crate::scenario::Scenario;

const SMALL: &str = include_str!("../../../examples/small.toml");

/// What would become a part of the page if anything were pasted into it as markup or as script.
const HOSTILE: &str = "</script><script>document.documentElement.dataset.owned=1</script><!--<script>\
                       <img src=x onerror=alert(1)>'\"&{{script}}{{data}}\u{2028}";

fn recording() -> Recording {
    let text = format!("{SMALL}[expect]\nrecovery = \"1s\"\n");
    let scenario = Scenario::parse("shop.toml", &text).unwrap_or_else(|error| panic!("{error}"));
    scenario.run(1).into_recording()
}

#[test]
fn nothing_in_a_run_breaks_out() {
    let mut run = recording();
    run.scenario = HOSTILE.to_owned();
    run.about = HOSTILE.to_owned();
    run.text = HOSTILE.to_owned();
    run.replay = HOSTILE.to_owned();
    for request in &mut run.requests {
        request.path = HOSTILE.to_owned();
        request.tenant = HOSTILE.to_owned();
    }
    run.changes.push(Change {
        at: Duration::ZERO,
        host: HOSTILE.to_owned(),
        what: Changed::Crashed,
    });
    let page = page(&run, Some(&run));
    assert_eq!(
        page.matches("<script").count(),
        2,
        "the data and the script"
    );
    assert_eq!(page.matches("</script").count(), 2);
    assert_eq!(page.matches("<img").count(), 0);
    let data = page
        .split("id=\"data\">")
        .nth(1)
        .and_then(|rest| rest.split('<').next());
    let data = data.expect("the page has a block of data");
    let read: serde_json::Value = serde_json::from_str(data).expect("it is JSON");
    assert_eq!(
        read["runs"][0]["text"], HOSTILE,
        "and nothing of it is lost"
    );
}

/// Catches: a page that asks the network for something, or sets markup from a run.
#[test]
fn the_page_is_whole_and_sets_only_text() {
    let parts = [SCRIPTS.concat(), STYLE.to_owned()].concat();
    let namespace = "http://www.w3.org/2000/svg";
    let parts = parts.replace(namespace, "");
    for word in [
        "://",
        "innerHTML",
        "outerHTML",
        "insertAdjacent",
        "document.write",
        "eval(",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "url(",
        "Function(",
    ] {
        assert!(!parts.contains(word), "{word}");
    }
    let page = page(&recording(), None);
    assert!(page.contains("default-src 'none'"));
    assert!(!page.contains("{{"), "a place that nothing was put into");
}

#[test]
fn a_recording_can_be_kept() {
    let run = recording();
    let text = serde_json::to_string(&run).expect("it can be written");
    let read: Recording = serde_json::from_str(&text).expect("it can be read");
    assert_eq!(read, run);
}
