//! Recognizes a configuration file that isn't TOML at all.

use super::error::{ConfigError, Place};

/// The mistake of a file in another format: one message for the file instead of one for each line.
/// `None` if it may be TOML with mistakes.
pub(super) fn foreign(text: &str) -> Option<ConfigError> {
    let mut lines = (1..).zip(text.lines().map(str::trim));
    let (line, first) = lines.find(|(_, line)| !line.is_empty() && !line.starts_with('#'))?;
    let format = if first.starts_with('{') || first == "[" || first.starts_with("[{") {
        "JSON"
    } else if first.starts_with('<') {
        "HTML or XML"
    } else if first.starts_with("-----BEGIN ") {
        "PEM"
    } else if first == "---" || is_yaml_key(first) {
        "YAML"
    } else {
        return None;
    };
    Some(ConfigError {
        place: Place::Line(line),
        setting: String::new(),
        problem: format!("this is {format}, and the configuration is TOML"),
        fix: "write tables such as [[listener]] and [registry]; docs/cellway.example.toml shows \
              every setting"
            .to_owned(),
    })
}

/// `listener:` or `bind: 127.0.0.1:8443`.
fn is_yaml_key(line: &str) -> bool {
    let Some((key, value)) = line.split_once(':') else {
        return false;
    };
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == '-';
    !key.is_empty()
        && key.chars().all(is_word)
        && (value.is_empty() || value.starts_with(' '))
        && !value.contains('=')
}
