//! The page of a run: one file that needs no network. The data of one run or two is in it as JSON; the
//! browser draws it with the scripts of this folder.

mod data;

use aws_lc_rs::digest::{SHA256, digest};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Recording;

const PAGE: &str = include_str!("page.html");
const STYLE: &str = include_str!("style.css");
/// In the order in which each uses those before it.
const SCRIPTS: [&str; 9] = [
    include_str!("js/data.js"),
    include_str!("js/dom.js"),
    include_str!("js/state.js"),
    include_str!("js/lanes.js"),
    include_str!("js/draw.js"),
    include_str!("js/timeline.js"),
    include_str!("js/story.js"),
    include_str!("js/table.js"),
    include_str!("js/main.js"),
];

/// The page of a run, or of two side by side.
///
/// Nothing in the runs can become a part of the page other than text: the data is a block of JSON without
/// `<`, the scripts set text only, and the page's policy allows only its own script, by its hash.
pub fn page(run: &Recording, against: Option<&Recording>) -> String {
    let script = format!("\"use strict\";\n(() => {{\n{}}})();\n", SCRIPTS.concat());
    let hash = STANDARD.encode(digest(&SHA256, script.as_bytes()));
    let title = format!("{}, seed {}", run.scenario, run.seed);
    filled(|place| match place {
        "hash" => hash.clone(),
        "title" => escaped(&title),
        "style" => STYLE.to_owned(),
        "script" => script.clone(),
        _ => json(&data::of(run, against)),
    })
}

/// The page with the text of each `{{place}}`. What is put in is not searched for places.
fn filled(text: impl Fn(&str) -> String) -> String {
    let mut page = String::new();
    let mut rest = PAGE;
    while let Some((before, after)) = rest.split_once("{{") {
        let (place, after) = after.split_once("}}").unwrap_or((after, ""));
        page += before;
        page += &text(place);
        rest = after;
    }
    page + rest
}

/// Text for the content of an element.
fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

/// JSON for a block of data: nothing in it can end the block or begin a comment.
fn json(value: &serde_json::Value) -> String {
    value.to_string().replace('<', "\\u003c")
}

#[cfg(test)]
mod tests;
